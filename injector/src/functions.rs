//! The functions that Istio gives injection templates beyond Go's and sprig's (1.31: InjectionFuncmap). Where the names are sprig's,
//! Istio's meaning wins: `contains` takes the needle first, `indent` spares the first line, `omit` is for maps of strings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::object::go_duration;
use crate::template::{Elem, Entries, Functions, List, Map, Param, Signature, Value};
use crate::{json, mesh, multus, proto, yaml};

/// What `env` finds: the part of the control plane's environment that templates may read.
pub type Environment = BTreeMap<String, String>;

/// All functions of injection templates.
pub(crate) fn all(environment: &Environment) -> Functions {
    use Param::{Any, Int, String as Str, StringMap};
    let mut f = Functions::builtin().with_sprig();
    let environment = environment.clone();
    f.add_typed("env", Signature::of(&[Str, Str]), move |args| {
        let found = environment
            .get(text(args, 0))
            .filter(|value| !value.is_empty());
        Ok(found.map_or_else(|| args[1].clone(), |value| Value::from(value.as_str())))
    });
    f.add_typed("formatDuration", Signature::of(&[Any]), |args| {
        let json = args[0].json();
        let nanos = json.as_str().and_then(proto::duration).unwrap_or_default();
        Ok(go_duration(nanos).into())
    });
    f.add_typed("isset", Signature::of(&[StringMap, Str]), |args| {
        let found = string_map(args, 0).is_some_and(|map| map.get(text(args, 1)).is_some());
        Ok(found.into())
    });
    f.add_typed("excludeInboundPort", Signature::of(&[Any, Str]), |args| {
        Ok(exclude_inbound_port(&args[0].to_string(), text(args, 1)).into())
    });
    f.add_typed("includeInboundPorts", Signature::of(&[Any]), |args| {
        Ok(ports(&args[0], |_| true).into())
    });
    f.add_typed("applicationPorts", Signature::of(&[Any]), |args| {
        Ok(ports(&args[0], |name| name != crate::pod::PROXY).into())
    });
    f.add_typed("kubevirtInterfaces", Signature::of(&[Str]), |args| {
        Ok(args[0].clone())
    });
    f.add_typed("excludeInterfaces", Signature::of(&[Str]), |args| {
        Ok(args[0].clone())
    });
    f.add_typed("annotation", Signature::of(&[Any, Str, Any]), |args| {
        let annotations = match &args[0] {
            Value::Object(meta) => meta.field("Annotations"),
            _ => None,
        };
        let found = match annotations {
            Some(Value::Map(map)) => map.get(text(args, 1)),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| Value::from(args[2].to_string())))
    });
    f.add_typed("valueOrDefault", Signature::of(&[Any, Any]), |args| {
        let unset = matches!(&args[0], Value::Absent | Value::Nil) || args[0].as_str() == Some("");
        Ok(args[usize::from(unset)].clone())
    });
    f.add_typed("toJSON", Signature::of(&[StringMap]), |args| {
        Ok(match &args[0] {
            Value::Map(_) => json::text(&args[0].json()).into(),
            _ => Value::from("{}"),
        })
    });
    f.add_typed("fromJSON", Signature::of(&[Str]), |args| {
        Ok(serde_json::from_str::<Json>(text(args, 0)).map_or_else(
            |error| {
                tracing::warn!(%error, "fromJSON in a template was given what is no JSON");
                Value::from("{}")
            },
            Value::from,
        ))
    });
    f.add_typed("structToJSON", Signature::of(&[Any]), |args| {
        Ok(match &args[0] {
            Value::Absent | Value::Nil => Value::from("{}"),
            value => json::text(&value.json()).into(),
        })
    });
    f.add_typed("protoToJSON", Signature::of(&[Any]), |args| {
        Ok(proto_to_json(&args[0]).into())
    });
    f.add_typed("toYaml", Signature::of(&[Any]), |args| {
        yaml::write(&args[0].json()).map(Value::from)
    });
    f.add_typed("indent", Signature::of(&[Int, Str]), |args| {
        let spaces = usize::try_from(args[0].as_int().unwrap_or_default()).unwrap_or_default();
        let pad = " ".repeat(spaces.min(1000));
        Ok(text(args, 1).replace('\n', &format!("\n{pad}")).into())
    });
    f.add_typed("directory", Signature::of(&[Str]), |args| {
        let path = text(args, 0);
        Ok(path.rfind('/').map_or("", |slash| &path[..=slash]).into())
    });
    f.add_typed("contains", Signature::of(&[Str, Str]), |args| {
        Ok(text(args, 1).contains(text(args, 0)).into())
    });
    f.add_typed("toLower", Signature::of(&[Str]), |args| {
        Ok(text(args, 0).to_lowercase().into())
    });
    f.add_typed("appendMultusNetwork", Signature::of(&[Str, Str]), |args| {
        Ok(multus::appended(text(args, 0), text(args, 1)).into())
    });
    f.add_typed("omit", Signature::and_more(&[StringMap], Str), |args| {
        let entries = string_map(args, 0).map(Map::entries).unwrap_or_default();
        let kept = entries.iter().filter(|(key, _)| {
            !args[1..]
                .iter()
                .any(|omitted| omitted.as_str() == Some(&***key))
        });
        Ok(strings(kept.map(|(k, v)| (k.clone(), v.clone())).collect()))
    });
    f.add_typed("strdict", Signature::and_more(&[], Str), |args| {
        let pairs = args.chunks(2).filter_map(|pair| {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::from(""));
            Some((Arc::from(pair[0].as_str()?), value))
        });
        Ok(strings(pairs.collect()))
    });
    f.add_typed("mergeMaps", Signature::and_more(&[], StringMap), |args| {
        Ok(merged(args))
    });
    f.add_typed("toJsonMap", Signature::and_more(&[], StringMap), |args| {
        Ok(match args {
            [] => Value::from("null"),
            _ => json::text(&merged(args).json()).into(),
        })
    });
    f.add_typed("omitNil", Signature::of(&[Any]), |args| {
        Ok(without_nil(&args[0]).0)
    });
    f.add_typed(
        "otelResourceAttributes",
        Signature::of(&[Any, StringMap, StringMap, Str, Any]),
        |args| Ok(otel_resource_attributes(args).into()),
    );
    f
}

fn text(args: &[Value], index: usize) -> &str {
    args.get(index).and_then(Value::as_str).unwrap_or_default()
}

fn string_map(args: &[Value], index: usize) -> Option<&Map> {
    match args.get(index) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    }
}

fn strings(entries: Entries) -> Value {
    Map::new(Elem::String, entries).into()
}

fn merged(args: &[Value]) -> Value {
    let mut all = Entries::new();
    for index in 0..args.len() {
        if let Some(map) = string_map(args, index) {
            all.extend(map.entries().iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    strings(all)
}

fn exclude_inbound_port(port: &str, excluded: &str) -> String {
    let port = port.trim();
    if port.is_empty() || port == "0" || excluded.split(',').any(|known| known == port) {
        return excluded.to_owned();
    }
    let known = excluded
        .split(',')
        .map(str::trim)
        .filter(|known| !known.is_empty());
    known.chain([port]).collect::<Vec<_>>().join(",")
}

/// The TCP ports of containers.
fn ports(containers: &Value, wanted: impl Fn(&str) -> bool) -> String {
    let mut out = Vec::new();
    for container in items(containers) {
        let Value::Object(container) = container else {
            continue;
        };
        let name = container.field("Name");
        if !wanted(name.as_ref().and_then(Value::as_str).unwrap_or_default()) {
            continue;
        }
        for port in container.field("Ports").iter().flat_map(items) {
            let Value::Object(port) = port else { continue };
            let protocol = port.field("Protocol");
            if matches!(
                protocol.as_ref().and_then(Value::as_str),
                Some("UDP" | "SCTP")
            ) {
                continue;
            }
            out.extend(port.field("ContainerPort").map(|port| port.to_string()));
        }
    }
    out.join(",")
}

fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::List(list) => list.items().to_vec(),
        _ => Vec::new(),
    }
}

fn proto_to_json(value: &Value) -> String {
    let Value::Object(object) = value else {
        return "{}".to_owned();
    };
    match object.json() {
        Json::Object(config) if object.type_name() == "*v1alpha1.ProxyConfig" => {
            Json::Object(mesh::without_defaults(&config)).to_string()
        }
        Json::Null => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// The value without nil in maps and lists, and whether there was any; what becomes empty by that is nil, too.
fn without_nil(value: &Value) -> (Value, bool) {
    match value {
        Value::Absent | Value::Nil => (Value::Nil, true),
        Value::Map(map) => {
            let entries = map.entries();
            let mut changed = false;
            let mut kept = Entries::new();
            for (key, value) in entries.iter() {
                let (value, one) = without_nil(value);
                changed |= one;
                if !value.is_nil() {
                    kept.insert(key.clone(), value);
                }
            }
            match (changed, kept.is_empty()) {
                (false, _) => (value.clone(), false),
                (true, true) => (Value::Nil, true),
                (true, false) => (Map::new(map.elem().clone(), kept).into(), true),
            }
        }
        Value::List(list) => {
            let all: Vec<(Value, bool)> = list.items().iter().map(without_nil).collect();
            if !all.iter().any(|(_, changed)| *changed) {
                return (value.clone(), false);
            }
            let kept: Vec<Value> = all
                .into_iter()
                .map(|(v, _)| v)
                .filter(|v| !v.is_nil())
                .collect();
            if kept.is_empty() {
                (Value::Nil, true)
            } else {
                (List::new(list.elem().clone(), kept).into(), true)
            }
        }
        other => (other.clone(), false),
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES` if an OpenTelemetry provider wants OpenTelemetry's conventions: the mesh config, annotations, labels, the
/// namespace and the containers are given.
fn otel_resource_attributes(args: &[Value]) -> String {
    let providers = match &args[0] {
        Value::Object(mesh) => mesh.json()["extensionProviders"].clone(),
        _ => Json::Null,
    };
    let wanted = providers.as_array().into_iter().flatten().any(|provider| {
        provider["opentelemetry"]["serviceAttributeEnrichment"] == "OTEL_SEMANTIC_CONVENTIONS"
    });
    if !wanted {
        return String::new();
    }
    let at = |index: usize, key: &str| {
        string_map(args, index)
            .and_then(|map| map.get(key))
            .and_then(|value| value.as_str().map(str::to_owned))
            .filter(|value| !value.is_empty())
    };
    let ns = text(args, 3);
    let containers = items(&args[4]);
    let field = |container: &Value, name: &str| match container {
        Value::Object(container) => container
            .field(name)
            .map(|v| v.to_string())
            .unwrap_or_default(),
        _ => String::new(),
    };
    let annotation = |key: &str| at(1, &format!("resource.opentelemetry.io/{key}"));

    let namespace =
        annotation("service.namespace").or_else(|| (!ns.is_empty()).then(|| ns.to_owned()));
    let version = annotation("service.version")
        .or_else(|| at(2, "app.kubernetes.io/version"))
        .or_else(|| match containers.as_slice() {
            [only] => image_version(&field(only, "Image")),
            _ => None,
        });
    let instance = annotation("service.instance.id").or_else(|| {
        let first = containers.first()?;
        Some(format!("{ns}.$(POD_NAME).{}", field(first, "Name")))
    });
    let mut out = String::new();
    for (key, value) in [
        ("service.namespace", namespace),
        ("service.version", version),
        ("service.instance.id", instance),
    ] {
        if let Some(value) = value {
            let comma = if out.is_empty() { "" } else { "," };
            let _ = write!(out, "{comma}{key}={value}");
        }
    }
    out
}

/// The tag and digest of an image: `TAG`, `DIGEST` or `TAG@DIGEST`.
fn image_version(image: &str) -> Option<String> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last
        .rsplit_once(':')
        .map(|(_, tag)| tag)
        .filter(|tag| !tag.is_empty());
    match (tag, digest.filter(|digest| !digest.is_empty())) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        (tag, digest) => tag.or(digest).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;

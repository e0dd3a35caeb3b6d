//! networking.istio.io EnvoyFilter.
//!
//! Patch values are read as messages of Envoy's API here, once. A patch that cannot be read is left out and said; the
//! others of the same object go on, unlike in Istio's webhook, which refuses the object.

use serde_json::Value;

use meltemi_api::envoy_filter as api;
use meltemi_model::envoy_filter::{
    ApplyTo, Condition, Context, EnvoyFilter, Operation, Patch, ProxyCondition, VersionPattern,
};
use meltemi_model::{Hostname, Labels, Object, Shared, Str};
use meltemi_proto::any::type_name;
use meltemi_proto::pool::partial_message;

use super::findings::Findings;
use super::meta::Raw;

mod conditions;

/// What no proxy is served: patches of the bootstrap (neither does Istio 1.31).
const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";

/// Services whose clusters gateways keep.
const REFERENCES: &str = "envoyfilter.istio.io/referenced-services";

/// Istio 1.31: `ValidateEnvoyFilter`, `convertToEnvoyFilterWrapper`.
pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let mut rest = raw.part("spec").clone();
    let patches = rest
        .as_object_mut()
        .and_then(|spec| spec.shift_remove("configPatches"));
    findings.hear(raw);
    let spec: api::EnvoyFilter = findings.parse("spec", &rest)?;
    let selector = match &spec.workload_selector {
        Some(selector) => findings.selector("spec.workloadSelector.labels", &selector.labels),
        None => Labels::default(),
    };
    if spec.workload_selector.is_some() && !spec.target_refs.is_empty() {
        findings.error(
            "spec.targetRefs",
            "only one of targetRefs or workloadSelector can be set",
        );
    }
    let patches = match &patches {
        None | Some(Value::Null) => &[],
        Some(Value::Array(patches)) => patches.as_slice(),
        Some(_) => {
            findings.error("spec.configPatches", "is not a list of patches");
            return None;
        }
    };
    let patches = patches.iter().enumerate();
    Some(Object::EnvoyFilter(Shared::new(EnvoyFilter {
        meta: raw.meta.clone(),
        selector,
        gateways: gateways(&spec.target_refs, raw.namespace(), findings),
        priority: spec.priority,
        references: references(raw),
        patches: patches
            .filter_map(|(index, patch)| lower_patch(raw, index, patch, findings))
            .map(Shared::new)
            .collect(),
    })))
}

fn references(raw: &Raw<'_>) -> Vec<(Option<Str>, Hostname)> {
    let text = raw.meta.annotations.get(REFERENCES);
    let names = text.iter().flat_map(|text| text.split(','));
    names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| match name.split_once('/') {
            Some((namespace, host)) => (Some(namespace.into()), Hostname::new(host)),
            None => (None, Hostname::new(name)),
        })
        .collect()
}

/// The Gateways that are named. A policy for other things is for nothing that is served here.
fn gateways(
    refs: &[meltemi_api::selector::PolicyTargetReference],
    namespace: &str,
    findings: &mut Findings,
) -> Option<Vec<Str>> {
    for (index, target) in refs.iter().enumerate() {
        if target.name.is_empty() {
            let path = format!("spec.targetRefs[{index}].name");
            findings.error(path, "targetRef name must be set");
        }
        if !target.namespace.is_empty() && target.namespace != namespace {
            let path = format!("spec.targetRefs[{index}].namespace");
            findings.error(
                path,
                "cross namespace referencing is not supported; leave the namespace out",
            );
        }
    }
    let is_gateway = |t: &&meltemi_api::selector::PolicyTargetReference| {
        t.group == "gateway.networking.k8s.io" && t.kind == "Gateway"
    };
    let names = refs.iter().filter(is_gateway).map(|t| t.name.as_str());
    (!refs.is_empty()).then(|| names.map(Str::from).collect())
}

fn lower_patch(
    raw: &Raw<'_>,
    index: usize,
    value: &Value,
    findings: &mut Findings,
) -> Option<Patch> {
    let at = format!("spec.configPatches[{index}]");
    let written: api::EnvoyConfigObjectPatch = match meltemi_api::parse_at(&at, value) {
        Ok(parsed) => {
            for path in parsed.unknown {
                findings.unknown_field(path);
            }
            parsed.value
        }
        Err(error) => {
            findings.left_out(error.path, error.message);
            return None;
        }
    };
    let found = read(raw, index, &at, &written, findings);
    found.unwrap_or_else(|Mistake { path, message }| {
        findings.left_out(below(&at, &path), message);
        None
    })
}

fn below(at: &str, path: &str) -> String {
    match path {
        "" => at.to_owned(),
        path => format!("{at}.{path}"),
    }
}

/// Why a patch is left out.
struct Mistake {
    /// Below the patch.
    path: String,
    message: String,
}

fn mistake<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake {
        path: path.into(),
        message: message.into(),
    })
}

fn read(
    raw: &Raw<'_>,
    index: usize,
    at: &str,
    written: &api::EnvoyConfigObjectPatch,
    findings: &mut Findings,
) -> Result<Option<Patch>, Mistake> {
    let matched = written.r#match.clone().unwrap_or_default();
    if matched.context == api::PatchContext::Waypoint {
        findings.not_supported_yet(format!("{at}.match.context"));
        return Ok(None);
    }
    let Some(patch) = &written.patch else {
        return mistake("patch", "is missing; say what to do: operation and value");
    };
    let value = patch.value.clone().map(Value::Object);
    let apply_to = match written.apply_to {
        api::ApplyTo::Bootstrap => {
            if let Some(value) = &value {
                message(BOOTSTRAP, value, at, findings)?;
            }
            findings.warning(
                format!("{at}.applyTo"),
                "nothing serves BOOTSTRAP patches: the bootstrap is written where the proxy starts",
            );
            return Ok(None);
        }
        other => match apply_to(other) {
            Some(apply_to) => apply_to,
            None => return mistake("applyTo", "is missing; say what to patch, as HTTP_FILTER"),
        },
    };
    let Some(operation) = operation(patch.operation, apply_to) else {
        return mistake(
            "patch.operation",
            "is missing; say what to do, as MERGE or INSERT_BEFORE",
        );
    };
    if !has_effect(apply_to, operation) {
        findings.warning(
            format!("{at}.patch.operation"),
            "has no effect on what applyTo names: the patch is ignored",
        );
        return Ok(None);
    }
    let condition = conditions::condition(apply_to, &matched, at, findings)?;
    let value = match (operation, value) {
        (Operation::Remove, _) => None,
        (_, None) => return mistake("patch.value", "is missing; only REMOVE goes without one"),
        (_, Some(value)) => Some(value),
    };
    let bytes = match &value {
        Some(value) => Some(message(apply_to.type_name(), value, at, findings)?),
        None => None,
    };
    let adds_resource = operation == Operation::Add
        && matches!(
            apply_to,
            ApplyTo::Cluster | ApplyTo::Listener | ApplyTo::ExtensionConfig
        );
    let is_named = |value: &Value| value["name"].as_str().is_some_and(|n| !n.is_empty());
    if adds_resource && !value.as_ref().is_some_and(is_named) {
        return mistake(
            "patch.value.name",
            "is missing; what is added needs a name of its own",
        );
    }
    let proxy = match &matched.proxy {
        Some(proxy) => Some(proxy_condition(proxy, at, findings)?),
        None => None,
    };
    Ok(Some(Patch {
        from: raw.meta.key.clone(),
        index,
        apply_to,
        operation,
        context: context(matched.context),
        proxy: proxy.filter(|p| p.version.is_some() || !p.metadata.is_empty()),
        condition,
        extension: value.as_ref().map_or("", extension).into(),
        value: bytes,
    }))
}

/// The value as a message; what is unknown in it is said and left out, since it may be meant for another version.
fn message(
    type_name: &str,
    value: &Value,
    at: &str,
    findings: &mut Findings,
) -> Result<bytes::Bytes, Mistake> {
    match partial_message(type_name, value) {
        Ok(partial) => {
            for path in partial.unknown {
                findings.unknown_field(format!("{at}.patch.value.{path}"));
            }
            Ok(partial.bytes)
        }
        Err(error) => mistake(below("patch.value", &error.path), error.reason),
    }
}

/// The type of the filter that a value configures.
fn extension(value: &Value) -> &str {
    let config = value.get("typed_config").or(value.get("typedConfig"));
    let text = |key: &str| config.and_then(|c| c.get(key)).and_then(Value::as_str);
    let name = type_name(text("@type").unwrap_or_default());
    match name {
        "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct" => {
            let inner = text("type_url").or(text("typeUrl"));
            type_name(inner.unwrap_or_default())
        }
        name => name,
    }
}

fn proxy_condition(
    proxy: &api::ProxyMatch,
    at: &str,
    findings: &mut Findings,
) -> Result<ProxyCondition, Mistake> {
    let path = "match.proxy.proxyVersion";
    let version = match proxy.proxy_version.as_str() {
        "" => None,
        text => match VersionPattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                let message = format!("invalid regex for proxy version: {reason}");
                return mistake(path, message);
            }
        },
    };
    if proxy.proxy_version.len() > VersionPattern::MAX_LEN {
        let message = format!(
            "is longer than {} characters, so it matches no proxy",
            VersionPattern::MAX_LEN
        );
        findings.warning(format!("{at}.{path}"), message);
    }
    let metadata = proxy.metadata.iter();
    Ok(ProxyCondition {
        version,
        metadata: metadata
            .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
            .collect(),
    })
}

fn apply_to(written: api::ApplyTo) -> Option<ApplyTo> {
    Some(match written {
        api::ApplyTo::Listener => ApplyTo::Listener,
        api::ApplyTo::ListenerFilter => ApplyTo::ListenerFilter,
        api::ApplyTo::FilterChain => ApplyTo::FilterChain,
        api::ApplyTo::NetworkFilter => ApplyTo::NetworkFilter,
        api::ApplyTo::HttpFilter => ApplyTo::HttpFilter,
        api::ApplyTo::RouteConfiguration => ApplyTo::RouteConfiguration,
        api::ApplyTo::VirtualHost => ApplyTo::VirtualHost,
        api::ApplyTo::HttpRoute => ApplyTo::HttpRoute,
        api::ApplyTo::Cluster => ApplyTo::Cluster,
        api::ApplyTo::ExtensionConfig => ApplyTo::ExtensionConfig,
        api::ApplyTo::Invalid | api::ApplyTo::Bootstrap => return None,
    })
}

/// Where nothing has an order, inserting is adding.
fn operation(written: api::PatchOperation, apply_to: ApplyTo) -> Option<Operation> {
    let ordered = matches!(
        apply_to,
        ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter | ApplyTo::HttpRoute
    );
    let insert = |operation| if ordered { operation } else { Operation::Add };
    Some(match written {
        api::PatchOperation::Invalid => return None,
        api::PatchOperation::Merge => Operation::Merge,
        api::PatchOperation::MergeAndReplaceList => Operation::MergeAndReplaceList,
        api::PatchOperation::Add => Operation::Add,
        api::PatchOperation::Remove => Operation::Remove,
        api::PatchOperation::InsertFirst => insert(Operation::InsertFirst),
        api::PatchOperation::InsertBefore => insert(Operation::InsertBefore),
        api::PatchOperation::InsertAfter => insert(Operation::InsertAfter),
        api::PatchOperation::Replace => Operation::Replace,
    })
}

/// Which operations Istio honours where; the others do nothing.
fn has_effect(apply_to: ApplyTo, operation: Operation) -> bool {
    use Operation::*;
    match apply_to {
        ApplyTo::Listener | ApplyTo::FilterChain | ApplyTo::Cluster => {
            matches!(operation, Add | Remove | Merge | MergeAndReplaceList)
        }
        ApplyTo::ListenerFilter | ApplyTo::NetworkFilter | ApplyTo::HttpFilter => {
            operation != MergeAndReplaceList
        }
        ApplyTo::RouteConfiguration => operation.is_merge(),
        ApplyTo::VirtualHost => {
            matches!(
                operation,
                Add | Remove | Merge | MergeAndReplaceList | Replace
            )
        }
        ApplyTo::HttpRoute => operation != Replace,
        ApplyTo::ExtensionConfig => operation == Add,
    }
}

fn context(written: api::PatchContext) -> Context {
    match written {
        api::PatchContext::Any => Context::Any,
        api::PatchContext::SidecarInbound => Context::SidecarInbound,
        api::PatchContext::SidecarOutbound => Context::SidecarOutbound,
        api::PatchContext::Gateway => Context::Gateway,
        api::PatchContext::Waypoint => Context::Waypoint,
    }
}

/// A condition of any kind.
type Conditioned = Result<Condition, Mistake>;

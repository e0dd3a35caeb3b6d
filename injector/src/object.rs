//! Structs and protos as templates see them: Go's field names and getters over JSON, zero values, nil pointers.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value as Json;

use crate::json;
use crate::proto;
use crate::template::{Elem, Entries, List, Map, Object, Value};
use crate::types::{Field, Id, Kind, Type, Types};

/// Where a type comes from: it decides how unset fields look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    Kubernetes,
    Proto,
}

/// A struct over JSON. Fields are made when they are asked for, once.
pub(crate) struct Struct {
    types: &'static Types,
    world: World,
    id: Id,
    name: String,
    /// `None` is a nil pointer.
    json: Option<Json>,
    made: Vec<OnceLock<Value>>,
}

impl fmt::Debug for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Pods hold secrets in their environment: the type is enough.
        f.debug_struct(&self.name).finish_non_exhaustive()
    }
}

/// A Kubernetes struct by the name of its type.
pub(crate) fn kubernetes(name: &str, json: Option<Json>) -> Value {
    let types = &*crate::types::KUBERNETES;
    match types.named(name) {
        Kind::Struct(id) => structure(types, World::Kubernetes, id, json),
        _ => Value::Nil,
    }
}

/// A proto message by the name of its type.
pub(crate) fn message(name: &str, json: Option<Json>) -> Value {
    let types = &*crate::types::MESH;
    match types.named(name) {
        Kind::Struct(id) => structure(types, World::Proto, id, json),
        _ => Value::Nil,
    }
}

fn structure(types: &'static Types, world: World, id: Id, json: Option<Json>) -> Value {
    let Type { name, fields, .. } = types.get(id);
    let name = match world {
        World::Kubernetes => format!("v1.{name}"),
        World::Proto => format!("*v1alpha1.{name}"),
    };
    Value::object(Struct {
        types,
        world,
        id,
        name,
        json,
        made: fields.iter().map(|_| OnceLock::new()).collect(),
    })
}

impl Struct {
    fn value(&self, index: usize, field: &Field) -> Value {
        self.made[index]
            .get_or_init(|| {
                let json = self.json.as_ref().and_then(|json| json.get(&field.json));
                value(self.types, self.world, &field.kind, json)
            })
            .clone()
    }

    fn find(&self, wanted: impl Fn(&Field) -> bool) -> Option<Value> {
        let fields = &self.types.get(self.id).fields;
        let index = fields.iter().position(wanted)?;
        Some(self.value(index, &fields[index]))
    }
}

impl Object for Struct {
    fn type_name(&self) -> &str {
        &self.name
    }

    fn field(&self, name: &str) -> Option<Value> {
        let found = self.find(|field| field.go == name && field.oneof.is_none());
        found.or_else(|| {
            // An embedded type by its own name.
            let embedded = &self.types.get(self.id).embedded;
            let id = embedded
                .iter()
                .find(|id| self.types.get(**id).name == name)?;
            Some(structure(self.types, self.world, *id, self.json.clone()))
        })
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        if method == "String" && self.world == World::Proto && args.is_empty() {
            return Some(Ok(Value::from(self.print())));
        }
        let name = method.strip_prefix("Get")?;
        let meta = self.types.get(self.id).name == "ObjectMeta";
        if self.world == World::Kubernetes && !meta {
            return None;
        }
        let found = self.find(|field| field.go == name)?;
        if !args.is_empty() {
            return Some(Err(format!(
                "wrong number of args for {method}: want 0 got {}",
                args.len()
            )));
        }
        Some(Ok(found))
    }

    fn json(&self) -> Json {
        self.json.clone().unwrap_or(Json::Null)
    }

    fn print(&self) -> String {
        match &self.json {
            None => "<nil>".to_owned(),
            Some(value) => json::text(value),
        }
    }

    fn is_nil(&self) -> bool {
        self.json.is_none()
    }
}

fn value(types: &'static Types, world: World, kind: &Kind, json: Option<&Json>) -> Value {
    let json = json.filter(|json| !json.is_null());
    match kind {
        Kind::String | Kind::Bytes | Kind::Quantity => {
            Value::from(json.and_then(Json::as_str).unwrap_or_default())
        }
        Kind::Time => json.and_then(Json::as_str).map_or(Value::Nil, Value::from),
        Kind::Bool => Value::Bool(json.and_then(Json::as_bool).unwrap_or_default()),
        Kind::Int => Value::Int(json.and_then(Json::as_i64).unwrap_or_default()),
        Kind::Int64 => Value::Int64(
            json.and_then(|json| json.as_str()?.parse().ok())
                .unwrap_or_default(),
        ),
        Kind::Float => Value::Float(json.and_then(Json::as_f64).unwrap_or_default()),
        Kind::IntOrString => match json {
            Some(Json::String(text)) => Value::from(text.as_str()),
            other => Value::Int(other.and_then(Json::as_i64).unwrap_or_default()),
        },
        Kind::Raw => json.cloned().map_or(Value::Nil, Value::from),
        Kind::Duration => Value::object(Duration {
            text: json.and_then(Json::as_str).map(str::to_owned),
        }),
        Kind::Enum(id) => {
            let values = &types.enums[*id];
            let name = json
                .and_then(Json::as_str)
                .or_else(|| values.name_of(0))
                .unwrap_or_default();
            Value::object(EnumValue {
                type_name: format!("v1alpha1.{}", values.name),
                number: values.number_of(name).unwrap_or_default(),
                name: name.to_owned(),
            })
        }
        Kind::Wrapped(inner) => Value::object(Wrapper {
            type_name: match **inner {
                Kind::Bool => "*wrapperspb.BoolValue",
                Kind::String => "*wrapperspb.StringValue",
                Kind::Float => "*wrapperspb.DoubleValue",
                Kind::Int64 => "*wrapperspb.Int64Value",
                _ => "*wrapperspb.UInt32Value",
            },
            value: value(types, world, inner, json),
            json: json.cloned(),
        }),
        Kind::Pointer(inner) => match (&**inner, json) {
            (Kind::Struct(id), json) => structure(types, world, *id, json.cloned()),
            (_, None) => Value::Nil,
            (inner, json) => value(types, world, inner, json),
        },
        Kind::Struct(id) => match world {
            World::Kubernetes => {
                let json = json
                    .cloned()
                    .unwrap_or_else(|| Json::Object(serde_json::Map::new()));
                structure(types, world, *id, Some(json))
            }
            World::Proto => structure(types, world, *id, json.cloned()),
        },
        Kind::List(inner) => {
            let items = json.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
            let items = items
                .iter()
                .map(|item| value(types, world, inner, Some(item)));
            List::new(elem(types, inner), items.collect()).into()
        }
        Kind::Map(inner) => {
            let entries: Entries = json
                .and_then(Json::as_object)
                .into_iter()
                .flatten()
                .map(|(key, item)| {
                    (
                        Arc::from(key.as_str()),
                        value(types, world, inner, Some(item)),
                    )
                })
                .collect();
            Map::new(elem(types, inner), entries).into()
        }
    }
}

fn elem(types: &Types, kind: &Kind) -> Elem {
    match kind {
        Kind::String => Elem::String,
        Kind::Bool => Elem::Bool,
        Kind::Int => Elem::Int,
        Kind::Struct(id) => Elem::Named(types.get(*id).name.as_str().into()),
        Kind::Quantity => Elem::Named("resource.Quantity".into()),
        Kind::Raw => Elem::Any,
        _ => Elem::Named("value".into()),
    }
}

/// A wrapper message.
#[derive(Debug)]
struct Wrapper {
    type_name: &'static str,
    /// The value, zero if it is not set.
    value: Value,
    json: Option<Json>,
}

impl Object for Wrapper {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        (name == "Value").then(|| self.value.clone())
    }

    fn call(&self, method: &str, _: &[Value]) -> Option<Result<Value, String>> {
        match method {
            "GetValue" => Some(Ok(self.value.clone())),
            "String" => Some(Ok(Value::from(self.print()))),
            _ => None,
        }
    }

    fn json(&self) -> Json {
        self.json.clone().unwrap_or(Json::Null)
    }

    fn print(&self) -> String {
        match self.json {
            None => "<nil>".to_owned(),
            Some(_) => format!("value:{}", self.value),
        }
    }

    fn is_nil(&self) -> bool {
        self.json.is_none()
    }
}

/// `google.protobuf.Duration`.
#[derive(Debug)]
struct Duration {
    text: Option<String>,
}

impl Duration {
    fn nanos(&self) -> i128 {
        self.text
            .as_deref()
            .and_then(proto::duration)
            .unwrap_or_default()
    }

    fn part(&self, name: &str) -> Option<Value> {
        let nanos = self.nanos();
        let part = match name {
            "Seconds" => nanos / 1_000_000_000,
            "Nanos" => nanos % 1_000_000_000,
            _ => return None,
        };
        Some(Value::Int64(i64::try_from(part).unwrap_or_default()))
    }
}

impl Object for Duration {
    fn type_name(&self) -> &str {
        "*durationpb.Duration"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.part(name)
    }

    fn call(&self, method: &str, _: &[Value]) -> Option<Result<Value, String>> {
        match method {
            "String" => Some(Ok(Value::from(self.print()))),
            "AsDuration" => Some(Ok(Value::from(go_duration(self.nanos())))),
            _ => self.part(method.strip_prefix("Get")?).map(Ok),
        }
    }

    fn json(&self) -> Json {
        self.text.clone().map_or(Json::Null, Json::String)
    }

    fn print(&self) -> String {
        let nanos = self.nanos();
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        match (&self.text, seconds, nanos) {
            (None, ..) => "<nil>".to_owned(),
            (_, 0, 0) => String::new(),
            (_, seconds, 0) => format!("seconds:{seconds}"),
            (_, 0, nanos) => format!("nanos:{nanos}"),
            (_, seconds, nanos) => format!("seconds:{seconds} nanos:{nanos}"),
        }
    }

    fn is_nil(&self) -> bool {
        self.text.is_none()
    }
}

/// Go's `time.Duration.String`: `1m30s`, `1.5s`, `300ms`.
pub(crate) fn go_duration(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let fraction = |value: u128, unit: u128| {
        let (whole, rest) = (value / unit, value % unit);
        let width = unit.ilog10() as usize;
        let rest = format!("{rest:0width$}");
        let rest = rest.trim_end_matches('0');
        if rest.is_empty() || width == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{rest}")
        }
    };
    let text = match nanos {
        0 => return "0s".to_owned(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => format!("{}µs", fraction(n, 1_000)),
        n if n < 1_000_000_000 => format!("{}ms", fraction(n, 1_000_000)),
        n => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// A value of an enum.
#[derive(Debug)]
struct EnumValue {
    type_name: String,
    number: i64,
    name: String,
}

impl Object for EnumValue {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, _: &[Value]) -> Option<Result<Value, String>> {
        match method {
            "String" => Some(Ok(Value::from(self.name.as_str()))),
            "Number" => Some(Ok(Value::Int(self.number))),
            _ => None,
        }
    }

    fn json(&self) -> Json {
        Json::from(self.number)
    }

    fn print(&self) -> String {
        self.name.clone()
    }

    fn scalar(&self) -> Option<Value> {
        Some(Value::Int(self.number))
    }
}

/// A struct whose fields are made beforehand: the root of the data.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Object for Record {
    fn type_name(&self) -> &str {
        self.name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.clone())
    }

    fn json(&self) -> Json {
        let fields = self.fields.iter();
        Json::Object(
            fields
                .map(|(name, value)| ((*name).to_owned(), value.json()))
                .collect(),
        )
    }

    fn print(&self) -> String {
        json::text(&self.json())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::template::{Functions, Template};

    fn check(template: &str, expected: &str) {
        let proxy = json!({"interceptionMode": "TPROXY", "holdApplicationUntilProxyStarts": true, "drainDuration": "45s",
            "proxyMetadata": {"A": "b"}, "statusPort": 15020, "serviceCluster": "x"});
        let spec = json!({"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 80}], "resources": {}}],
            "terminationGracePeriodSeconds": 5, "volumes": [{"name": "v", "emptyDir": {}}]});
        let data = Value::object(Record {
            name: "Data",
            fields: vec![
                ("P", message("ProxyConfig", Some(proxy))),
                ("M", message("MeshConfig", Some(json!({})))),
                ("S", kubernetes("PodSpec", Some(spec))),
                (
                    "O",
                    kubernetes("ObjectMeta", Some(json!({"labels": {"x": "y"}}))),
                ),
            ],
        });
        let template = Template::parse("t", template, &Functions::builtin().with_sprig()).unwrap();
        assert_eq!(
            template
                .execute(&data)
                .map_err(|e| e.to_string())
                .as_deref(),
            Ok(expected),
            "{template:?}"
        );
    }

    #[test]
    fn templates_see_go_structs() {
        check(
            "{{ .P.InterceptionMode }} {{ .P.InterceptionMode.String }}",
            "TPROXY TPROXY",
        );
        check(
            "{{ .P.HoldApplicationUntilProxyStarts.GetValue }} {{ .P.HoldApplicationUntilProxyStarts.Value }}",
            "true true",
        );
        check(
            "{{ .P.StatsCompression.GetValue }}{{ if .P.StatsCompression }}set{{ end }}",
            "false",
        );
        check(
            "[{{ .P.GetTracing.GetTlsSettings.GetCaCertificates }}]{{ if .P.GetTracing.GetTlsSettings }}x{{ end }}",
            "[]",
        );
        check(
            "{{ .P.GetServiceCluster }} {{ .P.StatusPort }} {{ .M.ProxyListenPort }}",
            "x 15020 0",
        );
        check(
            r#"{{ index .P.ProxyMetadata "A" }}{{ index .P.ProxyMetadata "B" }}."#,
            "b.",
        );
        check(
            r#"{{ index .O.Labels "x" }}{{ index .O.Labels "z" }}{{ .O.GetLabels }}"#,
            "ymap[x:y]",
        );
        check(
            "{{ range .S.Containers }}{{ .Name }}{{ range .Ports }} {{ .ContainerPort }} {{ .Protocol }}{{ end }}{{ end }}",
            "a 80 ",
        );
        check(
            "{{ .S.TerminationGracePeriodSeconds }} {{ .S.HostNetwork }} {{ eq .S.ServiceAccountName \"\" }}",
            "5 false true",
        );
        check(
            "{{ range .S.Volumes }}{{ if .EmptyDir }}e{{ end }}{{ if .VolumeSource.HostPath }}h{{ end }}{{ end }}",
            "e",
        );
        check(
            "{{ .P.DrainDuration.AsDuration }} {{ .P.DrainDuration.GetSeconds }}",
            "45s 45",
        );
    }

    #[test]
    fn durations_print_as_gos() {
        for (nanos, expected) in [
            (0, "0s"),
            (23_000_000_000, "23s"),
            (90_000_000_000, "1m30s"),
            (1_500_000_000, "1.5s"),
            (300_000_000, "300ms"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500, "1.5µs"),
            (-7, "-7ns"),
        ] {
            assert_eq!(go_duration(nanos), expected);
        }
    }
}

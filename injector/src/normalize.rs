//! Typed reading and writing as Go does it: what a typed object looks like after it was read from JSON and written again. Unknown
//! fields go, empty ones are left out where Go leaves them out, `resources: {}` appears, quantities take their canonical form.

use serde_json::{Map, Value};

use crate::quantity;
use crate::types::{Field, Id, Kind, Types};

/// How scalars are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalars {
    /// As JSON: a number is no string.
    Json,
    /// As YAML read into a typed object: numbers and booleans become strings where strings are wanted.
    Yaml,
}

/// A value as Go writes it after reading it, or what does not fit, with the path of the field.
///
/// # Errors
/// A value that the type cannot hold.
pub(crate) fn normalized(
    types: &Types,
    kind: &Kind,
    value: &Value,
    scalars: Scalars,
) -> Result<Value, String> {
    read(types, kind, value, scalars).map_err(|mistake| mistake.text())
}

struct Mistake {
    path: Vec<String>,
    text: String,
}

impl Mistake {
    fn new(value: &Value, wanted: &str) -> Mistake {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Mistake {
            path: Vec::new(),
            text: format!("cannot unmarshal {found} into a field of type {wanted}"),
        }
    }

    fn within(mut self, name: &str) -> Mistake {
        self.path.push(name.to_owned());
        self
    }

    fn text(&self) -> String {
        let mut path = String::new();
        for part in self.path.iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        if path.is_empty() {
            self.text.clone()
        } else {
            format!("{path}: {}", self.text)
        }
    }
}

fn read(types: &Types, kind: &Kind, value: &Value, scalars: Scalars) -> Result<Value, Mistake> {
    Ok(match kind {
        Kind::Raw => value.clone(),
        _ if value.is_null() => zero(types, kind),
        Kind::String | Kind::Time | Kind::Duration | Kind::Enum(_) | Kind::Bytes => match value {
            Value::String(_) => value.clone(),
            Value::Number(_) | Value::Bool(_) if scalars == Scalars::Yaml => {
                Value::String(value.to_string())
            }
            _ => return Err(Mistake::new(value, "string")),
        },
        Kind::Bool => match value {
            Value::Bool(_) => value.clone(),
            _ => return Err(Mistake::new(value, "bool")),
        },
        Kind::Int | Kind::Int64 => match integer(value) {
            Some(number) => Value::from(number),
            None => return Err(Mistake::new(value, "int")),
        },
        Kind::Float => match value {
            Value::Number(_) => value.clone(),
            _ => return Err(Mistake::new(value, "float64")),
        },
        Kind::Quantity => {
            let text = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                _ => return Err(Mistake::new(value, "resource.Quantity")),
            };
            match quantity::canonical(&text) {
                Ok(text) => Value::String(text),
                Err(error) => {
                    return Err(Mistake {
                        path: Vec::new(),
                        text: error.to_string(),
                    });
                }
            }
        }
        Kind::IntOrString => match value {
            Value::String(_) => value.clone(),
            _ => match integer(value) {
                Some(number) => Value::from(number),
                None => return Err(Mistake::new(value, "intstr.IntOrString")),
            },
        },
        Kind::Wrapped(inner) | Kind::Pointer(inner) => read(types, inner, value, scalars)?,
        Kind::List(inner) => match value {
            Value::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let item = read(types, inner, item, scalars)
                        .map_err(|mistake| mistake.within(&format!("[{i}]")))?;
                    out.push(item);
                }
                Value::Array(out)
            }
            _ => return Err(Mistake::new(value, "list")),
        },
        Kind::Map(inner) => match value {
            Value::Object(map) => {
                let mut out = Map::new();
                for (key, value) in map {
                    let value = read(types, inner, value, scalars)
                        .map_err(|mistake| mistake.within(key))?;
                    out.insert(key.clone(), value);
                }
                Value::Object(out)
            }
            _ => return Err(Mistake::new(value, "map")),
        },
        Kind::Struct(id) => match value {
            Value::Object(map) => Value::Object(structure(types, *id, Some(map), scalars)?),
            _ => return Err(Mistake::new(value, &types.get(*id).name)),
        },
    })
}

fn integer(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    // Go's JSON refuses 1.0 for an int, but Kubernetes' YAML reading yields floats for whole numbers.
    let float = value.as_f64()?;
    #[allow(clippy::cast_possible_truncation)]
    (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
}

fn structure(
    types: &Types,
    id: Id,
    map: Option<&Map<String, Value>>,
    scalars: Scalars,
) -> Result<Map<String, Value>, Mistake> {
    let mut out = Map::new();
    for field in &types.get(id).fields {
        let value = match map.and_then(|map| map.get(&field.json)) {
            Some(value) if !value.is_null() => read(types, &field.kind, value, scalars)
                .map_err(|mistake| mistake.within(&field.json))?,
            _ if field.omit_empty && !matches!(field.kind, Kind::Struct(_)) => continue,
            _ => zero(types, &field.kind),
        };
        if !omitted(types, field, &value) {
            out.insert(field.json.clone(), value);
        }
    }
    Ok(out)
}

fn omitted(types: &Types, field: &Field, value: &Value) -> bool {
    if field.omit_zero && *value == zero(types, &field.kind) {
        return true;
    }
    field.omit_empty
        && match &field.kind {
            Kind::Struct(_) | Kind::Quantity | Kind::IntOrString => false,
            Kind::Pointer(_) | Kind::Wrapped(_) => value.is_null(),
            Kind::List(_) => value.as_array().is_none_or(Vec::is_empty),
            Kind::Map(_) => value.as_object().is_none_or(Map::is_empty),
            Kind::Time => value.is_null() && field.omit_zero,
            Kind::Raw => value.is_null(),
            Kind::Bool => *value == Value::Bool(false),
            Kind::Int | Kind::Int64 | Kind::Float => value.as_f64() == Some(0.0),
            Kind::String | Kind::Bytes | Kind::Duration | Kind::Enum(_) => {
                value.as_str().is_none_or(str::is_empty)
            }
        }
}

/// The zero value of a kind, as Go writes it.
fn zero(types: &Types, kind: &Kind) -> Value {
    match kind {
        Kind::String | Kind::Duration | Kind::Enum(_) => Value::String(String::new()),
        Kind::Bool => Value::Bool(false),
        Kind::Int | Kind::Int64 | Kind::IntOrString => Value::from(0),
        Kind::Float => Value::from(0),
        Kind::Quantity => Value::from("0"),
        Kind::Time | Kind::Bytes | Kind::Raw => Value::Null,
        Kind::Wrapped(_) | Kind::Pointer(_) | Kind::List(_) | Kind::Map(_) => Value::Null,
        Kind::Struct(id) => {
            structure(types, *id, None, Scalars::Json).map_or(Value::Null, Value::Object)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::KUBERNETES;

    fn check(name: &str, value: &Value, expected: &Value) {
        let kind = KUBERNETES.named(name);
        assert_eq!(
            normalized(&KUBERNETES, &kind, value, Scalars::Json).as_ref(),
            Ok(expected)
        );
    }

    #[test]
    fn a_typed_round_trip_is_gos() {
        check(
            "Container",
            &json!({"name": "a", "unknown": 1, "ports": [], "env": null}),
            &json!({"name": "a", "resources": {}}),
        );
        check(
            "Container",
            &json!({"name": "a", "resources": {"limits": {"cpu": "2000m", "memory": 1024}}}),
            &json!({"name": "a", "resources": {"limits": {"cpu": "2", "memory": "1024"}}}),
        );
        check(
            "Probe",
            &json!({"initialDelaySeconds": 0, "periodSeconds": 1, "httpGet": {"path": "/", "port": "http"}}),
            &json!({"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}),
        );
        check(
            "Volume",
            &json!({"name": "v", "emptyDir": null}),
            &json!({"name": "v"}),
        );
        check(
            "Volume",
            &json!({"name": "v", "emptyDir": {}}),
            &json!({"name": "v", "emptyDir": {}}),
        );
        check(
            "Deployment",
            &json!({"kind": "Deployment"}),
            &json!({"kind": "Deployment", "metadata": {}, "spec": {"selector": null, "strategy": {}, "template": {
                "metadata": {}, "spec": {"containers": null}}}, "status": {}}),
        );
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_path() {
        let kind = KUBERNETES.named("PodSpec");
        let value = json!({"containers": [{"name": "a", "env": [{"name": "A", "value": 1}]}]});
        let text = normalized(&KUBERNETES, &kind, &value, Scalars::Json).unwrap_err();
        assert_eq!(
            text,
            "containers[0].env[0].value: cannot unmarshal number into a field of type string"
        );
        let lenient = normalized(&KUBERNETES, &kind, &value, Scalars::Yaml).unwrap();
        assert_eq!(lenient["containers"][0]["env"][0]["value"], json!("1"));
    }
}

//! Proto messages as canonical JSON: names in camel case, zero values left out, enums by name. Reading is as lenient as istiod's:
//! unknown fields go, proto names and enum numbers are taken, null says nothing.

use serde_json::{Map, Number, Value};

use crate::types::{Field, Id, Kind, Types};

/// A message in canonical form.
///
/// # Errors
/// A value that its field cannot hold, with the field's name.
pub(crate) fn canonical(
    types: &Types,
    id: Id,
    value: &Value,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    apply(types, id, value, &mut out)?;
    Ok(out)
}

/// Sets the fields that a text sets, on a message in canonical form; messages, lists and maps are replaced as a whole, the other fields of
/// a oneof go.
///
/// # Errors
/// As [`canonical`].
pub(crate) fn apply(
    types: &Types,
    id: Id,
    value: &Value,
    onto: &mut Map<String, Value>,
) -> Result<(), String> {
    let given = match value {
        Value::Object(given) => given,
        Value::Null => return Ok(()),
        other => return Err(format!("{} must be a map, not {other}", types.get(id).name)),
    };
    for field in &types.get(id).fields {
        let value = given
            .get(&field.json)
            .or_else(|| given.get(&snake(&field.json)));
        let Some(value) = value.filter(|value| !value.is_null()) else {
            continue;
        };
        let value =
            read(types, &field.kind, value).map_err(|error| format!("{}: {error}", field.json))?;
        set(types, id, field, value, onto);
    }
    Ok(())
}

fn set(types: &Types, id: Id, field: &Field, value: Value, onto: &mut Map<String, Value>) {
    if let Some(oneof) = &field.oneof {
        for other in &types.get(id).fields {
            if other.oneof.as_ref() == Some(oneof) && other.json != field.json {
                onto.shift_remove(&other.json);
            }
        }
    } else if is_zero(types, &field.kind, &value) {
        onto.shift_remove(&field.json);
        return;
    }
    onto.insert(field.json.clone(), value);
}

/// Fields without presence are absent when they are zero.
fn is_zero(types: &Types, kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::String | Kind::Bytes => value == "",
        Kind::Bool => *value == Value::Bool(false),
        Kind::Int | Kind::Float => value.as_f64() == Some(0.0),
        Kind::Int64 => value == "0",
        Kind::Enum(id) => value
            .as_str()
            .is_some_and(|name| types.enums[*id].number_of(name) == Some(0)),
        Kind::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Kind::Map(_) => value.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

fn read(types: &Types, kind: &Kind, value: &Value) -> Result<Value, String> {
    let mismatch = |wanted: &str| Err(format!("{value} is not {wanted}"));
    Ok(match kind {
        Kind::String | Kind::Bytes => match value {
            Value::String(_) => value.clone(),
            _ => return mismatch("a string"),
        },
        Kind::Bool => match value {
            Value::Bool(_) => value.clone(),
            _ => return mismatch("a boolean"),
        },
        Kind::Int => match number(value).filter(|number| number.fract() == 0.0) {
            #[allow(clippy::cast_possible_truncation)]
            Some(number) => Value::from(number as i64),
            None => return mismatch("an integer"),
        },
        Kind::Int64 => match number(value).filter(|number| number.fract() == 0.0) {
            #[allow(clippy::cast_possible_truncation)]
            Some(number) => Value::String((number as i64).to_string()),
            None => return mismatch("an integer"),
        },
        Kind::Float => match number(value).and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => return mismatch("a number"),
        },
        Kind::Duration => match value.as_str().and_then(duration) {
            Some(duration) => Value::String(duration_text(duration)),
            None => return mismatch("a duration such as 10s"),
        },
        Kind::Time | Kind::Raw | Kind::Quantity | Kind::IntOrString => value.clone(),
        Kind::Enum(id) => {
            let values = &types.enums[*id];
            let name = match value {
                Value::String(name) => values.number_of(name).map(|_| name.as_str()),
                Value::Number(number) => number.as_i64().and_then(|n| values.name_of(n)),
                _ => None,
            };
            match name {
                Some(name) => Value::from(name),
                None => {
                    return Err(format!("unknown value {value} for enum {}", values.name));
                }
            }
        }
        Kind::Wrapped(inner) | Kind::Pointer(inner) => read(types, inner, value)?,
        Kind::List(inner) => match value {
            Value::Array(items) => items
                .iter()
                .map(|item| read(types, inner, item))
                .collect::<Result<_, _>>()?,
            _ => return mismatch("a list"),
        },
        Kind::Map(inner) => match value {
            Value::Object(map) => {
                let mut out = Map::new();
                for (key, value) in map {
                    let value = read(types, inner, value).map_err(|e| format!("{key}: {e}"))?;
                    out.insert(key.clone(), value);
                }
                Value::Object(out)
            }
            _ => return mismatch("a map"),
        },
        Kind::Struct(id) => Value::Object(canonical(types, *id, value)?),
    })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Nanoseconds of a proto JSON duration: seconds with up to nine decimals and an `s`.
pub(crate) fn duration(text: &str) -> Option<i128> {
    let text = text.strip_suffix('s')?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 12 {
        return None;
    }
    let seconds: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let total = seconds * 1_000_000_000 + nanos;
    Some(if negative { -total } else { total })
}

/// A duration as proto JSON: seconds with 0, 3, 6 or 9 decimals.
fn duration_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
    let fraction = format!("{nanos:09}");
    let fraction = match fraction.as_str() {
        "000000000" => "",
        all if all.ends_with("000000") => &all[..3],
        all if all.ends_with("000") => &all[..6],
        all => all,
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{seconds}{dot}{fraction}s")
}

/// The proto name of a field: `drainDuration` is `drain_duration`.
fn snake(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 4);
    for c in json.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::MESH;

    fn check(value: &Value, expected: Result<Value, &str>) {
        let Kind::Struct(id) = MESH.named("ProxyConfig") else {
            panic!("a struct")
        };
        let found = canonical(&MESH, id, value).map(Value::Object);
        assert_eq!(found, expected.map_err(str::to_owned), "{value}");
    }

    #[test]
    fn messages_are_read_as_istiod_reads_them() {
        check(
            &json!({"drain_duration": "45.000s", "interceptionMode": 1, "statusPort": 0, "concurrency": 0, "unknown": 1, "tracing": {},
                "terminationDrainDuration": "1.5s", "meshId": null, "tracingServiceName": "APP_LABEL_AND_NAMESPACE"}),
            Ok(
                json!({"tracingServiceName": "APP_LABEL_AND_NAMESPACE", "drainDuration": "45s", "concurrency": 0,
                "interceptionMode": "TPROXY", "tracing": {}, "terminationDrainDuration": "1.500s"}),
            ),
        );
        check(
            &json!({"statusPort": "x"}),
            Err("statusPort: \"x\" is not an integer"),
        );
        check(
            &json!({"interceptionMode": "SOME"}),
            Err(
                "interceptionMode: unknown value \"SOME\" for enum ProxyConfig_InboundInterceptionMode",
            ),
        );
    }
}

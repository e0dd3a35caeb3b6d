//! Numbers in proto3 JSON: whole numbers and fractions, bare or in quotes.

use serde_json::Value;

/// Reads a whole number between `min` and `max`. `80`, `"80"` and `80.0` are all accepted (Istio: `jsonpb` strips the
/// quotes, and the YAML reader before it writes `80.0` as `80`).
pub(super) fn whole(value: &Value, min: i128, max: i128) -> Result<i128, String> {
    let read = match value {
        Value::Null => Some(0),
        Value::Number(number) => number
            .to_string()
            .parse()
            .ok()
            .or_else(|| number.as_f64().and_then(integral)),
        Value::String(text) => text.parse().ok(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match read {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        Some(number) => Err(format!(
            "{number} is out of range; write a whole number from {min} to {max}"
        )),
        None => Err(format!(
            "{} is not a whole number; write a number from {min} to {max}",
            shown(value)
        )),
    }
}

fn integral(float: f64) -> Option<i128> {
    (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i128)
}

/// Reads a double; `NaN` and the infinities are written as strings (proto3 JSON).
pub(super) fn double(value: &Value) -> Result<f64, String> {
    let read = match value {
        Value::Null => Some(0.0),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    read.ok_or_else(|| {
        format!(
            "{} is not a number; write a number such as 0.5",
            shown(value)
        )
    })
}

/// A value for use in a message: scalars as written, the rest by kind.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

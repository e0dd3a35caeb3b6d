//! Packing messages into `google.protobuf.Any`.

use serde_json::Value;

use crate::canonical::{self, Canonical};
use crate::google::protobuf::{Any, ListValue, Struct, Value as ProtoValue, value::Kind};
use crate::udpa::TypedStruct;

/// What precedes the type's name in a type URL.
pub const PREFIX: &str = "type.googleapis.com/";

/// The type URL of a message type.
pub fn type_url<M: Canonical>() -> String {
    format!("{PREFIX}{}", M::full_name())
}

/// The type's name in a type URL: what follows the last slash.
pub fn type_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

/// The message as an Any, with canonical bytes.
pub fn pack<M: Canonical>(message: &M) -> Any {
    Any {
        type_url: type_url::<M>(),
        value: canonical::encode(message).into(),
    }
}

/// A `udpa.type.v1.TypedStruct`: a message of the named type given as JSON, for filters whose descriptors not every Envoy has
/// (Istio 1.31: metadata exchange and peer metadata). A value that is no object becomes an empty one.
// The value is a literal at nearly every call, so it is taken as it comes.
#[allow(clippy::needless_pass_by_value)]
pub fn typed_struct(type_url: &str, value: Value) -> Any {
    pack(&TypedStruct {
        type_url: type_url.to_owned(),
        value: Some(struct_from_json(&value)),
    })
}

/// A JSON object as a Struct. What is no object becomes an empty Struct.
pub fn struct_from_json(value: &Value) -> Struct {
    let fields = value.as_object().into_iter().flatten();
    Struct {
        fields: fields
            .map(|(key, value)| (key.clone(), value_from_json(value)))
            .collect(),
    }
}

/// A JSON value as a protobuf Value. Numbers become doubles, as JSON in protobuf has no others.
pub fn value_from_json(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(value_from_json).collect(),
        }),
        Value::Object(_) => Kind::StructValue(struct_from_json(value)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A Struct as a JSON object with sorted keys; whole numbers are written without a fraction.
pub fn struct_to_json(value: &Struct) -> Value {
    Value::Object(
        value
            .fields
            .iter()
            .map(|(key, value)| (key.clone(), value_to_json(value)))
            .collect(),
    )
}

/// A protobuf Value as JSON. Numbers that JSON does not have (infinities) become null.
pub fn value_to_json(value: &ProtoValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(*b),
        Some(Kind::NumberValue(n)) => number_to_json(*n),
        Some(Kind::StringValue(s)) => Value::String(s.clone()),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.iter().map(value_to_json).collect())
        }
        Some(Kind::StructValue(inner)) => struct_to_json(inner),
    }
}

/// Up to here every whole number has a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number_to_json(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // The bounds make the cast exact.
        #[allow(clippy::cast_possible_truncation)]
        return Value::from(number as i64);
    }
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests;

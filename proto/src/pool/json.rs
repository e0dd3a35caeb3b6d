//! Rendering as JSON. Unlike prost-reflect's own, it never fails for want of a descriptor: a dump must show what it can. An Any of
//! unknown type, or with contents that are not of its type, is shown as `{"@type": …, "value": base64}`; an empty Any as `{}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, SerializeOptions,
    Value as Reflected,
};
use serde_json::{Map, Value};

use super::pool;
use crate::any::type_name;

const ANY: &str = "google.protobuf.Any";

/// An Any in an Any, and so on; what is deeper is shown as bytes.
const MAX_NESTED: u32 = 32;

/// The JSON of a message; the error is the reason why a well-known type has none (a duration out of range).
pub(super) fn render(message: &DynamicMessage) -> Result<Value, String> {
    message_json(message, 0)
}

/// Whether a message type has a JSON form other than an object of its fields; in an Any such a form stands under `value`.
pub(in crate::pool) fn has_own_form(name: &str) -> bool {
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        name.ends_with("Value")
            || matches!(
                name,
                "Any" | "Duration" | "Empty" | "FieldMask" | "Struct" | "Timestamp"
            )
    })
}

fn message_json(message: &DynamicMessage, nested: u32) -> Result<Value, String> {
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        ANY => any_json(message, nested),
        name if has_own_form(name) => message
            .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
            .map_err(|error| error.to_string()),
        _ => {
            let fields = message.fields().map(|(field, value)| {
                Ok((field.name().to_owned(), field_json(&field, value, nested)?))
            });
            fields
                .collect::<Result<Map<_, _>, String>>()
                .map(Value::Object)
        }
    }
}

fn any_json(any: &DynamicMessage, nested: u32) -> Result<Value, String> {
    let (url, value) = (
        any.get_field_by_name("type_url"),
        any.get_field_by_name("value"),
    );
    let url = url
        .as_deref()
        .and_then(Reflected::as_str)
        .unwrap_or_default();
    let value = value
        .as_deref()
        .and_then(Reflected::as_bytes)
        .cloned()
        .unwrap_or_default();
    if url.is_empty() && value.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let name = type_name(url);
    let contents = pool()
        .get_message_by_name(name)
        .filter(|_| nested < MAX_NESTED)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, value.as_ref()).ok());
    let contents = match contents {
        Some(message) => with_type(url, message_json(&message, nested + 1)?),
        None => serde_json::json!({ "@type": url, "value": STANDARD.encode(&value) }),
    };
    Ok(contents)
}

/// The JSON of an Any whose contents have the given JSON.
pub(super) fn with_type(url: &str, contents: Value) -> Value {
    match contents {
        Value::Object(mut fields) if !has_own_form(type_name(url)) => {
            fields.insert("@type".to_owned(), Value::from(url));
            Value::Object(fields)
        }
        other => serde_json::json!({ "@type": url, "value": other }),
    }
}

fn field_json(field: &FieldDescriptor, value: &Reflected, nested: u32) -> Result<Value, String> {
    let kind = field.kind();
    match value {
        Reflected::List(items) => items
            .iter()
            .map(|item| value_json(&kind, item, nested))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        Reflected::Map(entries) => {
            let kind = kind
                .as_message()
                .map_or(kind.clone(), |entry| entry.map_entry_value_field().kind());
            let entries = entries
                .iter()
                .map(|(key, value)| Ok((key_json(key), value_json(&kind, value, nested)?)));
            entries
                .collect::<Result<Map<_, _>, String>>()
                .map(Value::Object)
        }
        single => value_json(&kind, single, nested),
    }
}

fn value_json(kind: &Kind, value: &Reflected, nested: u32) -> Result<Value, String> {
    Ok(match value {
        Reflected::Bool(b) => Value::Bool(*b),
        Reflected::I32(n) => Value::from(*n),
        Reflected::U32(n) => Value::from(*n),
        Reflected::I64(n) => Value::from(n.to_string()),
        Reflected::U64(n) => Value::from(n.to_string()),
        // By way of its shortest decimal form, so that 0.1 stays 0.1.
        Reflected::F32(n) => number_json(n.to_string().parse().unwrap_or_else(|_| f64::from(*n))),
        Reflected::F64(n) => number_json(*n),
        Reflected::String(s) => Value::from(s.as_str()),
        Reflected::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        Reflected::EnumNumber(n) => enum_json(kind, *n),
        Reflected::Message(message) => message_json(message, nested)?,
        Reflected::List(_) | Reflected::Map(_) => Value::Null, // lists and maps hold neither
    })
}

/// Protobuf: numbers that JSON does not have are written as words.
fn number_json(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None if number > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

/// The name of the number, or the number itself where it has none.
fn enum_json(kind: &Kind, number: i32) -> Value {
    match kind.as_enum() {
        Some(values) if values.full_name() == "google.protobuf.NullValue" => Value::Null,
        Some(values) => values
            .get_value(number)
            .map_or(Value::from(number), |value| Value::from(value.name())),
        None => Value::from(number),
    }
}

fn key_json(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(s) => s.clone(),
    }
}

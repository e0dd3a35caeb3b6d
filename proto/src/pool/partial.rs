//! Messages that users write as JSON (patches of EnvoyFilters): what Envoy's API does not know in them is left out and named,
//! since it may be meant for another version; what cannot be read is an error that names its field.

mod duration;

use bytes::Bytes;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::json::has_own_form;
use super::{decode, descriptor, pool};
use crate::any::type_name;
use crate::canonical;

const ANY: &str = "google.protobuf.Any";
const TYPE: &str = "@type";

/// Deeper than any message that Envoy reads.
const MAX_DEPTH: u32 = 100;

/// A message, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The canonical bytes.
    pub bytes: Bytes,
    /// Fields and names of enum values that nothing is known of, as `typed_config.rate[0].x`.
    pub unknown: Vec<String>,
}

/// Why JSON is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// The field, as `typed_config.rate[0].x`; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a message from JSON. Field names may be the proto's or in lower camel case.
pub fn partial_message(type_name: &str, json: &Value) -> Result<Partial, Unreadable> {
    let whole = |reason: String| Unreadable {
        path: String::new(),
        reason,
    };
    let ty = descriptor(type_name).map_err(|e| whole(e.to_string()))?;
    let mut json = json.clone();
    let mut unknown = Vec::new();
    let mut walk = Walk {
        unknown: &mut unknown,
        depth: 0,
    };
    walk.message(&ty, &mut json, "")?;
    let message = read(&ty, &json).map_err(|reason| Unreadable {
        path: blamed(&ty, &json),
        reason,
    })?;
    let bytes = canonical::canonicalize_dynamic(message).map_err(|e| whole(e.to_string()))?;
    // What is nested too deeply is written, but not read.
    decode(type_name, &bytes).map_err(|e| whole(e.to_string()))?;
    Ok(Partial { bytes, unknown })
}

fn read(ty: &MessageDescriptor, json: &Value) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(ty.clone(), json, &options).map_err(|e| e.to_string())
}

fn field(ty: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    ty.get_field_by_name(name)
        .or_else(|| ty.get_field_by_json_name(name))
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// The type of what an Any in JSON holds.
fn contents(any: &Map<String, Value>) -> Option<Result<MessageDescriptor, &str>> {
    let url = any.get(TYPE)?.as_str()?;
    let ty = pool().get_message_by_name(type_name(url));
    Some(ty.ok_or(url))
}

/// Takes out what is unknown.
struct Walk<'a> {
    unknown: &'a mut Vec<String>,
    depth: u32,
}

impl Walk<'_> {
    fn message(
        &mut self,
        ty: &MessageDescriptor,
        json: &mut Value,
        path: &str,
    ) -> Result<(), Unreadable> {
        let Value::Object(fields) = json else {
            return Ok(()); // reading it says what it should be
        };
        if self.depth == MAX_DEPTH {
            return Err(Unreadable {
                path: path.to_owned(),
                reason: "is nested too deeply".to_owned(),
            });
        }
        self.depth += 1;
        let done = match ty.full_name() {
            ANY => match contents(fields) {
                Some(Err(url)) => Err(Unreadable {
                    path: below(path, TYPE),
                    reason: unknown_type(url),
                }),
                Some(Ok(inner)) if !has_own_form(inner.full_name()) => {
                    self.fields(&inner, fields, path)
                }
                Some(Ok(_)) | None => Ok(()),
            },
            name if has_own_form(name) => Ok(()),
            _ => self.fields(ty, fields, path),
        };
        self.depth -= 1;
        done
    }

    fn fields(
        &mut self,
        ty: &MessageDescriptor,
        fields: &mut Map<String, Value>,
        path: &str,
    ) -> Result<(), Unreadable> {
        let names: Vec<String> = fields.keys().filter(|n| *n != TYPE).cloned().collect();
        for name in names {
            let here = below(path, &name);
            let keep = match (field(ty, &name), fields.get_mut(&name)) {
                (Some(field), Some(value)) => self.value(&field, value, &here)?,
                _ => false,
            };
            if !keep {
                fields.shift_remove(&name);
                self.unknown.push(here);
            }
        }
        Ok(())
    }

    /// Whether the value is known.
    fn value(
        &mut self,
        field: &FieldDescriptor,
        value: &mut Value,
        path: &str,
    ) -> Result<bool, Unreadable> {
        match value {
            Value::Array(items) if field.is_list() => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Kind::Message(inner) = field.kind() {
                        self.message(&inner, item, &format!("{path}[{index}]"))?;
                    }
                }
                Ok(true)
            }
            Value::Object(entries) if field.is_map() => {
                let kind = field.kind();
                let inner = kind.as_message().map(|e| e.map_entry_value_field().kind());
                if let Some(Kind::Message(inner)) = inner {
                    for (key, item) in entries {
                        self.message(&inner, item, &below(path, key))?;
                    }
                }
                Ok(true)
            }
            Value::String(text) if is_duration(field) => {
                // What is no duration is left for the reader to refuse.
                if let Some(seconds) = duration::seconds(text) {
                    *text = seconds;
                }
                Ok(true)
            }
            Value::String(name) => Ok(match field.kind() {
                Kind::Enum(values) if !field.is_list() => values
                    .get_value_by_name(name)
                    .map(|_| ())
                    .or_else(|| name.parse::<i32>().ok().map(|_| ()))
                    .is_some(),
                _ => true,
            }),
            _ => {
                if let Kind::Message(inner) = field.kind()
                    && !field.is_list()
                {
                    self.message(&inner, value, path)?;
                }
                Ok(true)
            }
        }
    }
}

fn is_duration(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let message = kind.as_message();
    !field.is_list() && message.is_some_and(|m| m.full_name() == "google.protobuf.Duration")
}

fn unknown_type(url: &str) -> String {
    let hint = if url.contains(".v2.") || url.contains(".v2alpha") {
        "; write the v3 type"
    } else {
        "; check its spelling, or give it as xds.type.v3.TypedStruct if only the proxy knows it"
    };
    format!("unknown message type {url:?}{hint}")
}

/// The field for which JSON is no message: each is tried alone.
fn blamed(ty: &MessageDescriptor, json: &Value) -> String {
    let Value::Object(fields) = json else {
        return String::new();
    };
    let (ty, any) = match ty.full_name() {
        ANY => match contents(fields) {
            Some(Ok(inner)) => (inner, true),
            _ => return String::new(),
        },
        _ => (ty.clone(), false),
    };
    if has_own_form(ty.full_name()) {
        return String::new();
    }
    for (name, value) in fields.iter().filter(|(name, _)| !any || *name != TYPE) {
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if read(&ty, &alone).is_ok() {
            continue;
        }
        let Some(field) = field(&ty, name) else {
            return name.clone();
        };
        let kind = field.kind();
        let inner = if field.is_map() {
            kind.as_message().map(|e| e.map_entry_value_field().kind())
        } else {
            Some(kind)
        };
        let Some(Kind::Message(inner)) = inner else {
            return name.clone();
        };
        let (place, value) = match value {
            Value::Array(items) if field.is_list() => {
                let bad = items.iter().position(|item| read(&inner, item).is_err());
                match bad {
                    Some(index) => (format!("{name}[{index}]"), &items[index]),
                    None => return name.clone(),
                }
            }
            Value::Object(entries) if field.is_map() => {
                match entries.iter().find(|(_, item)| read(&inner, item).is_err()) {
                    Some((key, item)) => (below(name, key), item),
                    None => return name.clone(),
                }
            }
            value => (name.clone(), value),
        };
        let rest = blamed(&inner, value);
        return if rest.is_empty() {
            place
        } else {
            below(&place, &rest)
        };
    }
    String::new()
}

#[cfg(test)]
mod tests;

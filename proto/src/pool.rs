//! The descriptors of all messages, and JSON.
//!
//! JSON is proto JSON with the proto's own field names: Any expanded with `@type`, enums by name, durations as `10s`, 64-bit
//! integers as strings, wrappers as their value, defaults left out (a member of a oneof that is set is written even if zero).
//! The pool is built at its first use and stays; it takes some 27 MB, so nothing on the path of a resource touches it.

mod json;
mod partial;

use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::any::type_name;
use crate::canonical;

pub use partial::{Partial, Unreadable, partial_message};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
    DescriptorPool::decode(bytes.as_slice())
        .expect("the build wrote a closed set of valid descriptors")
});

/// What can be wrong with a message from outside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither Envoy's API nor our extensions have such a type.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// The bytes are no message of the type.
    #[error("not a valid {type_name}: {reason}")]
    Malformed {
        /// The type that was expected.
        type_name: String,
        /// What the decoder says.
        reason: String,
    },
    /// The JSON is no message of the type, or the message has no JSON form.
    #[error("not valid as JSON of {type_name}: {reason}")]
    Json {
        /// The type that was expected.
        type_name: String,
        /// What the parser or the printer says.
        reason: String,
    },
    /// Two messages of different types do not merge.
    #[error("{source_type} does not merge into {target}")]
    Mismatch {
        /// The type to merge into.
        target: String,
        /// The other.
        source_type: String,
    },
}

/// The descriptors of Envoy's API, of our extensions and of the well-known types.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of a message type, by its full name.
pub fn descriptor(type_name: &str) -> Result<MessageDescriptor, Error> {
    pool()
        .get_message_by_name(type_name)
        .ok_or_else(|| Error::UnknownType(type_name.to_owned()))
}

/// Decodes bytes of the named type for reflection.
pub fn decode(type_name: &str, bytes: &[u8]) -> Result<DynamicMessage, Error> {
    DynamicMessage::decode(descriptor(type_name)?, bytes).map_err(|e| Error::Malformed {
        type_name: type_name.to_owned(),
        reason: e.to_string(),
    })
}

/// JSON of a message, without `@type`: the form in which resources are printed and recorded.
pub fn message_to_json(type_name: &str, bytes: &[u8]) -> Result<Value, Error> {
    json::render(&decode(type_name, bytes)?).map_err(|reason| Error::Json {
        type_name: type_name.to_owned(),
        reason,
    })
}

/// JSON of an Any: that of its message, and `@type`. A well-known type with a form of its own stands under `value` (protobuf:
/// `google/protobuf/any.proto`).
pub fn any_to_json(type_url: &str, bytes: &[u8]) -> Result<Value, Error> {
    Ok(json::with_type(
        type_url,
        message_to_json(type_name(type_url), bytes)?,
    ))
}

/// Canonical bytes of a message given as JSON. Every Any in it needs a known type. Field names may be the proto's or in lower camel case; unknown ones are errors.
pub fn json_to_message(type_name: &str, json: &Value) -> Result<Bytes, Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor(type_name)?, json, &options)
        .map_err(|e| Error::Json {
            type_name: type_name.to_owned(),
            reason: e.to_string(),
        })?;
    canonical::canonicalize_dynamic(message)
}

#[cfg(test)]
mod tests;

//! Proto3 JSON as Istio reads it: the form in which users write every Istio object.
//!
//! Istio 1.31 decodes its objects and mesh configuration with `golang/protobuf`'s `jsonpb`, which is laxer than
//! canonical proto3 JSON. The rules kept here are its rules:
//! - a field may be spelt in camelCase or by its proto name; when both are there, camelCase wins;
//! - `null` is the same as an absent field, and an empty element inside a list or a map;
//! - numbers may stand in quotes; enums may be given by name or by number;
//! - durations are Go durations (`1.5s`, `1h2m`, `300ms`).
//!
//! We differ where `jsonpb` would silently choose: two members of a oneof, and an enum number that nobody defined,
//! are errors.

mod macros;
mod node;
mod numbers;
mod path;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use macros::{
    enums, is_default, json_name, messages, one_of, unknown_name, unknown_number,
};

/// A value that was read, and the fields that were not understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    /// What was read; fields that are absent have their proto3 defaults.
    pub value: T,
    /// The paths of fields that the type does not have, such as `spec.http[0].foo`. They are ignored, as in Istio.
    pub unknown: Vec<String>,
}

/// A field whose value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, such as `spec.http[0].timeout`; empty for the value as a whole.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for FieldError {}

/// Reads `value`; paths begin at the value itself (`http[0].timeout`).
pub fn parse<T: DeserializeOwned>(value: &Value) -> Result<Parsed<T>, FieldError> {
    parse_at("", value)
}

/// Reads the `spec` of an object; paths begin with `spec` (`spec.http[0].timeout`).
pub fn parse_spec<T: DeserializeOwned>(spec: &Value) -> Result<Parsed<T>, FieldError> {
    parse_at("spec", spec)
}

/// Reads `value`, which stands at `root` of what the user wrote.
pub fn parse_at<T: DeserializeOwned>(root: &str, value: &Value) -> Result<Parsed<T>, FieldError> {
    let unknown = RefCell::new(Vec::new());
    let path = path::Path::Root(root);
    let node = node::Node {
        value,
        path: &path,
        unknown: &unknown,
    };
    match T::deserialize(node) {
        Ok(value) => {
            let mut unknown = unknown.into_inner();
            unknown.sort();
            Ok(Parsed { value, unknown })
        }
        Err(failure) => Err(failure.located(&path)),
    }
}

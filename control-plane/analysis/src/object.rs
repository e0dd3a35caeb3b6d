//! One object, and how its fields are read: absent fields and fields of another type are empty, since saying so is the
//! work of validation.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Kind;

/// An object as it is written.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty when it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it.
    pub value: Value,
    /// The file it stands in; empty when it stands in none.
    pub file: String,
    /// The line at which it begins.
    pub line: u32,
    /// The caller's own number of it, for [`crate::Judges::line_of`].
    pub id: usize,
}

impl Object {
    /// An object of a file. `None` when no analyzer reads its kind. An object without a namespace gets `namespace`.
    ///
    /// Istio 1.31: an object that has no namespaces loses the one that is written.
    pub fn new(value: Value, namespace: &str) -> Option<Self> {
        let kind = Kind::of(text(&value, "/apiVersion"), text(&value, "/kind"))?;
        let own = text(&value, "/metadata/namespace");
        let namespace = match own {
            _ if kind.is_cluster_wide() => "",
            "" => namespace,
            own => own,
        };
        Some(Self {
            kind,
            namespace: namespace.to_owned(),
            name: text(&value, "/metadata/name").to_owned(),
            file: String::new(),
            line: 0,
            id: usize::MAX,
            value,
        })
    }

    /// `namespace/name`, or the name alone where there is no namespace.
    pub fn full_name(&self) -> String {
        match &*self.namespace {
            "" => self.name.clone(),
            namespace => format!("{namespace}/{}", self.name),
        }
    }

    /// How messages name it: `Kind namespace/name`.
    pub fn origin(&self) -> String {
        format!("{} {}", self.kind.name(), self.full_name())
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        map(&self.value, "/metadata/labels")
    }

    /// Its annotations.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        map(&self.value, "/metadata/annotations")
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels().get(name).copied()
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations().get(name).copied()
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        text(&self.value, path)
    }

    pub(crate) fn list(&self, path: &str) -> &[Value] {
        list(&self.value, path)
    }

    pub(crate) fn texts(&self, path: &str) -> Vec<&str> {
        texts(&self.value, path)
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        has(&self.value, path)
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("")
}

/// The number at a JSON pointer; 0 if there is none.
pub(crate) fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

/// The list at a JSON pointer; empty if there is none.
pub(crate) fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    let found = value.pointer(path).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The texts of a list.
pub(crate) fn texts<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    list(value, path).iter().filter_map(Value::as_str).collect()
}

/// The texts of a map, by key.
pub(crate) fn map<'v>(value: &'v Value, path: &str) -> BTreeMap<&'v str, &'v str> {
    let found = value.pointer(path).and_then(Value::as_object);
    let entries = found.into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}

/// Whether something other than null is there.
pub(crate) fn has(value: &Value, path: &str) -> bool {
    value.pointer(path).is_some_and(|found| !found.is_null())
}

/// A value that is a number or a name, as Kubernetes prints it (`targetPort`).
pub(crate) fn number_or_name(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "0".to_owned(),
    }
}

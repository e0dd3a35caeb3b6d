//! An object as the API server sent it, read as JSON whatever is in it: what is wrong is for lowering to say.

use std::borrow::Cow;

use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object. It lives until it is lowered.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    /// Name, namespace, version: what the watcher and the table need.
    metadata: ObjectMeta,
    pub(super) value: Value,
}

impl Raw {
    /// The text at a field of `metadata`; empty if there is none.
    pub(super) fn meta_text(&self, field: &str) -> &str {
        let found = self.value.get("metadata").and_then(|m| m.get(field));
        found.and_then(Value::as_str).unwrap_or_default()
    }

    /// A label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.value
            .get("metadata")?
            .get("labels")?
            .get(name)?
            .as_str()
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let mut metadata = ObjectMeta::default();
        if let Some(Value::Object(fields)) = value.get_mut("metadata") {
            // The largest part of many objects, and nobody reads it.
            fields.remove("managedFields");
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            metadata.name = text("name");
            metadata.namespace = text("namespace");
            metadata.resource_version = text("resourceVersion");
        }
        Ok(Self { metadata, value })
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        of.api_version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

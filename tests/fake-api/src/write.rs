//! Creating, updating, patching and deleting.

use serde_json::{Map, Value, json};

use crate::patch::{self, Form};
use crate::state::{Key, State};
use crate::status::Refusal;
use crate::types::Type;

/// What a write is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Type,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Only the status is written.
    pub(crate) status: bool,
    /// Nothing is stored.
    pub(crate) dry_run: bool,
}

impl Target {
    fn key(&self) -> Key {
        Key {
            resource: self.kind.resource(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    fn shown(&self) -> String {
        format!("{} \"{}\"", self.kind.resource(), self.name)
    }
}

pub(crate) fn create(
    state: &mut State,
    mut target: Target,
    mut object: Value,
) -> Result<Value, Refusal> {
    if !object.is_object() {
        return Err(Refusal::new(400, "the body is not an object"));
    }
    let metadata = metadata_of(&mut object);
    if let Some(name) = metadata.get("name").and_then(Value::as_str) {
        name.clone_into(&mut target.name);
    } else if let Some(prefix) = metadata.get("generateName").and_then(Value::as_str) {
        target.name = format!("{prefix}{:05}", state.version);
    }
    if target.name.is_empty() {
        return Err(Refusal::new(
            422,
            "metadata.name: name or generateName is required",
        ));
    }
    if metadata.get("resourceVersion").is_some_and(|v| v != "") {
        return Err(Refusal::new(
            400,
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if let Some(namespace) = metadata.get("namespace").and_then(Value::as_str)
        && namespace != target.namespace
    {
        return Err(wrong_namespace());
    }
    if state.objects.contains_key(&target.key()) {
        return Err(Refusal::already_exists(&target.shown()));
    }
    if target.kind.status
        && let Some(fields) = object.as_object_mut()
        && target.kind.resource() != crate::types::DEFINITIONS
    {
        fields.remove("status");
    }
    let object = completed(state, &target, object);
    Ok(stored(state, &target, object))
}

pub(crate) fn update(
    state: &mut State,
    target: &Target,
    mut object: Value,
) -> Result<Value, Refusal> {
    if !object.is_object() {
        return Err(Refusal::new(400, "the body is not an object"));
    }
    let metadata = metadata_of(&mut object);
    if metadata.get("name").and_then(Value::as_str) != Some(target.name.as_str()) {
        return Err(Refusal::new(
            400,
            "the name of the object does not match the name on the URL",
        ));
    }
    if let Some(namespace) = metadata.get("namespace").and_then(Value::as_str)
        && namespace != target.namespace
    {
        return Err(wrong_namespace());
    }
    let Some(before) = state.objects.get(&target.key()).cloned() else {
        return Err(Refusal::not_found(&target.shown()));
    };
    replace(state, target, &before, object)
}

pub(crate) fn patch(
    state: &mut State,
    target: &Target,
    form: Form,
    body: &Value,
) -> Result<Value, Refusal> {
    let Some(before) = state.objects.get(&target.key()).cloned() else {
        if form == Form::Apply && !target.status {
            let mut object = body.clone();
            metadata_of(&mut object).insert("name".to_owned(), target.name.clone().into());
            return create(state, target.clone(), object);
        }
        return Err(Refusal::not_found(&target.shown()));
    };
    let after = patch::patched(&before, form, body)?;
    replace(state, target, &before, after)
}

/// Deletes, or marks as deleted while finalizers are left.
pub(crate) fn delete(
    state: &mut State,
    target: &Target,
    options: &Value,
) -> Result<Value, Refusal> {
    let Some(before) = state.objects.get(&target.key()).cloned() else {
        return Err(Refusal::not_found(&target.shown()));
    };
    for (condition, field) in [("uid", "uid"), ("resourceVersion", "resourceVersion")] {
        let wanted = &options["preconditions"][condition];
        if wanted.is_string() && *wanted != before["metadata"][field] {
            return Err(Refusal::conflict(&target.shown()));
        }
    }
    if target.dry_run {
        return Ok(before);
    }
    if has_finalizers(&before) {
        let mut after = before;
        if after["metadata"].get("deletionTimestamp").is_none() {
            after["metadata"]["deletionTimestamp"] = NOW.into();
            after = state.put(&target.key(), after);
        }
        return Ok(after);
    }
    let removed = state.remove(&target.key());
    removed.ok_or_else(|| Refusal::not_found(&target.shown()))
}

/// Creates or replaces the whole object, its status too: what a test says is so.
pub(crate) fn assert(state: &mut State, target: &Target, mut object: Value) -> Value {
    let before = state.objects.get(&target.key()).cloned();
    metadata_of(&mut object);
    let object = match &before {
        Some(before) => kept(before, object),
        None => completed(state, target, object),
    };
    stored(state, target, object)
}

fn replace(
    state: &mut State,
    target: &Target,
    before: &Value,
    mut object: Value,
) -> Result<Value, Refusal> {
    let asked = metadata_of(&mut object).get("resourceVersion").cloned();
    if let Some(asked) = asked
        && asked != ""
        && asked != before["metadata"]["resourceVersion"]
    {
        return Err(Refusal::conflict(&target.shown()));
    }
    let uid = &object["metadata"]["uid"];
    if uid.is_string() && *uid != before["metadata"]["uid"] {
        return Err(Refusal::conflict(&target.shown()));
    }
    if target.status {
        let status = object["status"].take();
        object = before.clone();
        object["status"] = status;
    } else if target.kind.status {
        match before.get("status") {
            Some(status) => object["status"] = status.clone(),
            None => {
                object.as_object_mut().map(|fields| fields.remove("status"));
            }
        }
    }
    let mut object = kept(before, object);
    if object["metadata"].get("deletionTimestamp").is_some() && !has_finalizers(&object) {
        if !target.dry_run {
            state.remove(&target.key());
        }
        return Ok(object);
    }
    object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    // A write without effect is none.
    if object == *before || target.dry_run {
        return Ok(object);
    }
    Ok(stored(state, target, object))
}

/// With the metadata that the server keeps.
fn kept(before: &Value, mut object: Value) -> Value {
    for field in ["uid", "creationTimestamp", "namespace", "deletionTimestamp"] {
        match before["metadata"].get(field) {
            // A test may say that an object is being deleted.
            None if field == "deletionTimestamp" => {}
            None => {}
            Some(value) => object["metadata"][field] = value.clone(),
        }
    }
    for field in ["apiVersion", "kind"] {
        object[field] = before[field].clone();
    }
    let generation = before["metadata"]["generation"].as_u64().unwrap_or(1);
    let grown = u64::from(before["spec"] != object["spec"]);
    object["metadata"]["generation"] = (generation + grown).into();
    object
}

/// With the metadata that the server gives.
fn completed(state: &State, target: &Target, mut object: Value) -> Value {
    let metadata = metadata_of(&mut object);
    metadata.insert("name".to_owned(), target.name.clone().into());
    if !target.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), target.namespace.clone().into());
    }
    let uid = format!("00000000-0000-4000-8000-{:012}", state.version + 1);
    metadata.entry("uid").or_insert_with(|| uid.into());
    metadata
        .entry("creationTimestamp")
        .or_insert_with(|| NOW.into());
    metadata.entry("generation").or_insert_with(|| 1.into());
    if target.kind.resource() == "namespaces" {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        labels["kubernetes.io/metadata.name"] = target.name.clone().into();
    }
    object["kind"] = target.kind.kind.clone().into();
    if object.get("apiVersion").is_none() {
        let version = target.kind.versions.first().map_or("v1", String::as_str);
        object["apiVersion"] = target.kind.api_version(version).into();
    }
    object
}

fn stored(state: &mut State, target: &Target, object: Value) -> Value {
    if target.dry_run {
        return object;
    }
    state.put(&target.key(), object)
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|f| !f.is_empty())
}

fn metadata_of(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("it was made an object"),
    }
}

fn wrong_namespace() -> Refusal {
    Refusal::new(
        400,
        "the namespace of the object does not match the namespace on the request",
    )
}

/// The time of everything: tests compare no clocks.
const NOW: &str = "2026-01-01T00:00:00Z";

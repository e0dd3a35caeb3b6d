//! Getting and listing.

use serde_json::{Value, json};

use crate::selector::Selection;
use crate::state::{Key, State};
use crate::status::Refusal;
use crate::types::Type;

/// How an object is shown.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// In which version it was asked for.
    pub(crate) api_version: String,
    /// Only the metadata.
    pub(crate) metadata_only: bool,
}

impl View {
    pub(crate) fn of(&self, object: &Value) -> Value {
        if self.metadata_only {
            return json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object["metadata"],
            });
        }
        let mut object = object.clone();
        object["apiVersion"] = self.api_version.clone().into();
        object
    }
}

/// A list as it was asked for.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) selection: Selection,
    /// 0: no limit.
    pub(crate) limit: usize,
    /// Where the last page ended.
    pub(crate) after: Option<Continue>,
}

/// A `continue` token: which state is listed, and where the last page ended.
#[derive(Debug)]
pub(crate) struct Continue {
    version: u64,
    namespace: String,
    name: String,
}

impl Continue {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().map(str::to_owned);
        let (Some(version), Some(namespace), Some(name)) = (next(), next(), next()) else {
            return Err(Refusal::new(400, "continue key is not valid"));
        };
        let version = version
            .parse()
            .map_err(|_| Refusal::new(400, "continue key is not valid"))?;
        Ok(Self {
            version,
            namespace,
            name,
        })
    }
}

/// One page. Later pages show the state of the first, unless its history is gone.
pub(crate) fn list(state: &State, kind: &Type, list: &List, view: &View) -> Result<Value, Refusal> {
    let resource = kind.resource();
    let version = list.after.as_ref().map_or(state.version, |c| c.version);
    if version < state.oldest {
        return Err(Refusal::expired(version, state.oldest));
    }
    let objects = state.objects_at(version, &resource);
    let mut left = objects
        .iter()
        .filter(|(key, _)| {
            list.after
                .as_ref()
                .is_none_or(|c| (&key.namespace, &key.name) > (&c.namespace, &c.name))
        })
        .filter(|(_, object)| list.selection.holds(object))
        .peekable();
    let limit = if list.limit == 0 {
        usize::MAX
    } else {
        list.limit
    };
    let mut last: Option<&Key> = None;
    let mut items = Vec::new();
    while items.len() < limit
        && let Some((key, object)) = left.next()
    {
        last = Some(key);
        items.push(item(view.of(object)));
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let (Some(last), true) = (last, left.peek().is_some()) {
        metadata["continue"] = format!("{version}/{}/{}", last.namespace, last.name).into();
        metadata["remainingItemCount"] = left.count().into();
    }
    let (api_version, name) = if view.metadata_only {
        (
            "meta.k8s.io/v1".to_owned(),
            "PartialObjectMetadataList".to_owned(),
        )
    } else {
        (view.api_version.clone(), format!("{}List", kind.kind))
    };
    Ok(json!({"apiVersion": api_version, "kind": name, "metadata": metadata, "items": items}))
}

/// The items of lists of built-in types do not repeat their kind.
fn item(mut object: Value) -> Value {
    let built_in = object["apiVersion"]
        .as_str()
        .is_some_and(|v| !v.contains('/') || v.contains(".k8s.io/"));
    if built_in
        && object["kind"] != "PartialObjectMetadata"
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

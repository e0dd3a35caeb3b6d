//! The forms of patches.

use serde_json::Value;

use crate::status::Refusal;

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 6902.
    Json,
    /// RFC 7386; strategic merge patches are taken as such: their lists replace.
    Merge,
    /// Server-side apply, without field ownership: merged.
    Apply,
}

impl Form {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                Some(Self::Merge)
            }
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => Some(Self::Apply),
            _ => None,
        }
    }
}

pub(crate) fn patched(before: &Value, form: Form, body: &Value) -> Result<Value, Refusal> {
    let mut after = before.clone();
    match form {
        Form::Merge | Form::Apply => {
            if !body.is_object() {
                return Err(Refusal::new(400, "the patch is not an object"));
            }
            json_patch::merge(&mut after, body);
        }
        Form::Json => {
            let operations: json_patch::Patch = serde_json::from_value(body.clone())
                .map_err(|error| Refusal::new(400, error.to_string()))?;
            json_patch::patch(&mut after, &operations)
                .map_err(|error| Refusal::new(422, error.to_string()))?;
        }
    }
    Ok(after)
}

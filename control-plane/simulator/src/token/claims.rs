//! Claims, as headers and metadata show them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Claims;

/// A claim by its name, whose parts are divided by dots.
pub(super) fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(whole) = claims.get(name) {
        return Some(whole);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// A claim as the value of a header. Envoy: text, numbers and truth values as they are, others in base64; `null` not at all.
pub(super) fn shown(claim: &Value) -> Option<String> {
    match claim {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(claim.to_string()),
        Value::Array(_) | Value::Object(_) => Some(STANDARD.encode(claim.to_string())),
    }
}

/// Claims in which some lists are written with spaces between.
pub(super) fn normalized(claims: &Claims, lists: &[String]) -> Claims {
    let mut claims = claims.clone();
    for name in lists {
        if let Some(Value::String(text)) = claims.get(name) {
            let parts = text.split_whitespace().map(Value::from).collect();
            claims.insert(name.clone(), Value::Array(parts));
        }
    }
    claims
}

//! Labels of workloads.

use std::collections::BTreeMap;

use super::host::is_dns_label;
use crate::Findings;

/// Labels as Kubernetes accepts them. Istio 1.31: `labels.Instance.Validate`.
pub fn labels(found: &mut Findings, at: &str, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        if let Err(message) = label_key(key) {
            found.error(at, message);
        }
        if !value.is_empty() && !is_qualified(value) {
            found.error(at, format!("invalid tag value: {value:?}"));
        }
    }
}

fn label_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    // A part of a prefix may be longer than a DNS label, as in Istio's expression; only the whole is bounded.
    let good_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if !is_qualified(name) || !prefix.is_none_or(|prefix| prefix.split('.').all(good_part)) {
        return Err(format!("invalid tag key: {key:?}"));
    }
    if prefix.is_some_and(|prefix| prefix.len() > 253) {
        return Err(format!("invalid tag key: {key:?} (DNS prefix is too long)"));
    }
    if name.len() > 63 {
        return Err(format!("invalid tag key: {key:?} (name is too long)"));
    }
    Ok(())
}

/// Letters, digits, and inner hyphens, underscores and dots.
fn is_qualified(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// The name of a subset. Istio 1.31: `validateSubsetName`.
pub fn subset_name(name: &str) -> crate::Check {
    if name.is_empty() {
        return Err("subset name cannot be empty".to_owned());
    }
    if !is_dns_label(name) {
        return Err(format!("subset name is invalid: {name}"));
    }
    Ok(())
}

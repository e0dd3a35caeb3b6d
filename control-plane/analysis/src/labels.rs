//! Labels, and what selects them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::{list, map, text, texts};

/// Labels, or the equality selector that is written the same way.
pub(crate) type Set<'a> = BTreeMap<&'a str, &'a str>;

/// Whether everything that `selector` asks for is there; the empty selector selects everything.
pub(crate) fn selects(selector: &Set<'_>, labels: &Set<'_>) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

/// A selector as Kubernetes prints it: `app=a,version=v1`.
pub(crate) fn shown(selector: &Set<'_>) -> String {
    let pairs: Vec<_> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

/// The field of a selector's first label, where messages point to.
pub(crate) fn first_label(path: &str, selector: &Set<'_>) -> String {
    match selector.keys().next() {
        Some(key) => format!("{path}[\"{key}\"]"),
        None => String::new(),
    }
}

/// Whether a `LabelSelector` (`matchLabels`, `matchExpressions`) selects these labels. One that is absent selects
/// everything; one that is wrong, nothing.
pub(crate) fn label_selector_selects(selector: Option<&Value>, labels: &Set<'_>) -> bool {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else {
        return true;
    };
    selects(&map(selector, "/matchLabels"), labels)
        && list(selector, "/matchExpressions").iter().all(|wanted| {
            let found = labels.get(text(wanted, "/key"));
            let values = texts(wanted, "/values");
            match text(wanted, "/operator") {
                "In" => found.is_some_and(|value| values.contains(value)),
                "NotIn" => found.is_none_or(|value| !values.contains(value)),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

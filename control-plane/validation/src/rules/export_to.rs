//! Visibility.

use std::collections::BTreeSet;

use super::host::is_dns_label;
use crate::{Check, Findings};

/// Whose `exportTo` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A VirtualService or a DestinationRule.
    Configuration,
    /// A ServiceEntry, which may be visible to nobody.
    ServiceEntry,
    /// A DestinationRule for some workloads only, which serves its own namespace.
    SelectedDestinationRule,
}

/// `exportTo`. Istio 1.31: `validateExportTo`.
pub fn export_to(found: &mut Findings, namespace: &str, list: &[String], of: Of) {
    const AT: &str = "spec.exportTo";
    let mut seen = BTreeSet::new();
    for (i, entry) in list.iter().enumerate() {
        let at = format!("{AT}[{i}]");
        let key = if entry == "." { namespace } else { entry };
        if seen.contains(key) {
            found.error(
                at,
                if key == entry {
                    format!("duplicate entries in exportTo for entry {entry}")
                } else {
                    format!("duplicate entries in exportTo: . and current namespace {namespace}")
                },
            );
            continue;
        }
        let good = if of == Of::ServiceEntry && key == "~" {
            Ok(())
        } else {
            visibility(key)
        };
        match good {
            Ok(()) => {
                seen.insert(key);
            }
            Err(message) => found.error(at, message),
        }
    }
    if of == Of::SelectedDestinationRule && !seen.is_empty() {
        if !seen.contains(namespace) {
            found.error(AT, "destination rule with workload selector cannot have exportTo beyond current namespace");
        } else if seen.len() > 1 {
            found.error(
                AT,
                "destination rule with workload selector cannot have multiple entries in exportTo",
            );
        }
    }
    if seen.contains("*") && list.len() > 1 {
        found.error(
            AT,
            "cannot have both public (*) and non-public exportTo values for a resource",
        );
    }
    if seen.contains("~") && list.len() > 1 {
        found.error(AT, "cannot export service entry to no one (~) and someone");
    }
}

fn visibility(key: &str) -> Check {
    match key {
        "." | "*" => Ok(()),
        "~" => Err("exportTo ~ (none) is not allowed for Istio configuration objects".to_owned()),
        key if is_dns_label(key) => Ok(()),
        _ => Err("only .,*, or a valid DNS 1123 label is allowed as exportTo entry".to_owned()),
    }
}

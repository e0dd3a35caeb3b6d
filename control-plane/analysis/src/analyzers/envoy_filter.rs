//! Patches of EnvoyFilters.

use serde_json::Value;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{has, number, text};
use crate::{Input, Kind, MessageType};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    // What patches for one proxy version before are called.
    let mut versioned = Vec::new();
    for filter in input.of(Kind::EnvoyFilter) {
        let is_ordered = number(&filter.value, "/spec/priority") != 0;
        for patch in filter.list("/spec/configPatches") {
            // Istio 1.31: the rest of the object is not looked at.
            if !has(patch, "/patch") {
                break;
            }
            let name = instance_name(patch);
            if let Some(mistake) = mistake(patch, is_ordered, versioned.contains(&name)) {
                found.add(mistake, filter, "", &[]);
            }
            if !text(patch, "/match/proxy/proxyVersion").is_empty() {
                versioned.push(name);
            }
        }
    }
}

fn mistake(patch: &Value, is_ordered: bool, is_versioned: bool) -> Option<&'static MessageType> {
    let target = text(patch, "/applyTo");
    let is_route = ["ROUTE_CONFIGURATION", "HTTP_ROUTE"].contains(&target);
    let relative = || match (is_ordered, is_versioned) {
        (true, _) => None,
        (false, true) => Some(&types::ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION),
        (false, false) => Some(&types::ENVOY_FILTER_USES_RELATIVE_OPERATION),
    };
    match text(patch, "/patch/operation") {
        "ADD" if is_route => Some(&types::ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY),
        "REMOVE" if is_route => Some(&types::ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY),
        "REPLACE" if !["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"].contains(&target) => {
            Some(&types::ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY)
        }
        "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" => relative(),
        _ => None,
    }
}

/// What a patch adds, or else what it matches, so that patches of the same thing are found.
fn instance_name(patch: &Value) -> (bool, &str) {
    if has(patch, "/patch/value/name") {
        (true, text(patch, "/patch/value/name"))
    } else if has(patch, "/patch/value") {
        (
            false,
            text(patch, "/match/listener/filterChain/filter/name"),
        )
    } else {
        (false, "")
    }
}

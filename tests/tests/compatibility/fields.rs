//! Fields as paths: of the API's types, and of what a file says.

use std::collections::BTreeSet;

use meltemi_api::authorization_policy::AuthorizationPolicy;
use meltemi_api::destination_rule::DestinationRule;
use meltemi_api::envoy_filter::EnvoyFilter;
use meltemi_api::gateway::Gateway;
use meltemi_api::mesh_config::{MeshConfig, MeshProxyConfig};
use meltemi_api::proxy_config::ProxyConfig;
use meltemi_api::request_authentication::RequestAuthentication;
use meltemi_api::service_entry::ServiceEntry;
use meltemi_api::shape::{Shape, Shaped as _};
use meltemi_api::sidecar::Sidecar;
use meltemi_api::virtual_service::VirtualService;
use meltemi_api::workload_entry::WorkloadEntry;
use meltemi_api::workload_group::WorkloadGroup;
use serde_json::Value;

/// The key `mesh` of the ConfigMap `istio`.
pub(crate) const MESH: &str = "MeshConfig";

/// Its field `defaultConfig`, which an annotation of a pod has, too.
pub(crate) const MESH_PROXY: &str = "MeshConfig.defaultConfig";

/// What a kind's `spec` holds; `None`: its table is not held against the types.
pub(crate) fn shape(kind: &str) -> Option<Shape> {
    match kind {
        "VirtualService" => Some(VirtualService::shape()),
        "DestinationRule" => Some(DestinationRule::shape()),
        "Gateway" => Some(Gateway::shape()),
        "ServiceEntry" => Some(ServiceEntry::shape()),
        "Sidecar" => Some(Sidecar::shape()),
        "WorkloadEntry" => Some(WorkloadEntry::shape()),
        "WorkloadGroup" => Some(WorkloadGroup::shape()),
        "EnvoyFilter" => Some(EnvoyFilter::shape()),
        "ProxyConfig" => Some(ProxyConfig::shape()),
        "RequestAuthentication" => Some(RequestAuthentication::shape()),
        "AuthorizationPolicy" => Some(AuthorizationPolicy::shape()),
        MESH => Some(MeshConfig::shape()),
        MESH_PROXY => Some(MeshProxyConfig::shape()),
        _ => None,
    }
}

/// The paths of a type.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// Fields without fields of their own.
    pub(crate) leaves: BTreeSet<String>,
    /// All fields.
    pub(crate) all: BTreeSet<String>,
}

/// All paths below a shape.
pub(crate) fn leaves(shape: &Shape) -> Paths {
    let mut paths = Paths::default();
    walk(shape, "", &mut paths);
    paths
}

fn walk(shape: &Shape, path: &str, paths: &mut Paths) {
    match shape {
        Shape::Message(message) => {
            for (name, shape) in message().fields {
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                let path = format!("{path}{}", if is_list(&shape) { "[]" } else { "" });
                paths.all.insert(path.clone());
                walk(&shape, &path, paths);
            }
        }
        Shape::Optional(inner) | Shape::List(inner) => walk(inner, path, paths),
        Shape::Map(inner) if has_fields(inner) => walk(inner, &format!("{path}.*"), paths),
        _ => {
            paths.leaves.insert(path.to_owned());
        }
    }
}

fn is_list(shape: &Shape) -> bool {
    match shape {
        Shape::List(_) => true,
        Shape::Optional(inner) => is_list(inner),
        _ => false,
    }
}

fn has_fields(shape: &Shape) -> bool {
    match shape {
        Shape::Message(_) => true,
        Shape::Optional(inner) | Shape::List(inner) | Shape::Map(inner) => has_fields(inner),
        _ => false,
    }
}

/// The field of a row's field that names a value: `a: B` is about a value of the field `a`.
pub(crate) fn without_value(row: &str) -> &str {
    row.split_once(": ").map_or(row, |(field, _)| field)
}

/// Whether a row's field is this one, or stands for it.
pub(crate) fn covers(row: &str, leaf: &str) -> bool {
    match without_value(row).strip_suffix(".**") {
        None => without_value(row) == leaf,
        Some(above) => {
            leaf == above
                || leaf
                    .strip_prefix(above)
                    .is_some_and(|rest| rest.starts_with('.'))
        }
    }
}

/// The paths that a value says, in the form of the rows.
pub(crate) fn said(shape: &Shape, value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    say(shape, value, "", &mut found);
    found
}

fn say(shape: &Shape, value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match (shape, value) {
        (Shape::Optional(inner), _) => say(inner, value, path, found),
        (Shape::List(inner), Value::Array(items)) => {
            items.iter().for_each(|item| say(inner, item, path, found));
        }
        (Shape::Map(inner), Value::Object(map)) => {
            let path = format!("{path}.*");
            map.values()
                .for_each(|value| say(inner, value, &path, found));
        }
        (Shape::Message(message), Value::Object(map)) => {
            for (name, shape) in message().fields {
                let Some(value) = map.get(&name) else {
                    continue;
                };
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                let path = format!("{path}{}", if is_list(&shape) { "[]" } else { "" });
                found.insert(path.clone());
                say(&shape, value, &path, found);
            }
        }
        _ => {}
    }
}

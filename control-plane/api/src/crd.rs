//! The CustomResourceDefinitions of Istio's kinds, made of the types and the tables of rules.
//!
//! The API server checks what it can before a control plane sees an object, so these schemas are as much a contract as
//! the types are: names, enums, bounds and expressions are those of Istio 1.31's CRDs.

mod rules;
mod schema;

use serde_json::{Value, json};

use crate::kinds::{KINDS, Kind};
use crate::shape::{Shape, Shaped};
use crate::{
    authorization_policy, destination_rule, envoy_filter, gateway, peer_authentication,
    proxy_config, request_authentication, service_entry, sidecar, telemetry, traffic_extension,
    virtual_service, wasm_plugin, workload_entry, workload_group,
};

/// A column of `kubectl get`.
struct Column {
    name: &'static str,
    path: &'static str,
    description: &'static str,
}

const fn column(name: &'static str, path: &'static str, description: &'static str) -> Column {
    Column {
        name,
        path,
        description,
    }
}

const AGE: Column = column("Age", ".metadata.creationTimestamp", "When it was created");

/// What a kind's definition needs beyond [`Kind`].
struct Extra {
    shape: Shape,
    /// Whether an object without a spec is refused.
    spec_required: bool,
    columns: &'static [Column],
}

fn extra<T: Shaped>(spec_required: bool, columns: &'static [Column]) -> Extra {
    Extra {
        shape: T::shape(),
        spec_required,
        columns,
    }
}

fn extra_of(kind: &str) -> Option<Extra> {
    Some(match kind {
        "AuthorizationPolicy" => extra::<authorization_policy::AuthorizationPolicy>(
            false,
            const {
                &[
                    column(
                        "Action",
                        ".spec.action",
                        "What is done to a request that a rule matches",
                    ),
                    AGE,
                ]
            },
        ),
        "DestinationRule" => extra::<destination_rule::DestinationRule>(
            false,
            const {
                &[
                    column("Host", ".spec.host", "The service that it is about"),
                    AGE,
                ]
            },
        ),
        "EnvoyFilter" => extra::<envoy_filter::EnvoyFilter>(false, &[]),
        "Gateway" => extra::<gateway::Gateway>(false, &[]),
        "PeerAuthentication" => extra::<peer_authentication::PeerAuthentication>(
            false,
            const {
                &[
                    column(
                        "Mode",
                        ".spec.mtls.mode",
                        "Whether callers must use mutual TLS",
                    ),
                    AGE,
                ]
            },
        ),
        "ProxyConfig" => extra::<proxy_config::ProxyConfig>(false, &[]),
        "RequestAuthentication" => {
            extra::<request_authentication::RequestAuthentication>(false, &[])
        }
        "ServiceEntry" => extra::<service_entry::ServiceEntry>(
            true,
            const {
                &[
                    column("Hosts", ".spec.hosts", "The names of the service"),
                    column(
                        "Location",
                        ".spec.location",
                        "Whether it is part of the mesh",
                    ),
                    column(
                        "Resolution",
                        ".spec.resolution",
                        "How its addresses are found",
                    ),
                    AGE,
                ]
            },
        ),
        "Sidecar" => extra::<sidecar::Sidecar>(false, &[]),
        "Telemetry" => extra::<telemetry::Telemetry>(false, &[AGE]),
        "TrafficExtension" => extra::<traffic_extension::TrafficExtension>(true, &[AGE]),
        "VirtualService" => extra::<virtual_service::VirtualService>(
            false,
            const {
                &[
                    column("Gateways", ".spec.gateways", "Where its routes are served"),
                    column("Hosts", ".spec.hosts", "The names that its routes are for"),
                    AGE,
                ]
            },
        ),
        "WasmPlugin" => extra::<wasm_plugin::WasmPlugin>(true, &[AGE]),
        "WorkloadEntry" => extra::<workload_entry::WorkloadEntry>(
            true,
            const {
                &[
                    AGE,
                    column("Address", ".spec.address", "Where the workload is"),
                ]
            },
        ),
        "WorkloadGroup" => extra::<workload_group::WorkloadGroup>(true, &[AGE]),
        _ => return None,
    })
}

/// The definition of every kind, in the order of [`KINDS`]. Uninstalling a chart keeps them, and so users' objects.
pub fn definitions() -> Vec<Value> {
    KINDS.iter().filter_map(definition).collect()
}

fn definition(kind: &Kind) -> Option<Value> {
    let extra = extra_of(kind.kind)?;
    let spec = schema::schema(&format!("{}.spec", kind.kind), &extra.shape, false);
    let mut versions: Vec<&str> = kind.versions.to_vec();
    versions.sort_unstable();
    let versions: Vec<Value> = versions
        .into_iter()
        .map(|name| version(name, name == kind.storage, &spec, &extra))
        .collect();
    let mut names = json!({
        "kind": kind.kind,
        "listKind": format!("{}List", kind.kind),
        "plural": kind.plural,
        "singular": kind.kind.to_lowercase(),
        "categories": ["istio-io", kind.group.replace('.', "-")],
    });
    if !kind.short_names.is_empty() {
        names["shortNames"] = json!(kind.short_names);
    }
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", kind.plural, kind.group),
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced",
            "versions": versions,
        },
    }))
}

fn version(name: &str, storage: bool, spec: &Value, extra: &Extra) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {"spec": spec, "status": schema::status()},
    });
    if extra.spec_required {
        schema["required"] = json!(["spec"]);
    }
    let mut version = json!({
        "name": name,
        "served": true,
        "storage": storage,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    });
    if !extra.columns.is_empty() {
        let columns: Vec<Value> = extra.columns.iter().map(printed).collect();
        version["additionalPrinterColumns"] = json!(columns);
    }
    version
}

fn printed(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": if column.path == AGE.path { "date" } else { "string" },
        "jsonPath": column.path,
        "description": column.description,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every row that the walk over a shape asks for.
    fn rows(row: &str, shape: &Shape, found: &mut BTreeSet<String>) {
        if !found.insert(row.to_owned()) {
            return;
        }
        match shape {
            Shape::Optional(inner) => {
                found.remove(row);
                rows(row, inner, found);
            }
            Shape::List(element) => rows(&format!("{row}[]"), element, found),
            Shape::Map(value) => rows(&format!("{row}{{}}"), value, found),
            Shape::Message(message) => {
                let message = message();
                found.insert(message.name.to_owned());
                for (field, shape) in &message.fields {
                    rows(&format!("{}.{field}", message.name), shape, found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_kind_has_a_definition() {
        let kinds: Vec<Value> = definitions()
            .into_iter()
            .map(|mut definition| definition["spec"]["names"]["kind"].take())
            .collect();
        let expected: Vec<&str> = KINDS.iter().map(|kind| kind.kind).collect();
        assert_eq!(kinds, expected);
    }

    #[test]
    fn every_rule_is_about_something_that_exists() {
        let mut known = BTreeSet::new();
        for kind in KINDS {
            rows(
                &format!("{}.spec", kind.kind),
                &extra_of(kind.kind).expect("has one").shape,
                &mut known,
            );
        }
        let stray: Vec<&str> = rules::TABLES
            .iter()
            .flat_map(|table| table.iter())
            .map(|(row, _)| *row)
            .filter(|row| !known.contains(*row))
            .collect();
        assert!(stray.is_empty(), "rules about nothing: {stray:?}");
    }

    #[test]
    fn no_row_stands_twice() {
        let mut seen = BTreeSet::new();
        for (row, _) in rules::TABLES.iter().flat_map(|table| table.iter()) {
            assert!(seen.insert(*row), "{row}");
        }
    }
}

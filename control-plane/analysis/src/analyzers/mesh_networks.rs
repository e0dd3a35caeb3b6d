//! Networks whose endpoints come from a registry that is not there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{list, text};
use crate::{Input, Kind};

/// Istio 1.31: `provider.ID`.
const OWN: [&str; 3] = ["Mock", "Kubernetes", "External"];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let remote: Vec<&str> = input
        .of(Kind::Secret)
        .filter(|secret| secret.label("istio/multiCluster") == Some("true"))
        .filter_map(|secret| secret.value.get("data")?.as_object())
        .flat_map(|data| data.keys().map(String::as_str))
        .collect();
    for networks in input.of(Kind::MeshNetworks) {
        let all = networks.value.get("networks").and_then(Value::as_object);
        let all: BTreeMap<_, _> = all.into_iter().flatten().collect();
        for (name, network) in all {
            for endpoints in list(network, "/endpoints") {
                let registry = text(endpoints, "/fromRegistry");
                let is_known = OWN.contains(&registry) || remote.contains(&registry);
                if !registry.is_empty() && !is_known {
                    let kind = &types::UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY;
                    found.add(kind, networks, "", &[&registry, name]);
                }
            }
        }
    }
}

//! Which namespaces are looked at (`discoverySelectors`). Istio 1.31: `discoveryNamespacesFilter`.

use std::collections::BTreeSet;

use meltemi_model::Str;
use meltemi_model::mesh::Mesh;
use meltemi_model::workload::Namespace;

use crate::store::{Store, Table};

/// What was read, before namespaces were chosen, and which were.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Everything.
    pub all: Store,
    /// The namespaces that are looked at; `None`: all.
    pub chosen: Option<BTreeSet<Str>>,
}

/// The namespaces that a selector selects. One without a Namespace object is not selected; Istio's own is no exception.
pub fn chosen(namespaces: &Table<Namespace>, mesh: &Mesh) -> Option<BTreeSet<Str>> {
    if mesh.discovery_selectors.is_empty() {
        return None;
    }
    let selected = |namespace: &Namespace| {
        let labels = &namespace.meta.labels;
        mesh.discovery_selectors.iter().any(|s| s.selects(labels))
    };
    let names = namespaces
        .iter()
        .filter(|(_, namespace)| selected(namespace))
        .map(|(key, _)| key.name.clone());
    Some(names.collect())
}

/// The objects of the chosen namespaces, and those outside namespaces. The mesh configuration counts wherever it is.
/// Tables that did not change stay the same, so that no stage runs in vain.
pub fn discovered(now: &Discovery, before: &Discovery, shown: &Store) -> Store {
    let Some(names) = &now.chosen else {
        return now.all.clone();
    };
    let same = now.chosen == before.chosen;
    let (all, old) = (&now.all, &before.all);
    let choice = Choice { names, same };
    Store {
        namespaces: all.namespaces.clone(),
        nodes: all.nodes.clone(),
        meshes: all.meshes.clone(),
        pods: choice.of(&all.pods, &old.pods, &shown.pods),
        services: choice.of(&all.services, &old.services, &shown.services),
        endpoint_slices: choice.of(
            &all.endpoint_slices,
            &old.endpoint_slices,
            &shown.endpoint_slices,
        ),
        service_accounts: choice.of(
            &all.service_accounts,
            &old.service_accounts,
            &shown.service_accounts,
        ),
        service_entries: choice.of(
            &all.service_entries,
            &old.service_entries,
            &shown.service_entries,
        ),
        workload_entries: choice.of(
            &all.workload_entries,
            &old.workload_entries,
            &shown.workload_entries,
        ),
        virtual_services: choice.of(
            &all.virtual_services,
            &old.virtual_services,
            &shown.virtual_services,
        ),
        destination_rules: choice.of(
            &all.destination_rules,
            &old.destination_rules,
            &shown.destination_rules,
        ),
        gateways: choice.of(&all.gateways, &old.gateways, &shown.gateways),
        sidecars: choice.of(&all.sidecars, &old.sidecars, &shown.sidecars),
        authorization_policies: choice.of(
            &all.authorization_policies,
            &old.authorization_policies,
            &shown.authorization_policies,
        ),
        peer_authentications: choice.of(
            &all.peer_authentications,
            &old.peer_authentications,
            &shown.peer_authentications,
        ),
        request_authentications: choice.of(
            &all.request_authentications,
            &old.request_authentications,
            &shown.request_authentications,
        ),
        ingresses: choice.of(&all.ingresses, &old.ingresses, &shown.ingresses),
        ingress_classes: all.ingress_classes.clone(),
        envoy_filters: choice.of(&all.envoy_filters, &old.envoy_filters, &shown.envoy_filters),
        proxy_configs: choice.of(&all.proxy_configs, &old.proxy_configs, &shown.proxy_configs),
        workload_groups: choice.of(
            &all.workload_groups,
            &old.workload_groups,
            &shown.workload_groups,
        ),
        secrets: choice.of(&all.secrets, &old.secrets, &shown.secrets),
        ca_config_maps: choice.of(
            &all.ca_config_maps,
            &old.ca_config_maps,
            &shown.ca_config_maps,
        ),
        network_facts: all.network_facts.clone(),
        fetched_keys: all.fetched_keys.clone(),
    }
}

struct Choice<'a> {
    names: &'a BTreeSet<Str>,
    /// Whether the same namespaces were chosen before.
    same: bool,
}

impl Choice<'_> {
    fn of<T>(&self, all: &Table<T>, old: &Table<T>, shown: &Table<T>) -> Table<T> {
        if self.same && all.same(old) {
            shown.clone()
        } else {
            all.in_namespaces(self.names)
        }
    }
}

#[cfg(test)]
mod tests;

//! The only way in: tables of lowered objects, one per kind, changed by batches of `Change`s.

use std::collections::BTreeSet;

use meltemi_model::envoy_filter::EnvoyFilter;
use meltemi_model::gateway::Gateway;
use meltemi_model::ingress::{Ingress, IngressClass};
use meltemi_model::mesh::Mesh;
use meltemi_model::network::NetworkFact;
use meltemi_model::proxy_config::ProxyConfig;
use meltemi_model::routing::VirtualService;
use meltemi_model::secret::Credential;
use meltemi_model::security::{
    AuthorizationPolicy, FetchedKeys, PeerAuthentication, RequestAuthentication,
};
use meltemi_model::service::{KubeService, ServiceEntry};
use meltemi_model::sidecar::Sidecar;
use meltemi_model::traffic::DestinationRule;
use meltemi_model::workload::{
    EndpointSlice, Namespace, Node, Pod, ServiceAccount, WorkloadEntry, WorkloadGroup,
};
use meltemi_model::{Kind, Object, ObjectKey, Shared, Str};

use crate::ordered::{Difference, Ordered};

/// One change of one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// The object is now this.
    Apply(Object),
    /// The object is gone.
    Delete(ObjectKey),
}

/// Copy-on-write rows of one kind. Cloning shares them; two tables that share are equal without a look.
#[derive(Debug)]
pub struct Table<T> {
    rows: Ordered<ObjectKey, Shared<T>>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self {
            rows: self.rows.clone(),
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Ordered::default(),
        }
    }
}

impl<T> Table<T> {
    /// Whether both are the same table, the test by which stages decide whether to run.
    pub fn same(&self, other: &Self) -> bool {
        self.rows.same(&other.rows)
    }

    /// The row of a key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Shared<T>> {
        self.rows.get(key)
    }

    /// All rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Shared<T>)> {
        self.rows.iter()
    }

    /// The rows of a namespace, by name.
    pub fn in_namespace<'a>(&'a self, namespace: &'a Str) -> impl Iterator<Item = &'a Shared<T>> {
        let rows = self.rows.starting(move |key| key.namespace.cmp(namespace));
        let rows = rows.take_while(move |(key, _)| key.namespace == *namespace);
        rows.map(|(_, row)| row)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that are not those of an older table.
    pub(crate) fn changes<'a>(
        &'a self,
        old: &'a Self,
    ) -> Vec<Difference<'a, ObjectKey, Shared<T>>> {
        self.rows.differences(&old.rows, Shared::same)
    }

    /// The rows of some namespaces.
    pub(crate) fn in_namespaces(&self, names: &BTreeSet<Str>) -> Self {
        let rows = self.rows.iter();
        let chosen = rows.filter(|(key, _)| names.contains(&key.namespace));
        let chosen = chosen.map(|(key, row)| (key.clone(), row.clone()));
        Self {
            rows: Ordered::from_sorted(chosen.collect()),
        }
    }

    /// Sets a row; an equal row changes nothing, so that nothing downstream runs.
    fn set(&mut self, key: ObjectKey, row: Shared<T>) -> bool {
        if self.rows.get(&key) == Some(&row) {
            return false;
        }
        self.rows.insert(key, row);
        true
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        self.rows.remove(key)
    }
}

/// All objects that sources handed in.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Namespaces.
    pub namespaces: Table<Namespace>,
    /// Nodes.
    pub nodes: Table<Node>,
    /// Pods.
    pub pods: Table<Pod>,
    /// Kubernetes Services.
    pub services: Table<KubeService>,
    /// EndpointSlices.
    pub endpoint_slices: Table<EndpointSlice>,
    /// ServiceAccounts.
    pub service_accounts: Table<ServiceAccount>,
    /// Mesh configurations; the first by key counts.
    pub meshes: Table<Mesh>,
    /// ServiceEntries.
    pub service_entries: Table<ServiceEntry>,
    /// WorkloadEntries.
    pub workload_entries: Table<WorkloadEntry>,
    /// VirtualServices.
    pub virtual_services: Table<VirtualService>,
    /// DestinationRules.
    pub destination_rules: Table<DestinationRule>,
    /// Gateways.
    pub gateways: Table<Gateway>,
    /// Sidecars.
    pub sidecars: Table<Sidecar>,
    /// PeerAuthentications.
    pub peer_authentications: Table<PeerAuthentication>,
    /// RequestAuthentications.
    pub request_authentications: Table<RequestAuthentication>,
    /// AuthorizationPolicies.
    pub authorization_policies: Table<AuthorizationPolicy>,
    /// Ingresses.
    pub ingresses: Table<Ingress>,
    /// IngressClasses.
    pub ingress_classes: Table<IngressClass>,
    /// EnvoyFilters.
    pub envoy_filters: Table<EnvoyFilter>,
    /// ProxyConfigs.
    pub proxy_configs: Table<ProxyConfig>,
    /// WorkloadGroups.
    pub workload_groups: Table<WorkloadGroup>,
    /// Secrets with certificates.
    pub secrets: Table<Credential>,
    /// ConfigMaps with the certificates of a CA.
    pub ca_config_maps: Table<Credential>,
    /// What is known of networks from outside, by file or host name.
    pub network_facts: Table<NetworkFact>,
    /// Keys that were fetched for RequestAuthentications, by source.
    pub fetched_keys: Table<FetchedKeys>,
}

impl Store {
    /// Applies a batch and says whether any row changed. A batch is one moment: no World shows half of it.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> bool {
        changes.into_iter().fold(false, |changed, change| {
            changed
                | match change {
                    Change::Apply(object) => self.set(object),
                    Change::Delete(key) => self.remove(&key),
                }
        })
    }

    /// The object of a key.
    pub fn object(&self, key: &ObjectKey) -> Option<Object> {
        Some(match key.kind {
            Kind::Namespace => Object::Namespace(self.namespaces.get(key)?.clone()),
            Kind::Node => Object::Node(self.nodes.get(key)?.clone()),
            Kind::Pod => Object::Pod(self.pods.get(key)?.clone()),
            Kind::Service => Object::Service(self.services.get(key)?.clone()),
            Kind::EndpointSlice => Object::EndpointSlice(self.endpoint_slices.get(key)?.clone()),
            Kind::ServiceAccount => Object::ServiceAccount(self.service_accounts.get(key)?.clone()),
            Kind::MeshConfig => Object::Mesh(key.clone(), self.meshes.get(key)?.clone()),
            Kind::ServiceEntry => Object::ServiceEntry(self.service_entries.get(key)?.clone()),
            Kind::WorkloadEntry => Object::WorkloadEntry(self.workload_entries.get(key)?.clone()),
            Kind::VirtualService => Object::VirtualService(self.virtual_services.get(key)?.clone()),
            Kind::DestinationRule => {
                Object::DestinationRule(self.destination_rules.get(key)?.clone())
            }
            Kind::Gateway => Object::Gateway(self.gateways.get(key)?.clone()),
            Kind::Sidecar => Object::Sidecar(self.sidecars.get(key)?.clone()),
            Kind::PeerAuthentication => {
                Object::PeerAuthentication(self.peer_authentications.get(key)?.clone())
            }
            Kind::RequestAuthentication => {
                Object::RequestAuthentication(self.request_authentications.get(key)?.clone())
            }
            Kind::AuthorizationPolicy => {
                Object::AuthorizationPolicy(self.authorization_policies.get(key)?.clone())
            }
            Kind::Ingress => Object::Ingress(self.ingresses.get(key)?.clone()),
            Kind::IngressClass => Object::IngressClass(self.ingress_classes.get(key)?.clone()),
            Kind::EnvoyFilter => Object::EnvoyFilter(self.envoy_filters.get(key)?.clone()),
            Kind::ProxyConfig => Object::ProxyConfig(self.proxy_configs.get(key)?.clone()),
            Kind::WorkloadGroup => Object::WorkloadGroup(self.workload_groups.get(key)?.clone()),
            Kind::Secret => Object::Secret(self.secrets.get(key)?.clone()),
            Kind::CaConfigMap => Object::CaConfigMap(self.ca_config_maps.get(key)?.clone()),
            Kind::Network => Object::Network(key.clone(), self.network_facts.get(key)?.clone()),
            Kind::Jwks => Object::Jwks(key.clone(), self.fetched_keys.get(key)?.clone()),
        })
    }

    fn set(&mut self, object: Object) -> bool {
        let key = object.key().clone();
        match object {
            Object::Namespace(o) => self.namespaces.set(key, o),
            Object::Node(o) => self.nodes.set(key, o),
            Object::Pod(o) => self.pods.set(key, o),
            Object::Service(o) => self.services.set(key, o),
            Object::EndpointSlice(o) => self.endpoint_slices.set(key, o),
            Object::ServiceAccount(o) => self.service_accounts.set(key, o),
            Object::Mesh(_, o) => self.meshes.set(key, o),
            Object::ServiceEntry(o) => self.service_entries.set(key, o),
            Object::WorkloadEntry(o) => self.workload_entries.set(key, o),
            Object::VirtualService(o) => self.virtual_services.set(key, o),
            Object::DestinationRule(o) => self.destination_rules.set(key, o),
            Object::Gateway(o) => self.gateways.set(key, o),
            Object::Sidecar(o) => self.sidecars.set(key, o),
            Object::PeerAuthentication(o) => self.peer_authentications.set(key, o),
            Object::RequestAuthentication(o) => self.request_authentications.set(key, o),
            Object::AuthorizationPolicy(o) => self.authorization_policies.set(key, o),
            Object::Ingress(o) => self.ingresses.set(key, o),
            Object::IngressClass(o) => self.ingress_classes.set(key, o),
            Object::EnvoyFilter(o) => self.envoy_filters.set(key, o),
            Object::ProxyConfig(o) => self.proxy_configs.set(key, o),
            Object::WorkloadGroup(o) => self.workload_groups.set(key, o),
            Object::Secret(o) => self.secrets.set(key, o),
            Object::CaConfigMap(o) => self.ca_config_maps.set(key, o),
            Object::Network(_, o) => self.network_facts.set(key, o),
            Object::Jwks(_, o) => self.fetched_keys.set(key, o),
        }
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        match key.kind {
            Kind::Namespace => self.namespaces.remove(key),
            Kind::Node => self.nodes.remove(key),
            Kind::Pod => self.pods.remove(key),
            Kind::Service => self.services.remove(key),
            Kind::EndpointSlice => self.endpoint_slices.remove(key),
            Kind::ServiceAccount => self.service_accounts.remove(key),
            Kind::MeshConfig => self.meshes.remove(key),
            Kind::ServiceEntry => self.service_entries.remove(key),
            Kind::WorkloadEntry => self.workload_entries.remove(key),
            Kind::VirtualService => self.virtual_services.remove(key),
            Kind::DestinationRule => self.destination_rules.remove(key),
            Kind::Gateway => self.gateways.remove(key),
            Kind::Sidecar => self.sidecars.remove(key),
            Kind::PeerAuthentication => self.peer_authentications.remove(key),
            Kind::RequestAuthentication => self.request_authentications.remove(key),
            Kind::AuthorizationPolicy => self.authorization_policies.remove(key),
            Kind::Ingress => self.ingresses.remove(key),
            Kind::IngressClass => self.ingress_classes.remove(key),
            Kind::EnvoyFilter => self.envoy_filters.remove(key),
            Kind::ProxyConfig => self.proxy_configs.remove(key),
            Kind::WorkloadGroup => self.workload_groups.remove(key),
            Kind::Secret => self.secrets.remove(key),
            Kind::CaConfigMap => self.ca_config_maps.remove(key),
            Kind::Network => self.network_facts.remove(key),
            Kind::Jwks => self.fetched_keys.remove(key),
        }
    }
}

#[cfg(test)]
mod tests;

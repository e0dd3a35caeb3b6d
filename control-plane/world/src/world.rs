//! One consistent moment of everything that was read.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_model::gateway::Gateway;
use meltemi_model::mesh::Mesh;
use meltemi_model::security::JwksFetch;
use meltemi_model::sidecar::Sidecar;
use meltemi_model::{Labels, ObjectKey, Shared};

use crate::scope::KeptScopes;
use crate::stages::authorizations::{Authorizations, authorizations};
use crate::stages::destination_rules::{DestinationRules, destination_rules};
use crate::stages::discovery::{Discovery, chosen, discovered};
use crate::stages::endpoints::{Before, Endpoints, Tables, endpoints};
use crate::stages::envoy_filters::{EnvoyFilters, envoy_filters};
use crate::stages::ingresses::{Ingresses, ingresses};
use crate::stages::networks::{Networks, networks};
use crate::stages::peer_authentications::{PeerAuthentications, peer_authentications};
use crate::stages::request_authentications::{RequestAuthentications, request_authentications};
use crate::stages::services::{Services, services};
use crate::stages::virtual_services::{VirtualServices, virtual_services};
use crate::stages::workloads::{Workloads, workloads};
use crate::store::Store;

/// An immutable snapshot of the joined tables. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct World {
    /// Grows with every change that changed anything.
    pub revision: u64,
    /// The tables that it was made from: the objects of the namespaces that are looked at.
    pub store: Store,
    /// Everything that was read, and which namespaces are looked at.
    pub discovery: Discovery,
    /// The mesh configuration.
    pub mesh: Shared<Mesh>,
    /// Services of both registries.
    pub services: Arc<Services>,
    /// Pods by address, nodes.
    pub workloads: Arc<Workloads>,
    /// Which connections workloads take.
    pub peer_authentications: Arc<PeerAuthentications>,
    /// Which tokens workloads accept.
    pub request_authentications: Arc<RequestAuthentications>,
    /// AuthorizationPolicies by namespace.
    pub authorizations: Arc<Authorizations>,
    /// Endpoints of every service.
    pub endpoints: Arc<Endpoints>,
    /// Ingresses as Gateways and VirtualServices.
    pub ingresses: Arc<Ingresses>,
    /// VirtualServices by gateway.
    pub virtual_services: Arc<VirtualServices>,
    /// DestinationRules by namespace and host.
    pub destination_rules: Arc<DestinationRules>,
    /// Sidecars in order of precedence: with a selector first, oldest first.
    pub sidecars: Arc<Vec<Shared<Sidecar>>>,
    /// Gateways, oldest first.
    pub gateways: Arc<Vec<Shared<Gateway>>>,
    /// EnvoyFilters by namespace.
    pub envoy_filters: Arc<EnvoyFilters>,
    /// Which network an endpoint is in, and where the networks are entered.
    pub networks: Arc<Networks>,
    /// Scopes that were asked for, shared with the worlds before and after.
    pub scopes: KeptScopes,
}

impl World {
    /// The world before anything was read.
    pub fn empty(mesh: Shared<Mesh>) -> Self {
        Self {
            revision: 0,
            store: Store::default(),
            discovery: Discovery::default(),
            mesh,
            services: Arc::default(),
            workloads: Arc::default(),
            peer_authentications: Arc::default(),
            request_authentications: Arc::default(),
            authorizations: Arc::default(),
            endpoints: Arc::default(),
            ingresses: Arc::default(),
            virtual_services: Arc::default(),
            destination_rules: Arc::default(),
            sidecars: Arc::default(),
            gateways: Arc::default(),
            envoy_filters: Arc::default(),
            networks: Arc::default(),
            scopes: KeptScopes::default(),
        }
    }

    /// The next world. A stage runs only when one of the tables that it reads is another one than before.
    /// `mesh` is used while no mesh configuration was read.
    pub fn next(&self, store: &Store, mesh: &Shared<Mesh>) -> Self {
        let mesh = store.meshes.iter().next().map_or(mesh, |(_, m)| m);
        let same_mesh = *mesh == self.mesh;
        // The very row of before, if it says the same: scopes are kept by it.
        let mesh = if same_mesh { &self.mesh } else { mesh }.clone();
        let first = self.revision == 0;

        let known = same_mesh && store.namespaces.same(&self.discovery.all.namespaces);
        let discovery = Discovery {
            all: store.clone(),
            chosen: if known && !first {
                self.discovery.chosen.clone()
            } else {
                chosen(&store.namespaces, &mesh)
            },
        };
        let (old, store) = (
            &self.store,
            &discovered(&discovery, &self.discovery, &self.store),
        );

        let same = same_mesh
            && store.services.same(&old.services)
            && store.service_entries.same(&old.service_entries)
            && store.namespaces.same(&old.namespaces);
        let same_services = same && !first;
        let services = reuse(same_services, &self.services, || {
            services(
                &store.services,
                &store.service_entries,
                &store.namespaces,
                &mesh,
            )
        });

        let same_workloads = !first && store.pods.same(&old.pods) && store.nodes.same(&old.nodes);
        let workloads = reuse(same_workloads, &self.workloads, || match first {
            true => workloads(&store.pods, &store.nodes),
            false => self
                .workloads
                .after((&store.pods, &old.pods), (&store.nodes, &old.nodes)),
        });

        let same = same_mesh && store.peer_authentications.same(&old.peer_authentications);
        let peer_authentications = reuse(same && !first, &self.peer_authentications, || {
            peer_authentications(&store.peer_authentications, &mesh)
        });

        // Services count only where proxies may fetch keys by themselves.
        let same = same_mesh
            && store
                .request_authentications
                .same(&old.request_authentications)
            && store.fetched_keys.same(&old.fetched_keys)
            && (mesh.jwks_fetch == JwksFetch::ControlPlane || same_services);
        let request_authentications = reuse(same && !first, &self.request_authentications, || {
            let policies = &store.request_authentications;
            request_authentications(policies, &store.fetched_keys, &services, &mesh)
        });

        let same = store
            .authorization_policies
            .same(&old.authorization_policies);
        let authorizations = reuse(same && !first, &self.authorizations, || {
            authorizations(&store.authorization_policies)
        });
        let same = same_mesh
            && store.namespaces.same(&old.namespaces)
            && store.services.same(&old.services)
            && store.nodes.same(&old.nodes)
            && store.network_facts.same(&old.network_facts);
        let networks = reuse(same && !first, &self.networks, || networks(store, &mesh));

        // What shapes every row is the same.
        let comparable = !first
            && same_mesh
            && store.nodes.same(&old.nodes)
            && networks.places == self.networks.places
            && peer_authentications.disable_as(&self.peer_authentications);
        let same_endpoints = comparable
            && same_services
            && same_workloads
            && store.endpoint_slices.same(&old.endpoint_slices)
            && store.workload_entries.same(&old.workload_entries);
        let endpoints = reuse(same_endpoints, &self.endpoints, || {
            let tables = Tables {
                services: &services,
                slices: &store.endpoint_slices,
                pods: &store.pods,
                workload_entries: &store.workload_entries,
                workloads: &workloads,
                peers: &peer_authentications,
                mesh: &mesh,
                places: &networks.places,
            };
            let before = Before {
                endpoints: &self.endpoints,
                store: old,
                comparable,
            };
            endpoints(tables, before)
        });

        // Without Ingresses nothing else counts. Services do for the names of their ports.
        let same = store.ingresses.same(&old.ingresses)
            && (store.ingresses.is_empty()
                || same_mesh
                    && store.ingress_classes.same(&old.ingress_classes)
                    && store.services.same(&old.services));
        let same_ingresses = same && !first;
        let ingresses = reuse(same_ingresses, &self.ingresses, || {
            let (classes, services) = (&store.ingress_classes, &store.services);
            ingresses(&store.ingresses, classes, services, &mesh)
        });

        let same = same_ingresses
            && store.virtual_services.same(&old.virtual_services)
            && mesh.virtual_service_export_to == self.mesh.virtual_service_export_to;
        let virtual_services = reuse(same, &self.virtual_services, || {
            virtual_services(&store.virtual_services, &ingresses.virtual_services, &mesh)
        });

        let same = !first && same_mesh && store.destination_rules.same(&old.destination_rules);
        let destination_rules = reuse(same, &self.destination_rules, || {
            destination_rules(&store.destination_rules, &mesh)
        });

        let same = !first && store.sidecars.same(&old.sidecars);
        let sidecars = reuse(same, &self.sidecars, || sort_sidecars(store));

        let same = same_ingresses && store.gateways.same(&old.gateways);
        let gateways = reuse(same, &self.gateways, || {
            sort_gateways(store, &ingresses.gateways)
        });

        let same = !first && store.envoy_filters.same(&old.envoy_filters);
        let envoy_filters = reuse(same, &self.envoy_filters, || {
            envoy_filters(&store.envoy_filters)
        });

        Self {
            revision: self.revision + 1,
            store: store.clone(),
            discovery,
            mesh,
            services,
            workloads,
            peer_authentications,
            request_authentications,
            authorizations,
            endpoints,
            ingresses,
            virtual_services,
            destination_rules,
            sidecars,
            gateways,
            envoy_filters,
            networks,
            scopes: self.scopes.clone(),
        }
    }

    /// What users wrote of some objects: for one that was made of Ingresses, those.
    pub fn written<'a>(&'a self, keys: &'a [ObjectKey]) -> Vec<&'a ObjectKey> {
        let mut written: Vec<&ObjectKey> = Vec::with_capacity(keys.len());
        for key in keys {
            match self.ingresses.authors.get(key) {
                Some(authors) => written.extend(authors),
                None => written.push(key),
            }
        }
        let mut seen = BTreeSet::new();
        written.retain(|key| seen.insert(*key));
        written
    }

    /// The Sidecar of a workload: one of its namespace that selects it, one of its namespace for all, the root
    /// namespace's. Istio 1.31: `getSidecarScope`.
    pub fn sidecar_for(&self, namespace: &str, labels: &Labels) -> Option<&Shared<Sidecar>> {
        let selects = |s: &Sidecar| {
            s.workload_selector
                .as_ref()
                .is_none_or(|selector| labels.satisfies(selector))
        };
        let in_namespace = |s: &&Shared<Sidecar>, ns: &str| *s.meta.key.namespace == *ns;
        self.sidecars
            .iter()
            .find(|s| in_namespace(s, namespace) && selects(s))
            .or_else(|| {
                self.sidecars.iter().find(|s| {
                    in_namespace(s, &self.mesh.root_namespace) && s.workload_selector.is_none()
                })
            })
    }
}

fn reuse<T>(same: bool, old: &Arc<T>, make: impl FnOnce() -> T) -> Arc<T> {
    if same {
        Arc::clone(old)
    } else {
        Arc::new(make())
    }
}

fn sort_sidecars(store: &Store) -> Vec<Shared<Sidecar>> {
    let mut all: Vec<Shared<Sidecar>> = store.sidecars.iter().map(|(_, s)| s.clone()).collect();
    all.sort_by(|a, b| {
        let order = |s: &Shared<Sidecar>| s.workload_selector.is_none();
        (order(a), a.meta.age_order()).cmp(&(order(b), b.meta.age_order()))
    });
    all
}

fn sort_gateways(store: &Store, made: &[Shared<Gateway>]) -> Vec<Shared<Gateway>> {
    let mut all: Vec<Shared<Gateway>> = store.gateways.iter().map(|(_, g)| g.clone()).collect();
    all.extend_from_slice(made);
    all.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    all
}

#[cfg(test)]
mod tests;

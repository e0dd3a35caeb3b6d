//! What the proxies of one class may see, with the choices already made: which services, which rule and which
//! routes for each. Istio 1.31: `SidecarScope`.

use std::sync::Arc;

use meltemi_model::mesh::Mesh;
use meltemi_model::routing::VirtualService;
use meltemi_model::service::Service;
use meltemi_model::sidecar::{EgressListener, OutboundPolicy, Sidecar};
use meltemi_model::traffic::MergedRule;
use meltemi_model::workload::EndpointSet;
use meltemi_model::{Hostname, Labels, Shared, Str};

use crate::stages::authorizations::Authorizations;
use crate::stages::peer_authentications::PeerAuthentications;
use crate::stages::request_authentications::RequestAuthentications;
use crate::stages::services::Services;

mod egress;
mod kept;
mod list;
mod select;

pub use kept::KeptScopes;
pub use kept::scope;
pub use list::List;
pub use select::scope_key;

/// What decides a scope: proxies of equal keys see the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeKey {
    /// A gateway sees all services; Sidecars do not apply to it.
    pub gateway: bool,
    /// The namespace.
    pub namespace: Str,
    /// The Sidecar that applies.
    pub sidecar: Option<Shared<Sidecar>>,
    /// The workload's labels, only while some DestinationRule selects workloads; else empty.
    pub labels: Labels,
}

/// A visible service with everything that was chosen for it. A row plus a facet of the class is enough to build from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopedService {
    /// The service.
    pub service: Shared<Service>,
    /// The DestinationRules that apply, merged.
    pub rule: Option<Shared<MergedRule>>,
    /// Whether the rule was chosen by a workload selector.
    pub rule_selects_workload: bool,
    /// Its endpoints.
    pub endpoints: Shared<EndpointSet>,
    /// Per port name, the identities that its endpoints may have, sorted: the SANs of mutual TLS.
    pub identities: Shared<Vec<(Str, Vec<Str>)>>,
}

/// One outbound listener of a Sidecar, or the one that stands for "everything" where there is no Sidecar.
#[derive(Debug, Clone)]
pub struct EgressScope {
    /// The Sidecar's egress listener; `None`: the default one.
    pub listener: Option<EgressListener>,
    /// The services that it shows, oldest first, then by name; trimmed to the listener's port where it has one.
    pub services: List<ScopedService>,
    /// The VirtualServices for gateway `mesh` that it shows, in order of precedence (oldest first).
    pub virtual_services: List<Shared<VirtualService>>,
}

/// The places of hosts in a list.
#[derive(Debug, Clone, Default)]
pub struct ByHost(Arc<Vec<(Hostname, usize)>>);

impl FromIterator<(Hostname, usize)> for ByHost {
    fn from_iter<I: IntoIterator<Item = (Hostname, usize)>>(places: I) -> Self {
        let mut places: Vec<(Hostname, usize)> = places.into_iter().collect();
        places.sort();
        Self(Arc::new(places))
    }
}

impl ByHost {
    /// The place of a host.
    pub fn get(&self, host: &Hostname) -> Option<&usize> {
        let found = self.0.binary_search_by(|(other, _)| other.cmp(host)).ok()?;
        self.0.get(found).map(|(_, place)| place)
    }

    /// The number of hosts.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one class of proxies may see. Cloning shares the lists.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The mesh configuration.
    pub mesh: Shared<Mesh>,
    /// The namespace of the class.
    pub namespace: Str,
    /// The Sidecar that applies.
    pub sidecar: Option<Shared<Sidecar>>,
    /// Which connections workloads take, the class's own and those that it calls.
    pub peer_authentications: Arc<PeerAuthentications>,
    /// Which tokens workloads accept.
    pub request_authentications: Arc<RequestAuthentications>,
    /// Who may call what.
    pub authorizations: Arc<Authorizations>,
    /// Every service, seen or not: extension providers are found there.
    pub registry: Arc<Services>,
    /// What happens to unknown destinations.
    pub outbound_policy: OutboundPolicy,
    /// All services that any listener shows or any of its VirtualServices routes to: those that get clusters.
    /// Oldest first, then by host name (Istio 1.31: `sortServicesByCreationTime`).
    pub services: List<ScopedService>,
    /// Index of each host in `services`; where namespaces claim the same host, the one that was chosen.
    pub by_host: ByHost,
    /// Its outbound listeners; never empty.
    pub egress: Vec<EgressScope>,
}

impl Scope {
    /// The visible service of a host.
    pub fn service(&self, host: &Hostname) -> Option<&ScopedService> {
        self.by_host.get(host).and_then(|i| self.services.get(*i))
    }

    /// The services of an egress listener.
    pub fn services_of<'a>(
        &'a self,
        egress: &'a EgressScope,
    ) -> impl Iterator<Item = &'a ScopedService> {
        egress.services.iter()
    }
}

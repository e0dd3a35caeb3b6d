//! What a source hands in: one lowered object of any kind.

use crate::envoy_filter::EnvoyFilter;
use crate::gateway::Gateway;
use crate::ingress::{Ingress, IngressClass};
use crate::mesh::Mesh;
use crate::network::NetworkFact;
use crate::proxy_config::ProxyConfig;
use crate::routing::VirtualService;
use crate::secret::Credential;
use crate::security::{
    AuthorizationPolicy, FetchedKeys, PeerAuthentication, RequestAuthentication,
};
use crate::service::{KubeService, ServiceEntry};
use crate::sidecar::Sidecar;
use crate::traffic::DestinationRule;
use crate::workload::{
    EndpointSlice, Namespace, Node, Pod, ServiceAccount, WorkloadEntry, WorkloadGroup,
};
use crate::{Labels, ObjectKey, Shared};

/// What all objects have in common, reduced to what somebody reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meta {
    /// Kind, namespace, name.
    pub key: ObjectKey,
    /// Labels.
    pub labels: Labels,
    /// The annotations that Meltemi reads; the others are dropped, so that they cause no work.
    pub annotations: Labels,
    /// Creation, in seconds since 1970; `i64::MAX` when not known. Where two objects claim the same thing, the older one
    /// wins.
    pub created: i64,
}

impl Meta {
    /// Oldest first; then by name, then namespace. Istio 1.31: `sortConfigByCreationTime`.
    pub fn age_order(&self) -> (i64, &str, &str) {
        (self.created, &self.key.name, &self.key.namespace)
    }
}

/// One lowered object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A Namespace.
    Namespace(Shared<Namespace>),
    /// A Node.
    Node(Shared<Node>),
    /// A Pod.
    Pod(Shared<Pod>),
    /// A Kubernetes Service.
    Service(Shared<KubeService>),
    /// An EndpointSlice.
    EndpointSlice(Shared<EndpointSlice>),
    /// A ServiceAccount.
    ServiceAccount(Shared<ServiceAccount>),
    /// The mesh configuration.
    Mesh(ObjectKey, Shared<Mesh>),
    /// A ServiceEntry.
    ServiceEntry(Shared<ServiceEntry>),
    /// A WorkloadEntry.
    WorkloadEntry(Shared<WorkloadEntry>),
    /// A VirtualService.
    VirtualService(Shared<VirtualService>),
    /// A DestinationRule.
    DestinationRule(Shared<DestinationRule>),
    /// A Gateway.
    Gateway(Shared<Gateway>),
    /// A Sidecar.
    Sidecar(Shared<Sidecar>),
    /// A PeerAuthentication.
    PeerAuthentication(Shared<PeerAuthentication>),
    /// A RequestAuthentication.
    RequestAuthentication(Shared<RequestAuthentication>),
    /// An AuthorizationPolicy.
    AuthorizationPolicy(Shared<AuthorizationPolicy>),
    /// An Ingress.
    Ingress(Shared<Ingress>),
    /// An IngressClass.
    IngressClass(Shared<IngressClass>),
    /// An EnvoyFilter.
    EnvoyFilter(Shared<EnvoyFilter>),
    /// A ProxyConfig.
    ProxyConfig(Shared<ProxyConfig>),
    /// A WorkloadGroup.
    WorkloadGroup(Shared<WorkloadGroup>),
    /// A Secret.
    Secret(Shared<Credential>),
    /// A ConfigMap with the certificates of a CA.
    CaConfigMap(Shared<Credential>),
    /// What is known of networks from outside.
    Network(ObjectKey, Shared<NetworkFact>),
    /// Keys that were fetched.
    Jwks(ObjectKey, Shared<FetchedKeys>),
}

impl Object {
    /// The object's key.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Object::Namespace(o) => &o.meta.key,
            Object::Node(o) => &o.meta.key,
            Object::Pod(o) => &o.meta.key,
            Object::Service(o) => &o.meta.key,
            Object::EndpointSlice(o) => &o.meta.key,
            Object::ServiceAccount(o) => &o.meta.key,
            Object::Mesh(key, _) | Object::Network(key, _) | Object::Jwks(key, _) => key,
            Object::ServiceEntry(o) => &o.meta.key,
            Object::WorkloadEntry(o) => &o.meta.key,
            Object::VirtualService(o) => &o.meta.key,
            Object::DestinationRule(o) => &o.meta.key,
            Object::Gateway(o) => &o.meta.key,
            Object::Sidecar(o) => &o.meta.key,
            Object::PeerAuthentication(o) => &o.meta.key,
            Object::RequestAuthentication(o) => &o.meta.key,
            Object::AuthorizationPolicy(o) => &o.meta.key,
            Object::Ingress(o) => &o.meta.key,
            Object::IngressClass(o) => &o.meta.key,
            Object::EnvoyFilter(o) => &o.meta.key,
            Object::ProxyConfig(o) => &o.meta.key,
            Object::WorkloadGroup(o) => &o.meta.key,
            Object::Secret(o) | Object::CaConfigMap(o) => &o.meta.key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::testing::meta;

    #[test]
    fn the_oldest_comes_first_then_by_name_and_namespace() {
        let of = |created, name, namespace| Meta {
            created,
            ..meta(Kind::Pod, namespace, name)
        };
        let sorted = [
            of(1, "z", "z"),
            of(2, "a", "b"),
            of(2, "b", "a"),
            of(2, "b", "b"),
            of(i64::MAX, "a", "a"),
        ];
        for pair in sorted.windows(2) {
            assert!(pair[0].age_order() < pair[1].age_order(), "{pair:?}");
        }
    }
}

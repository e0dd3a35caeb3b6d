//! ClusterLoadAssignments (EDS), the resource that changes most, so the one that is written straight to bytes.

use std::sync::Arc;

use bytes::Bytes;
use meltemi_model::service::Resolution;
use meltemi_model::traffic::TlsMode;
use meltemi_model::workload::{Endpoint, EndpointSet, Health};
use meltemi_model::{Labels, ObjectKey, ResourceType, Shared, Str};
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message;

use crate::cluster::{Effective, OutboundCluster};
use crate::{Built, Input};

mod balance;
mod write;

pub use balance::Balance;

/// Everything that the endpoints of one cluster are made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointInput {
    /// The cluster's name.
    pub cluster: Str,
    /// The service's endpoints.
    pub endpoints: Shared<EndpointSet>,
    /// Which of them.
    pub choice: Choice,
    /// Weights and priorities as the proxy's place decides them.
    pub balance: Balance,
    /// The objects behind it.
    pub from: Arc<[ObjectKey]>,
}

impl EndpointInput {
    /// The endpoints of a cluster that nothing has endpoints for.
    pub fn none(cluster: &Str) -> Self {
        Self {
            cluster: cluster.clone(),
            endpoints: Shared::default(),
            choice: Choice {
                port: "".into(),
                subset: Labels::default(),
                node: None,
                unhealthy: false,
                tls: None,
                names: false,
                only_mtls: false,
            },
            balance: Balance::None,
            from: Arc::from([]),
        }
    }
}

/// Which endpoints of a service a cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The name of the service port.
    pub port: Str,
    /// Labels of the subset; empty: all.
    pub subset: Labels,
    /// Only those of this node (`internalTrafficPolicy: Local`).
    pub node: Option<Str>,
    /// Those that are not ready too, so that Envoy can weigh them (unless a rule lets it panic).
    pub unhealthy: bool,
    /// The TLS mode that a rule sets; `None`: by each endpoint's own label.
    pub tls: Option<TlsMode>,
    /// Host names too: they stand in DNS clusters, never in EDS.
    pub names: bool,
    /// Only endpoints with mutual TLS (clusters named by SNI).
    pub only_mtls: bool,
}

impl Input for EndpointInput {
    const TYPE: ResourceType = ResourceType::Endpoint;
    type Part = ();

    fn build(&self) -> Built {
        let groups = balance::groups(&self.choice, &self.endpoints, &self.balance);
        let body = Bytes::from(write::assignment(&self.cluster, &groups, &self.choice));
        Built {
            name: self.cluster.clone(),
            body,
            from: self.from.to_vec(),
        }
    }
}

/// The endpoints that stand inside a DNS cluster.
pub(crate) fn assignment(
    input: &OutboundCluster,
    policy: &Effective,
    balance: &Balance,
    name: &str,
) -> ClusterLoadAssignment {
    let Some(endpoints) = &input.endpoints else {
        return ClusterLoadAssignment::default();
    };
    let choice = Choice {
        port: input.port.name.clone(),
        subset: subset_labels(input),
        node: None,
        unhealthy: true,
        tls: policy.port.tls.as_ref().map(|t| t.mode),
        names: true,
        only_mtls: false,
    };
    let mut groups = balance::groups(&choice, endpoints, balance);
    if input.service.resolution == Resolution::DnsRoundRobin {
        // Envoy: a LOGICAL_DNS cluster has exactly one endpoint.
        groups.truncate(1);
        groups.iter_mut().for_each(|g| g.endpoints.truncate(1));
    }
    // What was just written is read back: the cluster holds the message, and there is one place that writes it.
    ClusterLoadAssignment::decode(write::assignment(name, &groups, &choice).as_slice())
        .unwrap_or_default()
}

fn subset_labels(input: &OutboundCluster) -> Labels {
    let subsets = input
        .rule
        .as_ref()
        .map(|r| r.subsets.as_slice())
        .unwrap_or_default();
    let found = subsets
        .iter()
        .find(|s| !input.subset.is_empty() && s.name == input.subset);
    found.map(|s| s.labels.clone()).unwrap_or_default()
}

impl Choice {
    /// Whether the cluster has this endpoint. Istio 1.31: `filterIstioEndpoint`.
    fn takes(&self, endpoint: &Endpoint) -> bool {
        let healthy = match endpoint.health {
            Health::Unknown | Health::Healthy => true,
            Health::Unhealthy => self.unhealthy,
            Health::Draining | Health::Terminating => false,
        };
        let addressed = self.names
            || endpoint.port == 0
            || endpoint.address.parse::<std::net::IpAddr>().is_ok();
        healthy
            && addressed
            && !endpoint.address.is_empty()
            && self.node.as_ref().is_none_or(|node| *node == endpoint.node)
            && endpoint.labels.satisfies(&self.subset)
            && (!self.only_mtls || self.mtls(endpoint))
    }

    /// Whether the endpoint is told to take mutual TLS. Istio 1.31: `checkMtlsEnabled`.
    fn mtls(&self, endpoint: &Endpoint) -> bool {
        match self.tls {
            Some(mode) => mode == TlsMode::IstioMutual && endpoint.mtls,
            None => endpoint.takes_mtls(),
        }
    }
}

#[cfg(test)]
mod tests;

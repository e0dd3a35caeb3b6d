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
use balance::Group;

mod balance;
mod horizon;
mod write;

pub use balance::Balance;
pub use horizon::Horizon;

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
    /// Which of them the proxy reaches by address; `None`: all.
    pub horizon: Option<Shared<Horizon>>,
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
            horizon: None,
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
    type Shape = ();

    fn build(&self) -> Built {
        let bytes = |groups: &[Group<'_>]| {
            Bytes::from(write::assignment(&self.cluster, groups, &self.choice))
        };
        let (set, horizon) = (&self.endpoints, self.horizon.as_deref());
        let body = with_groups(&self.choice, set, horizon, &self.balance, bytes);
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
    let one = input.service.resolution == Resolution::DnsRoundRobin;
    let bytes = |groups: &[Group<'_>]| {
        if !one {
            return write::assignment(name, groups, &choice);
        }
        // Envoy: a LOGICAL_DNS cluster has exactly one endpoint.
        let first = groups.iter().find(|group| !group.endpoints.is_empty());
        let first = first.map(|group| Group {
            endpoints: group.endpoints.iter().take(1).copied().collect(),
            ..*group
        });
        write::assignment(name, first.as_slice(), &choice)
    };
    let horizon = input.horizon.as_deref();
    let written = with_groups(&choice, endpoints, horizon, balance, bytes);
    // What was just written is read back: the cluster holds the message, and there is one place that writes it.
    ClusterLoadAssignment::decode(written.as_slice()).unwrap_or_default()
}

fn chosen<'a>(choice: &Choice, set: &'a EndpointSet) -> impl Iterator<Item = &'a Shared<Endpoint>> {
    set.port(&choice.port).iter().filter(|e| choice.takes(e))
}

/// Chooses, looks over the horizon, balances, and hands the groups to what writes them.
fn with_groups<T>(
    choice: &Choice,
    set: &EndpointSet,
    horizon: Option<&Horizon>,
    balance: &Balance,
    write: impl FnOnce(&[Group<'_>]) -> T,
) -> T {
    let chosen = chosen(choice, set);
    let Some(horizon) = horizon else {
        let near = chosen.filter(|e| !e.address.is_empty());
        return write(&balance::groups(balance::by_locality(near), balance));
    };
    let seen = horizon.seen(choice, balance::by_locality(chosen));
    let seen = seen
        .iter()
        .map(|(locality, endpoints)| (locality, endpoints.iter().collect()));
    write(&balance::groups(seen, balance))
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
            || endpoint.address.is_empty()
            || endpoint.address.parse::<std::net::IpAddr>().is_ok();
        healthy
            && addressed
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

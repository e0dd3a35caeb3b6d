//! The routes of one VirtualService on one listener, with destinations resolved to clusters.

use meltemi_builders::route::{ResolvedDestination, RouteSpec, RuleRoute, is_catch_all};
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::routing::{Destination, HttpAction, HttpMatch, HttpRoute, VirtualService};
use meltemi_model::service::{Service, outbound_name};
use meltemi_model::traffic::{
    Algorithm, HashKey, LoadBalancer, MergedRule, PortPolicy, TrafficPolicy,
};
use meltemi_model::{Hostname, Shared, Str};

/// A service as a listener sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The service.
    pub(super) service: &'a Service,
    /// Its port, where the listener shows only one of them.
    pub(super) only_port: Option<u16>,
}

impl<'a> Target<'a> {
    /// A service with all its ports.
    pub(super) fn whole(service: &'a Service) -> Self {
        let only_port = match &service.ports[..] {
            [port] => Some(port.number),
            _ => None,
        };
        Self { service, only_port }
    }
}

/// The listener that routes are made for.
pub(super) struct Listener<'a> {
    /// Who listens.
    pub(super) class: &'a ProxyClass,
    /// The mesh's settings.
    pub(super) mesh: &'a Mesh,
    /// `mesh`, or `namespace/name` of a Gateway.
    pub(super) gateway: &'a str,
    /// The port that conditions compare with; 0: none.
    pub(super) port: u16,
    /// Whether the listener terminates TLS.
    pub(super) tls: bool,
    /// The services that destinations may name.
    pub(super) target: &'a dyn Fn(&Hostname) -> Option<Target<'a>>,
    /// The DestinationRules that apply to a host.
    pub(super) rule: &'a dyn Fn(&Hostname) -> Option<&'a MergedRule>,
}

/// The routes of a VirtualService, up to and with the first that takes every request. Empty: it says nothing about
/// this listener. Istio 1.31: `BuildHTTPRoutesForVirtualService`.
pub(super) fn routes(vs: &Shared<VirtualService>, listener: &Listener<'_>) -> Vec<RouteSpec> {
    let mut out = Vec::new();
    for (rule, http) in vs.http.iter().enumerate() {
        if http.matches.is_empty() {
            out.push(route(vs, rule, None, http, listener));
            return out;
        }
        for (condition, matched) in http.matches.iter().enumerate() {
            if !concerns(matched, listener) {
                continue;
            }
            out.push(route(vs, rule, Some(condition), http, listener));
            if is_catch_all(Some(matched)) {
                return out;
            }
        }
    }
    out
}

/// Whether a condition can hold on this listener: port, gateway, and the caller's labels and namespace are known now.
/// Istio 1.31: `sourceMatchHTTP`.
fn concerns(matched: &HttpMatch, listener: &Listener<'_>) -> bool {
    if matched.port != 0 && matched.port != listener.port {
        return false;
    }
    if !matched.gateways.is_empty() {
        return matched
            .gateways
            .iter()
            .any(|name| &**name == listener.gateway);
    }
    listener.class.labels.satisfies(&matched.source_labels)
        && (matched.source_namespace.is_empty()
            || *matched.source_namespace == *listener.class.namespace)
}

fn route(
    vs: &Shared<VirtualService>,
    rule: usize,
    condition: Option<usize>,
    http: &HttpRoute,
    listener: &Listener<'_>,
) -> RouteSpec {
    let (destinations, mirrors, default_retries) = match &http.action {
        HttpAction::Forward(destinations) => (
            destinations
                .iter()
                .map(|d| ResolvedDestination {
                    cluster: cluster(&d.destination, listener),
                    hash: hash_of_destination(&d.destination, listener),
                })
                .collect(),
            http.copies()
                .iter()
                .map(|mirror| cluster(&mirror.destination, listener))
                .collect(),
            if http.retries.is_none() {
                listener.mesh.default_retries.clone()
            } else {
                None
            },
        ),
        HttpAction::Redirect(_) | HttpAction::Respond(_) | HttpAction::Nothing => {
            (Vec::new(), Vec::new(), None)
        }
    };
    RouteSpec::Rule(RuleRoute {
        virtual_service: vs.clone(),
        rule,
        condition,
        port: listener.port,
        tls: listener.tls,
        destinations,
        mirrors,
        default_retries,
    })
}

/// The cluster of a destination: the named port, else the service's only one, else the listener's. A service that is
/// not known still gets a name, since the bootstrap may define such a cluster. Istio 1.31: `GetDestinationCluster`.
fn cluster(destination: &Destination, listener: &Listener<'_>) -> Str {
    if destination.host.as_str().is_empty() {
        return "UnknownService".into();
    }
    let target = (listener.target)(&destination.host);
    let host = target
        .and_then(|t| t.service.external_name.as_ref())
        .unwrap_or(&destination.host);
    let port = destination
        .port
        .or(target.and_then(|t| t.only_port))
        .unwrap_or(listener.port);
    outbound_name(port, &destination.subset, host).into()
}

/// The hash key for a destination: of the subset's port, the subset, the host's port, the host. Istio 1.31:
/// `HashForHTTPDestination`.
fn hash_of_destination(destination: &Destination, listener: &Listener<'_>) -> Option<HashKey> {
    let rule = (listener.rule)(&destination.host)?;
    let subset = rule
        .subsets
        .iter()
        .find(|s| s.name == destination.subset)
        .and_then(|s| s.policy.as_ref());
    let on_port = |policy: &TrafficPolicy| {
        let port = destination.port?;
        policy
            .ports
            .iter()
            .find(|(number, _)| *number == port)
            .and_then(|(_, policy)| hash(policy))
    };
    let policy = rule.policy.as_ref();
    subset
        .and_then(on_port)
        .or_else(|| subset.and_then(|p| hash(&p.all)))
        .or_else(|| policy.and_then(on_port))
        .or_else(|| policy.and_then(|p| hash(&p.all)))
}

/// The hash key for a port of a service that no VirtualService is for. Istio 1.31: `hashForService`.
pub(super) fn hash_of_service(rule: &MergedRule, port: u16) -> Option<HashKey> {
    let policy = rule.policy.as_ref()?;
    let on_port = policy.ports.iter().find(|(number, _)| *number == port);
    on_port
        .and_then(|(_, policy)| hash(policy))
        .or_else(|| hash(&policy.all))
}

fn hash(policy: &PortPolicy) -> Option<HashKey> {
    match &policy.load_balancer {
        Some(LoadBalancer {
            algorithm: Some(Algorithm::ConsistentHash(hash)),
            ..
        }) => Some(hash.key.clone()),
        _ => None,
    }
}

/// Whether requests on a port may be HTTP. Istio 1.31: `IsHTTPOrSniffed`.
pub(super) fn may_be_http(protocol: Protocol) -> bool {
    protocol.is_http() || protocol.is_unsupported()
}

//! TCP proxies: to a service, or as a VirtualService routes.

use meltemi_builders::listener::{Clusters, SniDnsCache, TcpChain, TcpTunnel};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::routing::{Destination, L4Match, MESH_GATEWAY};
use meltemi_model::service::{Resolution, Service, outbound_name};
use meltemi_model::traffic::{Algorithm, HashKey, LoadBalancer, MergedRule, Tunnel};
use meltemi_model::{Hostname, ObjectKey, Str};
use meltemi_world::{Scope, ScopedService};

use super::facets::dns_family;

/// The port that a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenPort {
    /// The number; 0 for a socket.
    pub(super) number: u16,
    /// The name.
    pub(super) name: Str,
    /// The protocol.
    pub(super) protocol: Protocol,
}

/// Whether the conditions that do not depend on the connection hold for a sidecar. Istio 1.31: `matchTLS`, `matchTCP`.
pub(super) fn applies_to_sidecar(matching: &L4Match, class: &ProxyClass, port: u16) -> bool {
    (matching.gateways.is_empty()
        || matching
            .gateways
            .iter()
            .any(|gateway| &**gateway == MESH_GATEWAY))
        && class.labels.satisfies(&matching.source_labels)
        && (matching.port == 0 || matching.port == port)
        && (matching.source_namespace.is_empty() || *matching.source_namespace == *class.namespace)
}

/// Whether the conditions hold for a server of a gateway. Istio 1.31: `l4SingleMatch`.
pub(super) fn applies_to_server(matching: &L4Match, gateway: &str, port: u16) -> bool {
    (matching.gateways.is_empty() || matching.gateways.iter().any(|name| &**name == gateway))
        && (matching.port == 0 || matching.port == port)
}

/// The cluster of a destination. Istio 1.31: `route.GetDestinationCluster`.
fn cluster(destination: &Destination, service: Option<&Service>, listener_port: u16) -> Str {
    let only = service.and_then(|s| match s.ports.as_slice() {
        [only] => Some(only.number),
        _ => None,
    });
    let port = destination.port.or(only).unwrap_or(listener_port);
    let host = service
        .and_then(|s| s.external_name.as_ref())
        .unwrap_or(&destination.host);
    outbound_name(port, &destination.subset, host).into()
}

/// Routes of a VirtualService. `None`: no route has any weight, which validation refuses. Istio 1.31:
/// `buildOutboundNetworkFilters`.
pub(super) fn routes(
    scope: &Scope,
    routes: &[(Destination, u32)],
    port: &ListenPort,
    owner: &ObjectKey,
) -> Option<TcpChain> {
    let (first, _) = routes.first()?;
    let service = scope.service(&first.host);
    let rule = service.and_then(|s| s.rule.as_deref());
    let base = |to: Str| TcpChain {
        mongo: port.protocol == Protocol::Mongo,
        ..TcpChain::to(to)
    };
    if let [(only, _)] = routes {
        let mut chain = base(cluster(only, service.map(|s| &*s.service), port.number));
        if let Some(service) = service {
            let names = StatNames {
                host: &only.host,
                subset: &only.subset,
                port: port.number,
                port_name: &port.name,
            };
            if let Some(prefix) = stat_prefix(
                &scope.mesh.outbound_stat_name,
                &names,
                Some(&service.service),
            ) {
                chain.stat_prefix = prefix;
            }
        }
        apply_rule(&mut chain, rule, &only.subset, true);
        return Some(chain);
    }
    let weighted: Vec<(Str, u32)> = routes
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(to, weight)| {
            (
                cluster(
                    to,
                    scope.service(&to.host).map(|s| &*s.service),
                    port.number,
                ),
                *weight,
            )
        })
        .collect();
    let (name, _) = weighted.first()?;
    let mut chain = base(name.clone());
    chain.stat_prefix = format!("{}.{}", owner.name, owner.namespace).into();
    chain.clusters = Clusters::Weighted(weighted);
    apply_rule(&mut chain, rule, "", true);
    Some(chain)
}

/// To a service itself. In a Sidecar's listener with a port of its own, a service with one port is meant by that port.
/// Istio 1.31: `buildOutboundNetworkFiltersWithSingleDestination`.
pub(super) fn service(
    scope: &Scope,
    class: &ProxyClass,
    to: &ScopedService,
    port: &ListenPort,
) -> TcpChain {
    let host = &to.service.key.host;
    let number = match to.service.ports.as_slice() {
        [only] => only.number,
        _ => port.number,
    };
    let mut chain = TcpChain::to(outbound_name(number, "", host).into());
    chain.mongo = port.protocol == Protocol::Mongo;
    let names = StatNames {
        host,
        subset: "",
        port: number,
        port_name: "",
    };
    if let Some(prefix) = stat_prefix(&scope.mesh.outbound_stat_name, &names, Some(&to.service)) {
        chain.stat_prefix = prefix;
    }
    apply_rule(&mut chain, to.rule.as_deref(), "", true);
    chain.sni_dns_cache = resolves_names(&to.service).then(|| SniDnsCache {
        name: dns_cache_name(host),
        family: dns_family(class),
        port: port.number,
    });
    chain
}

/// Whether the names under a wildcard host are resolved as they are asked for.
pub(super) fn resolves_names(service: &Service) -> bool {
    service.key.host.is_wildcard() && service.resolution == Resolution::DynamicDns
}

/// Istio 1.31: `BuildDNSCacheName`.
pub(super) fn dns_cache_name(host: &Hostname) -> Str {
    format!("{host}_dfp_dns_cache").into()
}

/// The settings of a DestinationRule that are the listener's. `tunnel`: its tunnel applies, too.
pub(super) fn apply_rule(
    chain: &mut TcpChain,
    rule: Option<&MergedRule>,
    subset: &str,
    tunnel: bool,
) {
    let Some(rule) = rule else { return };
    let pool = rule
        .policy
        .as_ref()
        .and_then(|policy| policy.all.connection_pool.as_ref());
    chain.idle_timeout = pool.and_then(|pool| pool.tcp_idle_timeout);
    chain.max_connection_duration = pool.and_then(|pool| pool.max_connection_duration);
    chain.hash_source_ip = hashes_source_ip(rule, subset);
    if tunnel {
        chain.tunnel = tunnel_of(rule, subset).map(|tunnel| TcpTunnel {
            target: super::addresses::host_port(&tunnel.host, tunnel.port).into(),
            post: tunnel.post,
        });
    }
}

/// A load balancer of the subset replaces that of the host. Istio 1.31: `maybeSetHashPolicy`.
fn hashes_source_ip(rule: &MergedRule, subset: &str) -> bool {
    let by_ip = |lb: &LoadBalancer| match &lb.algorithm {
        Some(Algorithm::ConsistentHash(hash)) => hash.key == HashKey::SourceIp,
        Some(
            Algorithm::LeastRequest
            | Algorithm::RoundRobin
            | Algorithm::Random
            | Algorithm::Passthrough,
        )
        | None => false,
    };
    let own = rule.subsets.iter().find(|s| &*s.name == subset);
    let own = own.and_then(|s| s.policy.as_ref()?.all.load_balancer.as_ref());
    let host = || {
        rule.policy
            .as_ref()
            .and_then(|policy| policy.all.load_balancer.as_ref())
    };
    own.or_else(host).is_some_and(by_ip)
}

/// The tunnel of a subset is not inherited from the host. Istio 1.31: `tunnelingconfig.Apply`.
fn tunnel_of<'a>(rule: &'a MergedRule, subset: &str) -> Option<&'a Tunnel> {
    let policy = if subset.is_empty() {
        rule.policy.as_ref()
    } else {
        rule.subsets
            .iter()
            .find(|s| &*s.name == subset)
            .and_then(|s| s.policy.as_ref())
    };
    policy.and_then(|policy| policy.tunnel.as_ref())
}

/// What a pattern of statistics names may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatNames<'a> {
    /// The full host name.
    pub(super) host: &'a Hostname,
    /// The subset.
    pub(super) subset: &'a str,
    /// The service port.
    pub(super) port: u16,
    /// Its name.
    pub(super) port_name: &'a str,
}

/// The stat prefix by the mesh's pattern; `None` where it has none. Only services of Kubernetes have short names.
/// Istio 1.31: `telemetry.BuildStatPrefix`.
pub(super) fn stat_prefix(
    pattern: &str,
    names: &StatNames<'_>,
    service: Option<&Service>,
) -> Option<Str> {
    if pattern.is_empty() {
        return None;
    }
    let host = names.host.as_str();
    let kubernetes = service.filter(|service| service.kubernetes);
    let short = kubernetes.map_or_else(
        || host.to_owned(),
        |s| format!("{}.{}", s.name, s.key.namespace),
    );
    let name = kubernetes.map_or(host, |s| &*s.name);
    let prefix = pattern
        .replace("%SERVICE%", &short)
        .replace("%SERVICE_NAME%", name)
        .replace("%SERVICE_FQDN%", host)
        .replace("%SUBSET_NAME%", names.subset)
        .replace("%TARGET_PORT%", "0")
        .replace("%SERVICE_PORT%", &names.port.to_string())
        .replace("%SERVICE_PORT_NAME%", names.port_name);
    Some(prefix.into())
}

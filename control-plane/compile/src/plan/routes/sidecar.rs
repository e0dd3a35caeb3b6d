//! Route configurations of sidecars: one for each port, with a virtual host for everything that it serves. Istio 1.31:
//! `buildSidecarOutboundHTTPRouteConfig` (`pilot/pkg/networking/core/httproute.go`).

use std::collections::BTreeMap;

use meltemi_builders::route::{
    DYNAMIC_DNS_CLUSTER, PASSTHROUGH_CLUSTER, RouteInput, RouteSpec, VirtualHostInput,
};
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::outbound_name;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{Shared, Str};
use meltemi_world::{EgressScope, Scope};

use super::hosts::virtual_hosts;
use super::{HTTP_PROXY, UNIX, empty_route, sidecar_route_names};

/// What the name of a route configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RouteName {
    /// The listener's port; 0 for proxies and sockets, which serve all ports.
    port: u16,
    /// Whether it is for one service whose protocol is detected.
    sniffed: bool,
}

impl RouteName {
    /// Istio 1.31: `extractListenerPort`.
    fn parse(name: &str) -> Option<Self> {
        if name == HTTP_PROXY || name.starts_with(UNIX) {
            return Some(Self {
                port: 0,
                sniffed: false,
            });
        }
        let (host, port) = name
            .rsplit_once(':')
            .map_or((None, name), |(host, port)| (Some(host), port));
        Some(Self {
            port: port.parse().ok()?,
            sniffed: host.is_some(),
        })
    }
}

/// All route configurations that the listeners of a class refer to.
pub fn sidecar_routes(scope: &Scope, class: &ProxyClass) -> Vec<RouteInput> {
    let mut ports = BTreeMap::new();
    let names = sidecar_route_names(scope, class);
    names
        .iter()
        .map(|name| input(scope, class, name, &mut ports).unwrap_or_else(|| empty_route(name)))
        .collect()
}

/// The route configuration of a name; `None` where no listener could refer to it ([`empty_route`] is the answer).
pub fn sidecar_route(scope: &Scope, class: &ProxyClass, name: &str) -> Option<RouteInput> {
    input(scope, class, name, &mut BTreeMap::new())
}

/// The virtual hosts of ports, which every sniffed service of a port picks its own from.
type Ports = BTreeMap<u16, Vec<Shared<VirtualHostInput>>>;

fn input(scope: &Scope, class: &ProxyClass, name: &str, ports: &mut Ports) -> Option<RouteInput> {
    let RouteName { port, sniffed } = RouteName::parse(name)?;
    let egress = egress_listener(scope, port, name)?;
    let make = || {
        let mut hosts = virtual_hosts(scope, class, egress, port);
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        hosts.into_iter().map(Shared::new).collect()
    };
    let alone: Vec<_>;
    let hosts: &[Shared<VirtualHostInput>] = if port == 0 {
        // Each proxy or socket has an egress listener of its own.
        alone = make();
        &alone
    } else {
        ports.entry(port).or_insert_with(make)
    };
    let virtual_hosts = if sniffed {
        of_sniffed_service(hosts, name)
    } else {
        hosts
            .iter()
            .cloned()
            .chain([Shared::new(catch_all(scope, class))])
            .collect()
    };
    Some(RouteInput {
        name: name.into(),
        virtual_hosts,
        limits: true,
    })
}

/// The egress listener that a route configuration belongs to. Istio 1.31: `GetEgressListenerForRDS`.
fn egress_listener<'a>(scope: &'a Scope, port: u16, name: &str) -> Option<&'a EgressScope> {
    scope.egress.iter().find(|egress| {
        let Some((listener, own)) = egress
            .listener
            .as_ref()
            .and_then(|l| Some((l, l.port.as_ref()?)))
        else {
            return true;
        };
        own.number == port && (port != 0 || *listener.bind == *name)
    })
}

/// The listener of a service whose protocol is detected serves that one only, whatever the client calls it.
/// Istio 1.31: `getVirtualHostsForSniffedServicePort`.
fn of_sniffed_service(
    hosts: &[Shared<VirtualHostInput>],
    name: &str,
) -> Vec<Shared<VirtualHostInput>> {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let is_it = |domain: &Str| **domain == *name || **domain == *host;
    let found: Vec<_> = hosts
        .iter()
        .filter(|h| h.domains.iter().any(is_it))
        .collect();
    match found[..] {
        [only] => vec![Shared::new(VirtualHostInput {
            domains: vec!["*".into()],
            ..VirtualHostInput::clone(only)
        })],
        _ => found.into_iter().cloned().collect(),
    }
}

/// What answers for hosts that nobody declared. Istio 1.31: `buildCatchAllVirtualHost`.
fn catch_all(scope: &Scope, class: &ProxyClass) -> VirtualHostInput {
    let (name, cluster): (&str, Str) = match scope.outbound_policy {
        OutboundPolicy::RegistryOnly => ("block_all", "".into()),
        OutboundPolicy::AllowAnyDynamicDns => ("allow_any_dynamic_dns", DYNAMIC_DNS_CLUSTER.into()),
        OutboundPolicy::AllowAny => {
            let proxy = scope
                .sidecar
                .as_ref()
                .and_then(|sidecar| sidecar.egress_proxy.as_ref());
            let cluster =
                proxy.map(|to| outbound_name(to.port.unwrap_or(0), &to.subset, &to.host).into());
            (
                "allow_any",
                cluster.unwrap_or_else(|| PASSTHROUGH_CLUSTER.into()),
            )
        }
    };
    let name: Str = name.into();
    let route = match scope.outbound_policy {
        OutboundPolicy::RegistryOnly => RouteSpec::BlockAll,
        OutboundPolicy::AllowAny | OutboundPolicy::AllowAnyDynamicDns => RouteSpec::AllowAny {
            name: name.clone(),
            cluster,
        },
    };
    VirtualHostInput {
        name,
        domains: vec!["*".into()],
        routes: vec![Shared::new(vec![route])],
        attempt_count: !class.proxy_config.headers.attempt_count_disabled,
        require_tls: false,
        from: scope
            .sidecar
            .iter()
            .map(|sidecar| sidecar.meta.key.clone())
            .collect(),
    }
}

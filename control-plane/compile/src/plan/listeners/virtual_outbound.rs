//! The listener that takes all redirected outbound connections, and the one for HTTP proxying.

use std::time::Duration;

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, HttpChain, ListenerInput, ListenerKind, RouteSource, TcpChain,
    Terminal,
};
use meltemi_model::proxy::{InterceptionMode, ProxyClass};
use meltemi_model::service::outbound_name;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{Shared, Str};
use meltemi_world::Scope;

use super::addresses::{localhosts, virtual_outbound_binds};
use super::facets::{Facets, Side, http};

/// The route configuration of HTTP proxy listeners.
const HTTP_PROXY_ROUTE: &str = "http_proxy";

/// The cluster of traffic that no service claims. Istio 1.31: `buildOutboundCatchAllNetworkFiltersOnly`.
pub(super) fn fallthrough_cluster(scope: &Scope) -> Str {
    match scope.outbound_policy {
        OutboundPolicy::RegistryOnly => "BlackHoleCluster".into(),
        OutboundPolicy::AllowAny | OutboundPolicy::AllowAnyDynamicDns => {
            let egress = scope
                .sidecar
                .as_ref()
                .and_then(|sidecar| sidecar.egress_proxy.as_ref());
            match egress {
                Some(to) => outbound_name(to.port.unwrap_or(0), &to.subset, &to.host).into(),
                None => "PassthroughCluster".into(),
            }
        }
    }
}

/// `virtualOutbound`. Istio 1.31: `buildVirtualOutboundListener`.
pub(super) fn listener(scope: &Scope, class: &ProxyClass, facets: &Facets) -> ListenerInput {
    let dynamic = scope.outbound_policy == OutboundPolicy::AllowAnyDynamicDns;
    let mut chains = vec![loops(scope.mesh.outbound_port)];
    chains.extend(dynamic.then(|| any_host(class)));
    chains.push(Chain {
        name: "virtualOutbound-catchall-tcp".into(),
        ..Chain::to(Terminal::tcp(TcpChain::to(fallthrough_cluster(scope))))
    });
    ListenerInput {
        name: "virtualOutbound".into(),
        addresses: virtual_outbound_binds(class),
        port: scope.mesh.outbound_port,
        kind: ListenerKind::VirtualOutbound,
        transparent: class.interception == InterceptionMode::Tproxy,
        exact_balance: false,
        detection_timeout: Duration::ZERO,
        proxy_protocol: false,
        chains,
        fallthrough: None,
        network: facets.network.clone(),
        http: dynamic.then(|| facets.http.clone()),
        from: scope
            .sidecar
            .iter()
            .map(|sidecar| sidecar.meta.key.clone())
            .collect(),
    }
}

/// Connections to the very port of the listener would come back to it for ever.
fn loops(port: u16) -> Chain {
    Chain {
        name: "virtualOutbound-blackhole".into(),
        matching: Some(ChainMatch {
            port: Some(port),
            ..Default::default()
        }),
        ..Chain::to(Terminal::tcp(TcpChain::blackhole()))
    }
}

/// Plain HTTP to hosts that are resolved as they are asked for. Istio 1.31: `buildAllowAnyDynamicDNSHTTPFilterChain`.
fn any_host(class: &ProxyClass) -> Chain {
    let attempt_count = !class.proxy_config.headers.attempt_count_disabled;
    Chain {
        name: "virtualOutbound-catchall-tcp-http".into(),
        matching: Some(ChainMatch {
            alpn: Alpn::PlainHttp,
            ..Default::default()
        }),
        ..Chain::to(Terminal::http(HttpChain::new(
            "outbound_virtualOutbound_allow_any_dynamic_dns;",
            RouteSource::AnyDynamicDns { attempt_count },
        )))
    }
}

/// The listener for applications that are told to use an HTTP proxy. Istio 1.31: `buildHTTPProxy`.
pub(super) fn http_proxy(scope: &Scope, class: &ProxyClass) -> Option<ListenerInput> {
    let port = match class.facet.http_proxy_port {
        0 => scope.mesh.http_proxy_port,
        own => own,
    };
    if port == 0 {
        return None;
    }
    let mut facet = http(scope, class, Side::Outbound);
    facet.skip_external_metadata = false;
    let facets = Facets::sidecar(scope, class);
    let addresses = localhosts(class);
    let name = format!("{}_{port}", addresses[0]);
    let routes = RouteSource::Rds(HTTP_PROXY_ROUTE.into());
    let http = HttpChain {
        absolute_url: true,
        ..HttpChain::new(format!("outbound_{name};"), routes)
    };
    let chain = Chain::to(Terminal::http(http));
    Some(ListenerInput {
        name: name.into(),
        addresses,
        port,
        kind: ListenerKind::Outbound { bind_to_port: true },
        transparent: false,
        exact_balance: class.facet.outbound_exact_balance,
        detection_timeout: scope.mesh.protocol_detection_timeout,
        proxy_protocol: false,
        chains: vec![chain],
        fallthrough: None,
        network: facets.network,
        http: Some(Shared::new(facet)),
        from: Vec::new(),
    })
}

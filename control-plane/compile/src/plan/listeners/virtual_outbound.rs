//! The listener that takes all redirected outbound connections, and the one for HTTP proxying.

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, HttpChain, ListenerInput, ListenerKind, RouteSource, TcpChain, Terminal,
};
use meltemi_model::proxy::{InterceptionMode, ProxyClass};
use meltemi_model::service::outbound_name;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{Shared, Str};
use meltemi_world::Scope;

use super::addresses::{localhosts, wildcards};
use super::facets::{Facets, Side, http};

/// The route configuration of HTTP proxy listeners.
const HTTP_PROXY_ROUTE: &str = "http_proxy";

/// The cluster of traffic that no service claims. Istio 1.31: `buildOutboundCatchAllNetworkFiltersOnly`.
pub(super) fn fallthrough_cluster(scope: &Scope) -> Str {
    match scope.outbound_policy {
        OutboundPolicy::RegistryOnly => "BlackHoleCluster".into(),
        OutboundPolicy::AllowAny | OutboundPolicy::AllowAnyDynamicDns => {
            let egress = scope.sidecar.as_ref().and_then(|sidecar| sidecar.egress_proxy.as_ref());
            match egress {
                Some(to) => outbound_name(to.port.unwrap_or(0), &to.subset, &to.host).into(),
                None => "PassthroughCluster".into(),
            }
        }
    }
}

/// `virtualOutbound`. Istio 1.31: `buildVirtualOutboundListener`.
pub(super) fn listener(scope: &Scope, class: &ProxyClass, facets: &Facets) -> ListenerInput {
    let chain = |name: &str, matching, terminal| Chain {
        name: name.into(),
        matching,
        reads_sni: false,
        tls: None,
        metadata_exchange: false,
        terminal,
        config: None,
    };
    let own_port = ChainMatch { port: Some(scope.mesh.outbound_port), ..Default::default() };
    // Connections to the very port of the listener would come back to it for ever.
    let loops = chain("virtualOutbound-blackhole", Some(own_port), Terminal::Tcp(Box::new(TcpChain::blackhole())));
    let mut chains = vec![loops];
    let dynamic = scope.outbound_policy == OutboundPolicy::AllowAnyDynamicDns;
    if dynamic {
        let plain_http = ChainMatch { alpn: Alpn::PlainHttp, ..Default::default() };
        let http = HttpChain {
            stat_prefix: "outbound_virtualOutbound_allow_any_dynamic_dns;".into(),
            route: RouteSource::AnyDynamicDns { attempt_count: !class.proxy_config.headers.attempt_count_disabled },
            http2: false,
            grpc_web: false,
            absolute_url: false,
            dns_cache: None,
        };
        chains.push(chain("virtualOutbound-catchall-tcp-http", Some(plain_http), Terminal::Http(Box::new(http))));
    }
    let rest = TcpChain::to(fallthrough_cluster(scope));
    chains.push(chain("virtualOutbound-catchall-tcp", None, Terminal::Tcp(Box::new(rest))));
    ListenerInput {
        name: "virtualOutbound".into(),
        addresses: wildcards(class),
        port: scope.mesh.outbound_port,
        kind: ListenerKind::VirtualOutbound,
        transparent: class.interception == InterceptionMode::Tproxy,
        exact_balance: false,
        detection_timeout: std::time::Duration::ZERO,
        proxy_protocol: false,
        chains,
        fallthrough: None,
        network: facets.network.clone(),
        http: dynamic.then(|| facets.http.clone()),
        from: scope.sidecar.iter().map(|sidecar| sidecar.meta.key.clone()).collect(),
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
    let http = HttpChain {
        stat_prefix: format!("outbound_{name};").into(),
        route: RouteSource::Rds(HTTP_PROXY_ROUTE.into()),
        http2: false,
        grpc_web: false,
        absolute_url: true,
        dns_cache: None,
    };
    let chain = Chain {
        name: "".into(),
        matching: None,
        reads_sni: false,
        tls: None,
        metadata_exchange: false,
        terminal: Terminal::Http(Box::new(http)),
        config: None,
    };
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

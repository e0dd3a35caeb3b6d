//! Listeners (LDS): what a sidecar or gateway listens on, and how a connection finds its filters.
//!
//! The Input says what was chosen (addresses, filter chains in order, where each chain leads) and refers to facets for
//! what all chains of a proxy have in common. Listeners without HTTP refer to the small [`NetworkFacet`] only, so most
//! classes of a mesh share them.
//!
//! Read first: this file (the listener itself), `chain.rs` (filter chains), `hcm.rs` (the HTTP connection manager).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use meltemi_model::{ObjectKey, ResourceType, Shared, Str};

use crate::{Built, Input};

mod access_log;
mod address;
mod chain;
mod facet;
mod filters;
mod hcm;
mod inbound_route;
mod inspectors;
mod pb;
mod tcp;
mod tls;
mod tracing;

#[cfg(test)]
mod tests;

pub use chain::{Alpn, Chain, ChainMatch, Terminal, Transport};
pub use facet::{
    AccessLog, AnyDnsCache, ClientCert, DnsFamily, ForwardClientCert, HttpFacet, NetworkFacet,
    TracedWorkload, Tracing,
};
pub(crate) use filters::{any_dns_cache, host_dns_cache, lookup_family};
pub use hcm::{HttpChain, RouteSource};
pub use inbound_route::InboundRoute;
pub use tcp::{Clusters, SniDnsCache, TcpChain, TcpTunnel};
pub use tls::{Certificate, DownstreamTls, FileReader, ServerCertificates, ServerTls};

/// What a listener is for; it decides defaults that Istio sets per kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerKind {
    /// Takes all redirected outbound connections and hands them to the listener of their destination.
    VirtualOutbound,
    /// An outbound listener, which binds its port or is only found by original destination.
    Outbound {
        /// Whether it binds its port.
        bind_to_port: bool,
    },
    /// Takes all redirected inbound connections.
    VirtualInbound,
    /// An inbound listener that binds its port.
    Inbound,
    /// A listener of a gateway.
    Gateway,
}

impl ListenerKind {
    /// Whether it takes connections for the workload itself.
    pub fn is_inbound(self) -> bool {
        matches!(self, Self::VirtualInbound | Self::Inbound)
    }

    /// Gateways and inbound listeners know the host from the listener; outbound ones fall back to the Host header.
    /// Istio 1.31: `disableHostHeaderFallback`.
    fn disables_host_fallback(self) -> bool {
        self.is_inbound() || self == Self::Gateway
    }

    /// Slow TLS handshakes are cut off after this time. Istio 1.31: `PILOT_GATEWAY_TRANSPORT_SOCKET_CONNECT_TIMEOUT`,
    /// which its outbound listeners use too.
    fn connect_timeout(self) -> Option<Duration> {
        matches!(self, Self::Outbound { .. } | Self::Gateway).then(|| Duration::from_secs(15))
    }
}

/// Everything that one listener is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerInput {
    /// The name, which istioctl, metrics and EnvoyFilters refer to.
    pub name: Str,
    /// Its addresses (an IP or `unix://…`), the primary one first.
    pub addresses: Vec<Str>,
    /// Its port; 0 for a socket.
    pub port: u16,
    /// What it is for.
    pub kind: ListenerKind,
    /// Keep the source and destination of redirected connections (TPROXY).
    pub transparent: bool,
    /// Balance connections exactly between workers.
    pub exact_balance: bool,
    /// How long the first bytes may take where they decide the protocol; zero: no limit.
    pub detection_timeout: Duration,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The filter chains.
    pub chains: Vec<Chain>,
    /// Outbound: the cluster of connections that match no chain.
    pub fallthrough: Option<Str>,
    /// What network filters have in common.
    pub network: Shared<NetworkFacet>,
    /// What HTTP connection managers have in common; set where a chain has one.
    pub http: Option<Shared<HttpFacet>>,
    /// The objects that decided it.
    pub from: Vec<ObjectKey>,
}

impl ListenerInput {
    /// The names of the route configurations that the listener fetches over RDS.
    pub fn route_names(&self) -> impl Iterator<Item = &Str> {
        self.chains
            .iter()
            .filter_map(|chain| match &chain.terminal {
                Terminal::Http(http) => match &http.route {
                    RouteSource::Rds(name) => Some(name),
                    RouteSource::Inbound(_) | RouteSource::AnyDynamicDns { .. } => None,
                },
                Terminal::Tcp(_) => None,
            })
    }

    /// The names of the clusters that its TCP chains lead to.
    pub fn cluster_names(&self) -> BTreeSet<&Str> {
        let mut names: BTreeSet<&Str> = self.fallthrough.iter().collect();
        for chain in &self.chains {
            if let Terminal::Tcp(tcp) = &chain.terminal {
                match &tcp.clusters {
                    Clusters::One(name) => {
                        names.insert(name);
                    }
                    Clusters::Weighted(list) => names.extend(list.iter().map(|(name, _)| name)),
                }
            }
        }
        names
    }
}

impl Input for ListenerInput {
    const TYPE: ResourceType = ResourceType::Listener;
    type Part = ();
    type Shape = ();

    fn build(&self) -> Built {
        Built {
            name: self.name.clone(),
            body: pb::encode(&listener(self)),
            from: self.from.clone(),
        }
    }
}

/// The message of a listener.
fn listener(input: &ListenerInput) -> pb::listener::Listener {
    use pb::listener::listener::ConnectionBalanceConfig;
    use pb::listener::listener::connection_balance_config::{BalanceType, ExactBalance};
    let kind = input.kind;
    let outbound = matches!(kind, ListenerKind::Outbound { .. });
    let (filter_chains, default_filter_chain) = chains(input);
    // Outbound listeners log through their chains only; a connection that found no chain there was already seen by
    // the virtual listener.
    let access_log = match &input.network.access_log {
        Some(log) if input.network.listener_log && !outbound => {
            vec![access_log::no_route_only(log)]
        }
        Some(_) | None => Vec::new(),
    };
    let direction = match kind {
        ListenerKind::VirtualInbound | ListenerKind::Inbound => pb::core::TrafficDirection::Inbound,
        ListenerKind::VirtualOutbound | ListenerKind::Outbound { .. } | ListenerKind::Gateway => {
            pb::core::TrafficDirection::Outbound
        }
    };
    let exact = BalanceType::ExactBalance(ExactBalance {});
    pb::listener::Listener {
        name: input.name.to_string(),
        address: input
            .addresses
            .first()
            .map(|a| address::address(a, input.port)),
        additional_addresses: input
            .addresses
            .iter()
            .skip(1)
            .map(|a| address::additional(a, input.port))
            .collect(),
        filter_chains,
        default_filter_chain,
        use_original_dst: (kind == ListenerKind::VirtualOutbound).then(|| pb::bool(true)),
        listener_filters: inspectors::listener_filters(input),
        listener_filters_timeout: filters_timeout(input).map(pb::duration),
        continue_on_listener_filters_timeout: outbound || kind.is_inbound(),
        transparent: input.transparent.then(|| pb::bool(true)),
        traffic_direction: direction.into(),
        connection_balance_config: input.exact_balance.then_some(ConnectionBalanceConfig {
            balance_type: Some(exact),
        }),
        access_log,
        // Only listeners that accept on a socket of their own; Istio 1.31: MAX_CONNECTIONS_PER_SOCKET_EVENT_LOOP.
        max_connections_to_accept_per_socket_event: (kind
            != ListenerKind::Outbound {
                bind_to_port: false,
            })
        .then(|| pb::u32(1)),
        bind_to_port: (kind
            == ListenerKind::Outbound {
                bind_to_port: false,
            })
        .then(|| pb::bool(false)),
        ..Default::default()
    }
}

/// Outbound listeners have a limit only where bytes are looked at for HTTP; gateways keep Envoy's default of 15 s.
fn filters_timeout(input: &ListenerInput) -> Option<Duration> {
    match input.kind {
        ListenerKind::VirtualInbound | ListenerKind::Inbound => Some(input.detection_timeout),
        ListenerKind::Outbound { .. } if inspectors::inspects_http(input) => {
            Some(input.detection_timeout)
        }
        ListenerKind::Outbound { .. } => Some(Duration::ZERO),
        ListenerKind::VirtualOutbound | ListenerKind::Gateway => None,
    }
}

/// The chains and the default one. In outbound listeners a chain that matches everything becomes the default chain
/// where others stand beside it, so that a connection that matches some criteria of another chain still finds it.
/// Istio 1.31: `buildListenerFromEntry`.
fn chains(
    input: &ListenerInput,
) -> (
    Vec<pb::listener::FilterChain>,
    Option<pb::listener::FilterChain>,
) {
    if !matches!(input.kind, ListenerKind::Outbound { .. }) {
        return (
            input
                .chains
                .iter()
                .map(|c| chain::filter_chain(c, input))
                .collect(),
            None,
        );
    }
    let (mut specific, mut default) = (Vec::new(), None);
    for chain in &input.chains {
        let built = chain::filter_chain(chain, input);
        if chain.matching.is_none() {
            default = Some(built);
        } else {
            specific.push(built);
        }
    }
    match (default, &input.fallthrough) {
        (Some(only), _) if specific.is_empty() => (vec![only], None),
        (Some(default), _) => (specific, Some(default)),
        (None, Some(cluster)) => (specific, Some(chain::passthrough(cluster, input))),
        (None, None) => (specific, None),
    }
}

/// Whether text is an IP address, rather than a socket path.
fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

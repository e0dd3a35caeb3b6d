//! Filter chains: which connections, over which transport, through which filters.

use meltemi_model::{ObjectKey, Shared, Str};

use super::hcm::HttpChain;
use super::tcp::TcpChain;
use super::tls::DownstreamTls;
use super::{ListenerInput, address, filters, hcm, pb, tcp, tls};

/// A filter chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Its name; empty: none.
    pub name: Str,
    /// The connections that it takes; `None`: all.
    pub matching: Option<ChainMatch>,
    /// It asks for names in the TLS handshake, even where they all begin with a wildcard.
    pub reads_sni: bool,
    /// TLS that it terminates.
    pub tls: Option<DownstreamTls>,
    /// Exchange workload metadata with the peer at the beginning of a connection.
    pub metadata_exchange: bool,
    /// Where it leads.
    pub terminal: Terminal,
    /// The object that configured it, for its metadata.
    pub config: Option<ObjectKey>,
}

impl Chain {
    /// A plain chain without a name that takes every connection.
    pub fn to(terminal: Terminal) -> Self {
        Self {
            name: "".into(),
            matching: None,
            reads_sni: false,
            tls: None,
            metadata_exchange: false,
            terminal,
            config: None,
        }
    }
}

impl Terminal {
    /// To an HTTP connection manager.
    pub fn http(chain: HttpChain) -> Self {
        Self::Http(Box::new(chain))
    }

    /// To a TCP proxy.
    pub fn tcp(chain: TcpChain) -> Self {
        Self::Tcp(Box::new(chain))
    }
}

/// Where a chain leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// To an HTTP connection manager.
    Http(Box<HttpChain>),
    /// To a TCP proxy.
    Tcp(Box<TcpChain>),
}

/// The transport protocol of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Any.
    #[default]
    Any,
    /// TLS.
    Tls,
    /// Plain text.
    Raw,
}

/// The application protocols of a connection. Istio 1.31: the lists in `listener.go`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alpn {
    /// Any.
    #[default]
    Any,
    /// Plain HTTP, as the HTTP inspector finds it.
    PlainHttp,
    /// What a sidecar offers for HTTP.
    MeshHttp,
    /// What a sidecar offers for TCP.
    MeshTcp,
    /// What a sidecar offers for anything.
    Mesh,
}

impl Alpn {
    /// The names.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Alpn::Any => &[],
            Alpn::PlainHttp => &["http/1.1", "h2c"],
            Alpn::MeshHttp => &["istio-http/1.0", "istio-http/1.1", "istio-h2"],
            Alpn::MeshTcp => &["istio-peer-exchange", "istio"],
            Alpn::Mesh => &[
                "istio",
                "istio-peer-exchange",
                "istio-http/1.0",
                "istio-http/1.1",
                "istio-h2",
            ],
        }
    }
}

/// Conditions on a connection; all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainMatch {
    /// Its destination port.
    pub port: Option<u16>,
    /// Names in the TLS handshake, sorted.
    pub server_names: Vec<Str>,
    /// Its destination address: IPs or CIDRs, sorted.
    pub ranges: Vec<Str>,
    /// Its transport.
    pub transport: Transport,
    /// Its application protocol.
    pub alpn: Alpn,
}

/// The message of a chain.
pub(super) fn filter_chain(chain: &Chain, input: &ListenerInput) -> pb::listener::FilterChain {
    let kind = input.kind;
    let mut network = Vec::with_capacity(4);
    if chain.metadata_exchange {
        network.push(filters::network_metadata_exchange());
    }
    match &chain.terminal {
        Terminal::Http(http) => {
            let fallback = Shared::default();
            let facet = input.http.as_ref().unwrap_or(&fallback);
            network.push(hcm::filter(http, facet, kind));
        }
        Terminal::Tcp(proxy) => network.extend(tcp::filters(
            proxy,
            &input.network,
            kind.disables_host_fallback(),
        )),
    }
    pb::listener::FilterChain {
        name: chain.name.to_string(),
        filter_chain_match: chain.matching.as_ref().map(chain_match),
        filters: network,
        transport_socket: chain.tls.as_ref().map(tls::socket),
        transport_socket_connect_timeout: kind.connect_timeout().map(pb::duration),
        metadata: chain.config.as_ref().map(filters::config_metadata),
        ..Default::default()
    }
}

/// The default chain of an outbound listener without one of its own: what no service claims goes on as it would have
/// without the listener.
pub(super) fn passthrough(cluster: &Str, input: &ListenerInput) -> pb::listener::FilterChain {
    let proxy = TcpChain::to(cluster.clone());
    pb::listener::FilterChain {
        name: "PassthroughFilterChain".to_owned(),
        filter_chain_match: Some(pb::listener::FilterChainMatch::default()),
        filters: tcp::filters(&proxy, &input.network, input.kind.disables_host_fallback()),
        ..Default::default()
    }
}

fn chain_match(matching: &ChainMatch) -> pb::listener::FilterChainMatch {
    let transport = match matching.transport {
        Transport::Any => "",
        Transport::Tls => "tls",
        Transport::Raw => "raw_buffer",
    };
    pb::listener::FilterChainMatch {
        destination_port: matching.port.map(|p| pb::u32(p.into())),
        prefix_ranges: matching
            .ranges
            .iter()
            .filter_map(|r| address::range(r))
            .collect(),
        server_names: matching
            .server_names
            .iter()
            .map(ToString::to_string)
            .collect(),
        transport_protocol: transport.to_owned(),
        application_protocols: matching
            .alpn
            .names()
            .iter()
            .map(ToString::to_string)
            .collect(),
        ..Default::default()
    }
}

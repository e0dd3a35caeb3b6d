//! What is asked: one connection, with the first request on it when it carries HTTP.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use meltemi_proto::google::protobuf::Struct;

/// A connection to simulate, and the request that it carries.
///
/// `Call::to(address, port)` is a plaintext TCP connection that an application opens beside its sidecar; the other
/// fields are set by struct update.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Where the client meant to connect, before anything redirected it.
    pub address: IpAddr,
    /// The port that goes with it.
    pub port: u16,
    /// How the connection reaches the proxy.
    pub mode: Mode,
    /// Who connects.
    pub source: IpAddr,
    /// From which port.
    pub source_port: u16,
    /// What is spoken, inside of TLS where there is TLS.
    pub protocol: Protocol,
    /// How the connection is secured.
    pub tls: Tls,
    /// The server name of the TLS handshake; none when empty.
    pub sni: String,
    /// The application protocols that the TLS handshake offers, in the client's order.
    pub alpn: Vec<String>,
    /// The secret whose certificate a client with [`Tls::Mtls`] accepts. `default` is the mesh's workload certificate.
    pub trusts: String,
    /// The name in the client's certificate (its URI), where it shows one: `spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
    pub principal: String,
    /// What an extension provider answers that is asked whether the call may pass: no.
    pub provider_refuses: bool,
    /// `GET`, `POST`, …
    pub method: String,
    /// The host header or `:authority`, with its port if it has one; none when empty.
    pub host: String,
    /// The path with its query.
    pub path: String,
    /// More request headers, as pairs of name and value. A name may occur several times.
    pub headers: Vec<(String, String)>,
    /// Dynamic metadata that filters would have set, by the filter's name (`envoy.filters.http.jwt_authn`).
    pub metadata: BTreeMap<String, Struct>,
    /// Decides fractions and weights: Envoy's random number of the request. A percentage p holds when
    /// `random % 100 < p`, a weighted cluster is the one on which `random % total` falls.
    pub random: u64,
    /// The time, in seconds since 1970, by which tokens expire; `None`: they do not.
    pub now: Option<u64>,
    /// The client waits for the server to speak first (MySQL, SMTP).
    pub server_first: bool,
}

/// How a connection reaches a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Leaves the pod and is redirected to the outbound listener (15001).
    Outbound,
    /// Arrives at the pod and is redirected to the inbound listener (15006).
    Inbound,
    /// Goes to a port that the proxy itself listens on: a gateway, or a sidecar's own HTTP proxy or egress port.
    Direct,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without upgrade.
    Http2,
    /// Bytes that are no HTTP.
    Tcp,
}

impl Protocol {
    /// Whether it is HTTP of any version.
    pub fn is_http(self) -> bool {
        self != Protocol::Tcp
    }
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tls {
    /// Not at all.
    Plaintext,
    /// TLS of a client that has no certificate.
    Tls,
    /// TLS of a client that proves who it is with a certificate, wants to be asked for it, and accepts nothing but the
    /// certificate that [`Call::trusts`] names. So the proxies of a mesh speak with one another.
    Mtls,
}

impl Call {
    /// A plaintext TCP connection that an application opens to this address beside its sidecar. The address may be
    /// written with brackets; one that is none becomes 0.0.0.0, which no listener but the virtual one hears.
    pub fn to(address: &str, port: u16) -> Self {
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Self {
            address,
            port,
            mode: Mode::Outbound,
            source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            source_port: 49152,
            protocol: Protocol::Tcp,
            tls: Tls::Plaintext,
            sni: String::new(),
            alpn: Vec::new(),
            trusts: "default".to_owned(),
            principal: String::new(),
            provider_refuses: false,
            method: "GET".to_owned(),
            host: String::new(),
            path: "/".to_owned(),
            headers: Vec::new(),
            metadata: BTreeMap::new(),
            random: 0,
            now: None,
            server_first: false,
        }
    }
}

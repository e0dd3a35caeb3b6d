//! What is answered: how far the call came, how it ended, and every step on the way with its reason.

use std::fmt;

use meltemi_proto::envoy::config::route::v3::Route;

use crate::headers::HeaderChanges;

/// What became of a call. What was not reached is `None`; what was reached before a miss is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The listener whose filter chains decided.
    pub listener: Option<String>,
    /// The name of the filter chain; empty for a chain without a name.
    pub filter_chain: Option<String>,
    /// The route configuration that is served by RDS. None where the listener holds its routes itself.
    pub route_config: Option<String>,
    /// The virtual host.
    pub virtual_host: Option<String>,
    /// The name of the route; empty for a route without a name.
    pub route: Option<String>,
    /// The route itself, with timeouts, retries and the filters' configuration.
    pub route_message: Option<Box<Route>>,
    /// The cluster that was chosen, also when the proxy has no such cluster.
    pub cluster: Option<String>,
    /// All clusters of a weighted route with their weights, the chosen one among them; else empty.
    pub weights: Vec<Weight>,
    /// Copies of the request.
    pub mirrors: Vec<Mirror>,
    /// Where it may be sent to; set when the cluster is there.
    pub destination: Option<Destination>,
    /// Host that the upstream sees; none for TCP.
    pub upstream_host: Option<String>,
    /// Path with query that the upstream sees; none for TCP.
    pub upstream_path: Option<String>,
    /// The headers that the upstream sees, their names in lower case: the client's with what routes do to them. What
    /// Envoy adds by itself is not there but for the count of attempts and `x-forwarded-proto`.
    pub upstream_headers: Vec<(String, String)>,
    /// What routes do to the headers of the answer.
    pub response_changes: HeaderChanges,
    /// What the choice among endpoints depends on, where it is made by a hash.
    pub hashed: Option<String>,
    /// How it ended.
    pub end: End,
    /// What was decided, in order.
    pub steps: Vec<Step>,
}

impl Outcome {
    /// Why it missed, if it did.
    pub fn miss(&self) -> Option<&Miss> {
        match &self.end {
            End::Missed(miss) => Some(miss),
            _ => None,
        }
    }
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is sent to one of the endpoints of [`Outcome::destination`].
    Forwarded,
    /// The proxy answers with a redirect.
    Redirected {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
        /// The virtual host demands TLS; no route was looked for.
        tls_required: bool,
    },
    /// The proxy answers itself.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body, where it stands in the configuration.
        body: String,
    },
    /// It ends before it was sent anywhere.
    Missed(Miss),
}

/// Where and why a call ended too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The step that failed.
    pub at: Stage,
    /// What kind of failure; tests compare it.
    pub kind: MissKind,
    /// Why, for a reader.
    pub why: String,
    /// What there would have been: addresses of listeners, domains of virtual hosts, matches of routes. The nearest first.
    pub candidates: Vec<String>,
    /// The HTTP status that the client sees; none when the connection is closed.
    pub status: Option<u16>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissKind {
    /// Nothing listens there.
    NoListener,
    /// The client and the listener wait for one another: the listener looks at the first bytes, the client sends none.
    Waits,
    /// No filter chain takes the connection.
    NoFilterChain,
    /// Several chains have the same match; Envoy refuses such a listener.
    SeveralFilterChains,
    /// Plaintext meets a chain that terminates TLS, or TLS fails for another reason than the client's certificate.
    InvalidTls,
    /// The certificates of client and server do not satisfy each other.
    InvalidMtls,
    /// An HTTP filter chain gets something else, or HTTP of the wrong version.
    ProtocolError,
    /// The route configuration is not among the resources; Envoy waits for it.
    NoRouteConfig,
    /// No virtual host has the request's host.
    NoVirtualHost,
    /// No route of the virtual host matches.
    NoRoute,
    /// The cluster that was chosen does not exist.
    NoCluster,
    /// The cluster has no endpoint that may be used.
    NoEndpoint,
    /// A network filter other than TCP proxy and HTTP ends the chain, or a matcher that is not followed here.
    NotFollowed,
    /// The proxy refuses the request itself.
    Refused,
    /// Policies do not let it pass.
    Denied,
}

impl fmt::Display for MissKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MissKind::NoListener => "no listener matched",
            MissKind::Waits => "client and listener wait for each other",
            MissKind::NoFilterChain => "no filter chains matched",
            MissKind::SeveralFilterChains => "multiple filter chains matched",
            MissKind::InvalidTls => "invalid TLS",
            MissKind::InvalidMtls => "invalid mTLS",
            MissKind::ProtocolError => "protocol error",
            MissKind::NoRouteConfig => "no route configuration",
            MissKind::NoVirtualHost => "no virtual host matched",
            MissKind::NoRoute => "no route matched",
            MissKind::NoCluster => "no cluster",
            MissKind::NoEndpoint => "no endpoint",
            MissKind::NotFollowed => "not followed",
            MissKind::Refused => "refused",
            MissKind::Denied => "denied",
        })
    }
}

/// The steps of a call, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Which listener.
    Listener,
    /// What the listener filters find out.
    Inspection,
    /// Which filter chain.
    FilterChain,
    /// The TLS handshake.
    Tls,
    /// The filters of the chain.
    Network,
    /// Whether policies let it pass.
    Authorization,
    /// Which virtual host.
    VirtualHost,
    /// Which route.
    Route,
    /// Which cluster.
    Cluster,
    /// Which endpoints.
    Endpoints,
}

impl Stage {
    /// Its name for readers.
    pub fn title(self) -> &'static str {
        match self {
            Stage::Listener => "listener",
            Stage::Inspection => "inspection",
            Stage::FilterChain => "filter chain",
            Stage::Tls => "TLS",
            Stage::Network => "filter",
            Stage::Authorization => "authorization",
            Stage::VirtualHost => "virtual host",
            Stage::Route => "route",
            Stage::Cluster => "cluster",
            Stage::Endpoints => "endpoints",
        }
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was decided.
    pub stage: Stage,
    /// The name of what was chosen.
    pub chosen: String,
    /// Why it was chosen.
    pub why: String,
    /// The object that Istio's metadata names as its origin, as `/apis/GROUP/VERSION/namespaces/NS/KIND/NAME`.
    pub config: Option<String>,
}

/// A cluster of a weighted route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The cluster.
    pub cluster: String,
    /// Its weight.
    pub weight: u32,
}

/// A cluster that gets a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The cluster.
    pub cluster: String,
    /// Millionths of the requests that are copied.
    pub millionths: u32,
    /// Whether this request is one of them, given [`crate::Call::random`].
    pub taken: bool,
}

/// The upstream side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The name of the cluster.
    pub cluster: String,
    /// `EDS`, `STATIC`, `STRICT_DNS`, `LOGICAL_DNS`, `ORIGINAL_DST`, or the name of an extension.
    pub discovery: String,
    /// The subset by which the endpoints are chosen, as pairs of key and value; empty without one.
    pub subset: Vec<(String, String)>,
    /// HTTP version towards the endpoints: `HTTP/1.1`, `HTTP/2`, `as the client`; none for TCP.
    pub http: Option<&'static str>,
    /// The endpoints that may be chosen, the lowest priority first.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// An IP address, a DNS name, a path of a socket, or `envoy://LISTENER/ID` for a listener of the same Envoy.
    pub address: String,
    /// The port; 0 where the address has none.
    pub port: u16,
    /// `region/zone/subzone`, empty parts at the end left out.
    pub locality: String,
    /// 0 is used first.
    pub priority: u32,
    /// The weight among the endpoints of its locality.
    pub weight: u32,
    /// Whether it may be used as it is now.
    pub healthy: bool,
    /// The TLS of the connection; none for plaintext.
    pub tls: Option<UpstreamTls>,
    /// The version of the PROXY protocol that a connection begins with, 1 or 2; none without it.
    pub proxy_protocol: Option<u8>,
}

/// TLS towards an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The `transport_socket_matches` entry that decided; empty for the cluster's own transport socket.
    pub matched: String,
    /// The server name that is sent; empty for none.
    pub sni: String,
    /// The application protocols that are offered.
    pub alpn: Vec<String>,
    /// The secret of the client certificate; none when the client shows none.
    pub certificate: Option<String>,
    /// The subject alternative names that the server may have; empty when none are checked.
    pub names: Vec<String>,
}

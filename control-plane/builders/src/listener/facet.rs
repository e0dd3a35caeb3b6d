//! What the filters of one proxy have in common, resolved so far that a builder decides nothing more. Facets of classes
//! that differ in nothing that matters here are equal, so their listeners are shared.

use std::time::Duration;

use meltemi_model::mesh::{PathNormalization, TracingTag};
use meltemi_model::{Shared, Str};

use super::Authentication;
use super::Authorization;

/// What network filters have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NetworkFacet {
    /// Send `istio.stats` before the TCP proxy.
    pub stats: bool,
    /// Log connections.
    pub access_log: Option<AccessLog>,
    /// Log connections that found no filter chain, too.
    pub listener_log: bool,
    /// Connections without traffic are closed after this time; `None`: Envoy's default of an hour.
    pub idle_timeout: Option<Duration>,
    /// Who may connect.
    pub authorization: Option<Shared<Authorization>>,
}

/// A file that requests and connections are logged to. Istio 1.31: `accessLogFile` and its relatives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessLog {
    /// The path.
    pub path: Str,
    /// JSON rather than text.
    pub json: bool,
    /// The format as the user wrote it; empty: Istio's own.
    pub format: Str,
}

/// What HTTP connection managers have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HttpFacet {
    /// Send the HTTP filter `istio.metadata_exchange`.
    pub metadata_exchange: bool,
    /// Do not send metadata headers to hosts outside of the mesh.
    pub skip_external_metadata: bool,
    /// Send `istio.alpn`.
    pub alpn: bool,
    /// Send `istio.stats`.
    pub stats: bool,
    /// The `server` header; empty: Envoy's own.
    pub server_name: Str,
    /// Leave the `server` header of the application.
    pub pass_server_header: bool,
    /// Do not generate `x-request-id`.
    pub no_request_id: bool,
    /// Do not send `x-envoy-*` headers.
    pub suppress_debug_headers: bool,
    /// Keep the case of HTTP/1 headers.
    pub preserve_case: bool,
    /// Accept HTTP/1.0.
    pub http10: bool,
    /// Idle connections are closed after this time.
    pub idle_timeout: Option<Duration>,
    /// What is done to paths.
    pub path: PathNormalization,
    /// `x-forwarded-client-cert`; `None`: Envoy's default.
    pub client_cert: Option<ClientCert>,
    /// Tell the port that the client connected to in `x-forwarded-port`.
    pub forwarded_port: bool,
    /// Take the client's address from the connection, as the edge does.
    pub use_remote_address: bool,
    /// Trusted entries of `x-forwarded-for`.
    pub trusted_hops: u32,
    /// Tracing.
    pub tracing: Option<Tracing>,
    /// Log requests.
    pub access_log: Option<AccessLog>,
    /// Which tokens requests may carry; `None`: nobody looks at them.
    pub authentication: Option<Shared<Authentication>>,
    /// Who may ask for what.
    pub authorization: Option<Shared<Authorization>>,
    /// Resolve unknown hosts as they are asked for (ALLOW_ANY_DYNAMIC_DNS).
    pub any_dns: Option<AnyDnsCache>,
}

/// Which addresses a name is resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DnsFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Both.
    All,
}

/// The DNS cache for hosts that no service declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnyDnsCache {
    /// Which addresses.
    pub family: DnsFamily,
    /// Ask the agent's DNS proxy.
    pub agent: bool,
}

/// What happens to `x-forwarded-client-cert`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCert {
    /// What is done to the header.
    pub forward: ForwardClientCert,
    /// What of the certificate is described in it; `None`: nothing is said, and Envoy describes only its hash.
    pub details: Option<CertDetails>,
}

/// What of a client's certificate is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertDetails {
    /// The subject.
    pub subject: bool,
    /// The certificate itself.
    pub cert: bool,
    /// The certificate with those of its issuers.
    pub chain: bool,
    /// The DNS names.
    pub dns: bool,
    /// The URI.
    pub uri: bool,
}

impl CertDetails {
    /// Subject and names.
    pub const NAMES: Self = Self {
        subject: true,
        cert: false,
        chain: false,
        dns: true,
        uri: true,
    };
}

/// Istio's and Envoy's modes of forwarding a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForwardClientCert {
    /// Drop it.
    Sanitize,
    /// Forward it if the connection is mutual TLS.
    ForwardOnly,
    /// Append to it.
    AppendForward,
    /// Replace it.
    SanitizeSet,
    /// Forward it always.
    AlwaysForwardOnly,
}

/// Tracing of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tracing {
    /// Share of traced requests in parts per million.
    pub sampling: u32,
    /// Longest path in a span; `None`: Envoy's default.
    pub max_path_tag_length: Option<u32>,
    /// Istio's own tags; `None`: they are switched off.
    pub own: Option<TracedWorkload>,
    /// The user's tags.
    pub tags: Vec<(Str, TracingTag)>,
}

/// What Istio's own tags say of the proxy's workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TracedWorkload {
    /// Canonical service.
    pub service: Str,
    /// Canonical revision.
    pub revision: Str,
    /// Cluster.
    pub cluster_id: Str,
    /// Mesh.
    pub mesh_id: Str,
    /// Namespace.
    pub namespace: Str,
}

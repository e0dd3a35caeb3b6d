//! VirtualServices, lowered: host names are fully qualified, defaults are spelled out, old forms are gone.

use std::time::Duration;

use crate::object::Meta;
use crate::service::ExportTo;
use crate::{Hostname, Labels, Str};

/// The reserved gateway name that stands for all sidecars.
pub const MESH_GATEWAY: &str = "mesh";

/// A VirtualService.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VirtualService {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// Fully qualified hosts. Empty: only a delegate of others.
    pub hosts: Vec<Hostname>,
    /// `mesh` or `namespace/name`; never empty.
    pub gateways: Vec<Str>,
    /// Visibility.
    pub export_to: ExportTo,
    /// HTTP routes, in order.
    pub http: Vec<HttpRoute>,
    /// Routes of TLS connections by SNI.
    pub tls: Vec<TlsRoute>,
    /// Routes of TCP connections.
    pub tcp: Vec<TcpRoute>,
}

/// A string condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StringMatch {
    /// Equal.
    Exact(Str),
    /// Begins with.
    Prefix(Str),
    /// RE2, the whole value.
    Regex(Str),
}

/// An HTTP route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpRoute {
    /// `http[].name`.
    pub name: Str,
    /// Any of these; empty: everything.
    pub matches: Vec<HttpMatch>,
    /// What happens to a request that matches.
    pub action: HttpAction,
    /// Total time; `None`: not set (Istio: disabled).
    pub timeout: Option<Duration>,
    /// Retries; `None`: the mesh's default.
    pub retries: Option<Retries>,
    /// Injected faults.
    pub fault: Option<Fault>,
    /// `http[].mirror`, where a delegate may say one half and its root the other.
    pub mirror: SingleMirror,
    /// `http[].mirrors`.
    pub mirrors: Vec<Mirror>,
    /// CORS.
    pub cors: Option<CorsPolicy>,
    /// Header operations.
    pub headers: HeaderOperations,
    /// URI and authority rewrite.
    pub rewrite: Option<Rewrite>,
    /// The VirtualService whose routes take this one's place. Routes of a `World` have none: it is joined in there.
    pub delegate: Option<Delegate>,
}

impl HttpRoute {
    /// All copies of requests, in Envoy's order: `mirror`, then `mirrors`. Istio 1.31: `applyHTTPRouteDestination`.
    pub fn copies(&self) -> Vec<Mirror> {
        let single = self.mirror.to.iter().map(|to| Mirror {
            destination: to.clone(),
            // The fraction wins over the old whole number. Istio 1.31: `MirrorPercent`.
            share: self.mirror.percentage.or(self.mirror.percent),
        });
        single
            .chain(self.mirrors.iter().cloned())
            // A share of nothing is no mirror.
            .filter(|mirror| mirror.share != Some(PerMillion(0)))
            .collect()
    }
}

/// `http[].delegate`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delegate {
    /// Its namespace; never empty.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
}

/// `http[].mirror` with its two ways to say the share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SingleMirror {
    /// Where copies go.
    pub to: Option<Destination>,
    /// `mirrorPercentage`.
    pub percentage: Option<PerMillion>,
    /// `mirrorPercent`, the old whole number.
    pub percent: Option<PerMillion>,
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HttpAction {
    /// Forward to these.
    Forward(Vec<HttpDestination>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with a fixed body.
    Respond(DirectResponse),
    /// None of them was given: the route answers 404-like, Istio sends a route without an action.
    Nothing,
}

/// A condition on HTTP requests. All parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HttpMatch {
    /// `match.name`.
    pub name: String,
    /// Path.
    pub uri: Option<StringMatch>,
    /// Compare the path without case.
    pub ignore_uri_case: bool,
    /// `:scheme`.
    pub scheme: Option<StringMatch>,
    /// `:method`.
    pub method: Option<StringMatch>,
    /// `:authority`.
    pub authority: Option<StringMatch>,
    /// Headers, sorted by name; `None`: only present.
    pub headers: Vec<(Str, Option<StringMatch>)>,
    /// Headers that must not match, sorted by name.
    pub without_headers: Vec<(Str, Option<StringMatch>)>,
    /// Query parameters, sorted by name; `None`: only present.
    pub query_params: Vec<(Str, Option<StringMatch>)>,
    /// The listener's port; 0: any.
    pub port: u16,
    /// Labels of the calling proxy.
    pub source_labels: Labels,
    /// Namespace of the calling proxy; empty: any.
    pub source_namespace: String,
    /// Overrides the VirtualService's gateways when not empty.
    pub gateways: Vec<Str>,
    /// `match.statPrefix`.
    pub stat_prefix: String,
}

/// Where traffic goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Fully qualified.
    pub host: Hostname,
    /// The subset, or empty.
    pub subset: Str,
    /// The service port; `None`: the only port, or the listener's.
    pub port: Option<u16>,
}

/// A destination of an HTTP route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpDestination {
    /// Where to.
    pub destination: Destination,
    /// Its share.
    pub weight: u32,
    /// Header operations for this destination only.
    pub headers: HeaderOperations,
}

/// Header changes of requests and responses. Names and values as written; sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HeaderOperations {
    /// On requests.
    pub request: HeaderChange,
    /// On responses.
    pub response: HeaderChange,
}

/// Changes to one header map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HeaderChange {
    /// Overwrite.
    pub set: Vec<(Str, Str)>,
    /// Append.
    pub add: Vec<(Str, Str)>,
    /// Remove.
    pub remove: Vec<Str>,
}

/// `http[].redirect`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redirect {
    /// New path, or empty.
    pub uri: Str,
    /// New prefix of the path (`prefixRewrite`), or empty.
    pub prefix: Str,
    /// New authority, or empty.
    pub authority: Str,
    /// New port.
    pub port: Option<RedirectPort>,
    /// New scheme, or empty.
    pub scheme: Str,
    /// 0: 301.
    pub code: u32,
}

/// The port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// That of the scheme.
    FromProtocolDefault,
    /// That of the request.
    FromRequestPort,
}

/// `http[].directResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectResponse {
    /// HTTP status.
    pub status: u32,
    /// Body.
    pub body: Option<ResponseBody>,
}

/// The body of a direct response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResponseBody {
    /// Text.
    Text(Str),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// `http[].rewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// New path or prefix, or empty.
    pub uri: Str,
    /// New authority, or empty.
    pub authority: Str,
    /// (regex, substitution).
    pub regex: Option<(Str, Str)>,
}

/// `http[].retries`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retries {
    /// Attempts after the first; 0 or less disables retries.
    pub attempts: i32,
    /// Time for each; `None`: the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Conditions, as written; empty: the default ones.
    pub retry_on: Str,
    /// Retry in other localities first.
    pub remote_localities: Option<bool>,
    /// Do not avoid hosts that were tried; default false.
    pub ignore_previous_hosts: Option<bool>,
    /// Base interval between tries.
    pub backoff: Option<Duration>,
}

/// Parts per million, as Envoy's FractionalPercent with denominator MILLION. 100 % is 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerMillion(pub u32);

/// `http[].fault`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Fault {
    /// (share, delay).
    pub delay: Option<(PerMillion, Duration)>,
    /// (share, status).
    pub abort: Option<(PerMillion, AbortStatus)>,
}

/// How an injected abort answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AbortStatus {
    /// HTTP status.
    Http(u32),
    /// gRPC status number.
    Grpc(u32),
}

/// A mirror of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// Where copies go.
    pub destination: Destination,
    /// Their share; `None`: not said (all).
    pub share: Option<PerMillion>,
}

/// `http[].corsPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CorsPolicy {
    /// Allowed origins.
    pub allow_origins: Vec<StringMatch>,
    /// Allowed methods.
    pub allow_methods: Vec<Str>,
    /// Allowed headers.
    pub allow_headers: Vec<Str>,
    /// Exposed headers.
    pub expose_headers: Vec<Str>,
    /// How long an answer may be cached.
    pub max_age: Option<Duration>,
    /// Credentials.
    pub allow_credentials: Option<bool>,
    /// `unmatchedPreflights`: `Some(true)` FORWARD, `Some(false)` IGNORE.
    pub forward_unmatched_preflights: Option<bool>,
}

/// A condition on TCP or TLS connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct L4Match {
    /// SNI names (TLS only).
    pub sni_hosts: Vec<Str>,
    /// CIDRs.
    pub destination_subnets: Vec<Str>,
    /// The listener's port; 0: any.
    pub port: u16,
    /// Labels of the calling proxy.
    pub source_labels: Labels,
    /// Namespace of the calling proxy; empty: any.
    pub source_namespace: String,
    /// Overrides the VirtualService's gateways when not empty.
    pub gateways: Vec<Str>,
}

/// A route of TLS connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsRoute {
    /// Any of these.
    pub matches: Vec<L4Match>,
    /// (destination, weight).
    pub destinations: Vec<(Destination, u32)>,
}

/// A route of TCP connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TcpRoute {
    /// Any of these; empty: everything.
    pub matches: Vec<L4Match>,
    /// (destination, weight).
    pub destinations: Vec<(Destination, u32)>,
}

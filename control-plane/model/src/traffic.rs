//! DestinationRules, lowered.

use std::time::Duration;

use crate::object::Meta;
use crate::routing::PerMillion;
use crate::service::ExportTo;
use crate::{Hostname, Labels, Str};

/// A DestinationRule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DestinationRule {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// Fully qualified, may be a wildcard.
    pub host: Hostname,
    /// Visibility.
    pub export_to: ExportTo,
    /// Client workloads it is for; `None`: all.
    pub workload_selector: Option<Labels>,
    /// The policy of the whole host.
    pub policy: Option<TrafficPolicy>,
    /// Subsets, in order.
    pub subsets: Vec<Subset>,
}

/// A subset of a host's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subset {
    /// Its name.
    pub name: Str,
    /// Labels of its endpoints.
    pub labels: Labels,
    /// Its own policy, over that of the host.
    pub policy: Option<TrafficPolicy>,
}

/// A traffic policy, with settings per port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TrafficPolicy {
    /// Settings for every port.
    pub all: PortPolicy,
    /// Settings that replace those of `all` for one port, block by block.
    pub ports: Vec<(u16, PortPolicy)>,
    /// `tunnel`.
    pub tunnel: Option<Tunnel>,
    /// `proxyProtocol`: version 1 or 2.
    pub proxy_protocol: Option<u8>,
    /// `retryBudget`.
    pub retry_budget: Option<RetryBudget>,
}

/// The blocks of a policy that can be set per port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PortPolicy {
    /// Load balancing.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits and timeouts.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection of bad hosts.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS to the host.
    pub tls: Option<ClientTls>,
}

/// `loadBalancer`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LoadBalancer {
    /// The algorithm; `None`: not said.
    pub algorithm: Option<Algorithm>,
    /// Locality settings; `None`: the mesh's.
    pub locality: Option<LocalityLb>,
    /// Slow start.
    pub warmup: Option<Warmup>,
}

/// A load balancing algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `UNSPECIFIED` or `LEAST_REQUEST` or `LEAST_CONN`; the default.
    LeastRequest,
    /// `ROUND_ROBIN`.
    RoundRobin,
    /// `RANDOM`.
    Random,
    /// `PASSTHROUGH`.
    Passthrough,
    /// `consistentHash`.
    ConsistentHash(ConsistentHash),
}

/// `consistentHash`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// How.
    pub ring: Ring,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// A header.
    Header(Str),
    /// A cookie, generated when `ttl` is set.
    Cookie {
        /// Name.
        name: Str,
        /// Path.
        path: Str,
        /// Life time.
        ttl: Option<Duration>,
        /// (name, value) attributes.
        attributes: Vec<(Str, Str)>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(Str),
    /// None was given.
    None,
}

/// The hash table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Ring hash with this minimum size; `None`: not said.
    RingHash(Option<u64>),
    /// Maglev with this table size; `None`: not said.
    Maglev(Option<u64>),
}

/// `localityLbSetting`, also of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LocalityLb {
    /// `enabled`; unset: true.
    pub enabled: Option<bool>,
    /// (from, [(to, weight)]).
    pub distribute: Vec<(Str, Vec<(Str, u32)>)>,
    /// (from region, to region).
    pub failover: Vec<(Str, Str)>,
    /// Labels that decide priority, `key` or `key=value`.
    pub failover_priority: Vec<Str>,
}

/// `warmup`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Warmup {
    /// The window.
    pub duration: Duration,
    /// In thousandths of a percent… of the full share; `None`: not said.
    pub minimum_percent_millis: Option<u64>,
    /// Times 1,000; `None`: not said.
    pub aggression_millis: Option<u64>,
}

/// `connectionPool`. `None` and 0 mean: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ConnectionPool {
    /// `tcp.maxConnections`.
    pub max_connections: i32,
    /// `tcp.connectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `tcp.maxConnectionDuration`.
    pub max_connection_duration: Option<Duration>,
    /// `tcp.idleTimeout`.
    pub tcp_idle_timeout: Option<Duration>,
    /// `tcp.tcpKeepalive`.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `http.http1MaxPendingRequests`.
    pub http1_max_pending_requests: i32,
    /// `http.http2MaxRequests`.
    pub http2_max_requests: i32,
    /// `http.maxRequestsPerConnection`.
    pub max_requests_per_connection: i32,
    /// `http.maxRetries`.
    pub max_retries: i32,
    /// `http.maxConcurrentStreams`.
    pub max_concurrent_streams: i32,
    /// `http.idleTimeout`.
    pub http_idle_timeout: Option<Duration>,
    /// `http.h2UpgradePolicy`: `Some(true)` UPGRADE, `Some(false)` DO_NOT_UPGRADE.
    pub h2_upgrade: Option<bool>,
    /// `http.useClientProtocol`.
    pub use_client_protocol: bool,
    /// `http.http2KeepAlive`: (interval, timeout).
    pub http2_keepalive: Option<(Option<Duration>, Option<Duration>)>,
    /// Whether there was a `tcp` block at all.
    pub has_tcp: bool,
    /// Whether there was an `http` block at all.
    pub has_http: bool,
}

/// TCP keepalive; unset parts are the system's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TcpKeepalive {
    /// Probes.
    pub probes: u32,
    /// Idle time before the first.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

/// `outlierDetection`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OutlierDetection {
    /// `splitExternalLocalOriginErrors`.
    pub split_external_local_origin_errors: bool,
    /// `consecutiveLocalOriginFailures`.
    pub consecutive_local_origin_failures: Option<u32>,
    /// `consecutiveGatewayErrors`.
    pub consecutive_gateway_errors: Option<u32>,
    /// `consecutive5xxErrors`.
    pub consecutive_5xx_errors: Option<u32>,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `baseEjectionTime`.
    pub base_ejection_time: Option<Duration>,
    /// `maxEjectionPercent`.
    pub max_ejection_percent: i32,
    /// `minHealthPercent`.
    pub min_health_percent: i32,
}

/// The mode of client TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// Plain text.
    #[default]
    Disable,
    /// TLS.
    Simple,
    /// TLS with a client certificate.
    Mutual,
    /// TLS with the mesh's certificates.
    IstioMutual,
}

/// `tls` of a traffic policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// The mode.
    pub mode: TlsMode,
    /// File.
    pub client_certificate: String,
    /// File.
    pub private_key: String,
    /// File.
    pub ca_certificates: String,
    /// File.
    pub ca_crl: String,
    /// Secret.
    pub credential_name: String,
    /// Names that the server's certificate must hold.
    pub subject_alt_names: Vec<Str>,
    /// SNI.
    pub sni: String,
    /// Do not verify the server.
    pub insecure_skip_verify: Option<bool>,
}

/// `tunnel`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// POST instead of CONNECT.
    pub post: bool,
    /// Target host.
    pub host: Str,
    /// Target port.
    pub port: u16,
}

/// `retryBudget`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Share of active requests; `None`: not said.
    pub percent: Option<PerMillion>,
    /// Floor.
    pub min_concurrency: u32,
    /// Interval.
    pub interval: Option<Duration>,
}

/// All rules that apply to one host for one client, merged. Istio 1.31: `ConsolidatedDestRule`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MergedRule {
    /// The rules that it was made from, oldest first; the first one names it in metadata.
    pub from: Vec<crate::ObjectKey>,
    /// The first policy that any of them has.
    pub policy: Option<TrafficPolicy>,
    /// The subsets of all of them; the first of a name wins.
    pub subsets: Vec<Subset>,
}

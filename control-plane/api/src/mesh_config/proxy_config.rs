//! `MeshConfig.defaultConfig`, the settings of a proxy.

use std::collections::BTreeMap;

use crate::destination_rule::{ClientTlsSettings, TcpKeepalive};
use crate::duration::Duration;
use crate::mesh_config::Tracing;
use crate::mesh_config::{ForwardClientCertDetails, ProxyHeaders};
use crate::proto_json::{enums, messages};
use crate::proxy_config::ProxyImage;
use crate::workload_group::ReadinessProbe;

messages! {
    /// The value of `MeshProxyConfig.sds`.
    struct Sds {
        enabled: bool,
        k8s_sa_jwt_path: String,
    }

    /// The value of `MeshProxyConfig.gatewayTopology`.
    struct Topology {
        num_trusted_proxies: u32,
        forward_client_cert_details: ForwardClientCertDetails,
        proxy_protocol: Option<ProxyProtocolConfiguration>,
    }

    /// The value of `Topology.proxyProtocol`.
    struct ProxyProtocolConfiguration {}

    /// The value of `MeshProxyConfig.privateKeyProvider`.
    struct PrivateKeyProvider oneof [cryptomb, qat] {
        cryptomb: Option<CryptoMb>,
        qat: Option<Qat>,
    }

    /// The value of `PrivateKeyProvider.cryptomb`.
    struct CryptoMb {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }

    /// The value of `PrivateKeyProvider.qat`.
    struct Qat {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }

    /// Settings of a proxy: `MeshConfig.defaultConfig` and the annotation `proxy.istio.io/config`.
    struct MeshProxyConfig oneof [service_cluster, tracing_service_name] {
        config_path: String,
        binary_path: String,
        service_cluster: Option<String>,
        tracing_service_name: Option<TracingServiceName>,
        drain_duration: Option<Duration>,
        discovery_address: String,
        /// Deprecated by Istio.
        discovery_refresh_delay: Option<Duration>,
        /// Deprecated by Istio.
        zipkin_address: String,
        statsd_udp_address: String,
        /// Deprecated by Istio.
        envoy_metrics_service_address: String,
        proxy_admin_port: i32,
        /// Deprecated by Istio.
        availability_zone: String,
        control_plane_auth_policy: AuthenticationPolicy,
        custom_config_file: String,
        stat_name_length: i32,
        concurrency: Option<i32>,
        proxy_bootstrap_template_path: String,
        interception_mode: InboundInterceptionMode,
        tracing: Option<Tracing>,
        /// Deprecated by Istio.
        sds: Option<Sds>,
        envoy_access_log_service: Option<RemoteService>,
        envoy_metrics_service: Option<RemoteService>,
        proxy_metadata: BTreeMap<String, String>,
        runtime_values: BTreeMap<String, String>,
        status_port: i32,
        extra_stat_tags: Vec<String>,
        gateway_topology: Option<Topology>,
        termination_drain_duration: Option<Duration>,
        mesh_id: String,
        readiness_probe: Option<ReadinessProbe>,
        proxy_stats_matcher: Option<ProxyStatsMatcher>,
        hold_application_until_proxy_starts: Option<bool>,
        ca_certificates_pem: Vec<String>,
        image: Option<ProxyImage>,
        private_key_provider: Option<PrivateKeyProvider>,
        proxy_headers: Option<ProxyHeaders>,
        file_flush_interval: Option<Duration>,
        file_flush_min_size_kb: u32,
        stats_compression: Option<bool>,
        connection_settings: Option<ConnectionSettings>,
    }

    /// The value of `MeshProxyConfig.proxyStatsMatcher`.
    struct ProxyStatsMatcher {
        inclusion_prefixes: Vec<String>,
        inclusion_suffixes: Vec<String>,
        inclusion_regexps: Vec<String>,
    }

    /// The value of `MeshProxyConfig.connectionSettings`.
    struct ConnectionSettings {
        profile: Profile,
        listener_per_connection_buffer_limit_bytes: Option<i32>,
        cluster_per_connection_buffer_limit_bytes: Option<i32>,
        http_idle_timeout: Option<Duration>,
        http_max_connection_duration: Option<Duration>,
        http_drain_timeout: Option<Duration>,
        http_request_timeout: Option<Duration>,
        http_request_headers_timeout: Option<Duration>,
        http_stream_idle_timeout: Option<Duration>,
        http_max_stream_duration: Option<Duration>,
        http_max_concurrent_streams: Option<i32>,
        http2_initial_stream_window_size: Option<i32>,
        http2_initial_connection_window_size: Option<i32>,
        http_headers_with_underscores_action: HeadersWithUnderscoresAction,
        http_merge_slashes: Option<bool>,
        http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction,
        listener_connection_limit: Option<i32>,
        global_downstream_connection_limit: Option<i32>,
    }

    /// The value of `MeshProxyConfig.envoyAccessLogService`, `MeshProxyConfig.envoyMetricsService`.
    struct RemoteService {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        tcp_keepalive: Option<TcpKeepalive>,
    }
}

enums! {
    /// The values of `MeshProxyConfig.controlPlaneAuthPolicy`.
    enum AuthenticationPolicy {
        None = 0 "NONE",
        MutualTls = 1 "MUTUAL_TLS",
        Inherit = 1000 "INHERIT",
    }

    /// The values of `MeshProxyConfig.tracingServiceName`.
    enum TracingServiceName {
        AppLabelAndNamespace = 0 "APP_LABEL_AND_NAMESPACE",
        CanonicalNameOnly = 1 "CANONICAL_NAME_ONLY",
        CanonicalNameAndNamespace = 2 "CANONICAL_NAME_AND_NAMESPACE",
    }

    /// The values of `MeshProxyConfig.interceptionMode`.
    enum InboundInterceptionMode {
        Redirect = 0 "REDIRECT",
        Tproxy = 1 "TPROXY",
        None = 2 "NONE",
    }

    /// The values of `ConnectionSettings.profile`.
    enum Profile {
        Sidecar = 0 "SIDECAR",
        Edge = 1 "EDGE",
    }

    /// The values of `ConnectionSettings.httpHeadersWithUnderscoresAction`.
    enum HeadersWithUnderscoresAction {
        HeadersWithUnderscoresUnspecified = 0 "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        HeadersWithUnderscoresAllow = 1 "HEADERS_WITH_UNDERSCORES_ALLOW",
        HeadersWithUnderscoresRejectRequest = 2 "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        HeadersWithUnderscoresDropHeader = 3 "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    }

    /// The values of `ConnectionSettings.httpPathWithEscapedSlashesAction`.
    enum PathWithEscapedSlashesAction {
        PathWithEscapedSlashesUnspecified = 0 "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        KeepUnchanged = 1 "KEEP_UNCHANGED",
        RejectRequest = 2 "REJECT_REQUEST",
        UnescapeAndRedirect = 3 "UNESCAPE_AND_REDIRECT",
        UnescapeAndForward = 4 "UNESCAPE_AND_FORWARD",
    }
}

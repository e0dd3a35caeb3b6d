//! The mesh configuration, reduced to what shapes output. Defaults are those of Istio 1.31.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ingress::IngressSettings;
use crate::network::MeshNetworks;
use crate::provider::ExtAuthz;
use crate::routing::Retries;
use crate::security::{JwksFetch, TlsLimits};
use crate::service::ExportTo;
use crate::sidecar::OutboundPolicy;
use crate::traffic::{ConnectionPool, LocalityLb, OutlierDetection, TcpKeepalive};
use crate::{Hostname, LabelSelector, Str};

/// MeshConfig.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mesh {
    /// `trustDomain`.
    pub trust_domain: Str,
    /// `trustDomainAliases`.
    pub trust_domain_aliases: Vec<Str>,
    /// `caCertificates[].trustDomains`: further trust domains whose workloads may connect.
    pub foreign_trust_domains: Vec<Str>,
    /// Clients of any trust domain may connect (PILOT_SKIP_VALIDATE_TRUST_DOMAIN).
    pub any_trust_domain: bool,
    /// `meshMTLS`.
    pub mesh_mtls: TlsLimits,
    /// `tlsDefaults`, for TLS outside the mesh.
    pub tls_defaults: TlsLimits,
    /// `rootNamespace`.
    pub root_namespace: Str,
    /// The DNS suffix of the cluster (`--domain`).
    pub domain: Str,
    /// The cluster's name (CLUSTER_ID).
    pub cluster_id: Str,
    /// `discoverySelectors`: only namespaces that one of them selects are looked at; without any, all are.
    pub discovery_selectors: Vec<LabelSelector>,
    /// `proxyListenPort`.
    pub outbound_port: u16,
    /// `proxyInboundListenPort`.
    pub inbound_port: u16,
    /// `proxyHttpPort`; 0: none.
    pub http_proxy_port: u16,
    /// `connectTimeout`.
    pub connect_timeout: Duration,
    /// `tcpKeepalive`.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `protocolDetectionTimeout`; 0: no limit.
    pub protocol_detection_timeout: Duration,
    /// `outboundTrafficPolicy.mode`.
    pub outbound_policy: OutboundPolicy,
    /// `inboundTrafficPolicy.mode: LOCALHOST`.
    pub inbound_localhost: bool,
    /// `enableAutoMtls`.
    pub auto_mtls: bool,
    /// `defaultServiceExportTo`.
    pub service_export_to: ExportTo,
    /// `defaultVirtualServiceExportTo`.
    pub virtual_service_export_to: ExportTo,
    /// `defaultDestinationRuleExportTo`.
    pub destination_rule_export_to: ExportTo,
    /// `localityLbSetting`.
    pub locality_lb: LocalityLb,
    /// `dnsRefreshRate`.
    pub dns_refresh_rate: Duration,
    /// `h2UpgradePolicy: UPGRADE`.
    pub h2_upgrade: bool,
    /// `inboundClusterStatName`.
    pub inbound_stat_name: Str,
    /// `outboundClusterStatName`.
    pub outbound_stat_name: Str,
    /// `enableTracing`.
    pub enable_tracing: bool,
    /// `accessLogFile`; empty: none.
    pub access_log_file: Str,
    /// `accessLogFormat`.
    pub access_log_format: Str,
    /// `accessLogEncoding: JSON`.
    pub access_log_json: bool,
    /// `disableEnvoyListenerLog`.
    pub disable_listener_log: bool,
    /// Extension providers that decide about requests, by name.
    pub ext_authz: BTreeMap<Str, ExtAuthz>,
    /// Prometheus is among the default metrics providers, so the stats filters are sent.
    pub prometheus_metrics: bool,
    /// `pathNormalization`.
    pub path_normalization: PathNormalization,
    /// `defaultHttpRetryPolicy`.
    pub default_retries: Option<Retries>,
    /// `defaultTrafficPolicy.connectionPool`.
    pub default_connection_pool: Option<ConnectionPool>,
    /// `defaultTrafficPolicy.outlierDetection`.
    pub default_outlier_detection: Option<OutlierDetection>,
    /// The first of `extensionProviders` with `sds`: its service (`HOST` or `NAMESPACE/HOST`) and port.
    pub sds_provider: Option<(Str, u16)>,
    /// The services of `extensionProviders` (`HOST` or `NAMESPACE/HOST`), sorted: every gateway may need them.
    pub provider_services: Vec<Str>,
    /// Gateways get the clusters of their routes only (PILOT_FILTER_GATEWAY_CLUSTER_CONFIG).
    pub filter_gateway_clusters: bool,
    /// Gateways select workloads of their own namespace only (PILOT_SCOPE_GATEWAY_TO_NAMESPACE).
    pub scope_gateway_to_namespace: bool,
    /// Proxies with addresses of both families are served both (ISTIO_DUAL_STACK); else the first family of each thing.
    pub dual_stack: bool,
    /// Proxies with IPv6 addresses only take redirected outbound connections of IPv4 too
    /// (ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS).
    pub ipv4_outbound_for_ipv6: bool,
    /// Service ports that no ingress listener of a Sidecar names keep their listeners beside those
    /// (PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE).
    pub merge_inbound: bool,
    /// Sidecars balance over the pods of headless Services (PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES).
    pub headless_endpoints: bool,
    /// CUSTOM policies of one workload may name several providers (PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS); else such
    /// policies refuse what they match.
    pub multiple_authz_providers: bool,
    /// ServiceEntries without addresses get those of their status (PILOT_ENABLE_IP_AUTOALLOCATE); else those that their
    /// names hash to, and only proxies that ask for them (DNS_AUTO_ALLOCATE) use them.
    pub ip_autoallocate: bool,
    /// What is done about Kubernetes Ingress.
    pub ingress: IngressSettings,
    /// `defaultConfig`; a proxy's own PROXY_CONFIG is laid over it.
    pub default_config: ProxyConfig,
    /// The namespace of the control plane, whose label says the cluster's network.
    pub system_namespace: Str,
    /// `meshNetworks` beside the mesh configuration; `None`: not there.
    pub networks: Option<MeshNetworks>,
    /// Gateways of networks may have host names, which the control plane resolves (RESOLVE_HOSTNAME_GATEWAYS).
    pub resolve_gateways: bool,
    /// Who fetches the keys of tokens (PILOT_JWT_ENABLE_REMOTE_JWKS).
    pub jwks_fetch: JwksFetch,
    /// `serviceSettings` and what Istio adds: hosts whose endpoints are for proxies of their own cluster only, or not.
    pub cluster_local: Vec<(Hostname, bool)>,
}

impl Mesh {
    /// Whether the endpoints of a host are for proxies of their own cluster only: the most specific setting counts.
    /// Istio 1.31: `IsClusterLocal`.
    pub fn is_cluster_local(&self, host: &Hostname) -> bool {
        let mut settings: Vec<&(Hostname, bool)> = self
            .cluster_local
            .iter()
            .filter(|(pattern, _)| host.subset_of(pattern))
            .collect();
        settings.sort_by(|(a, _), (b, _)| a.specificity(b));
        settings.first().is_some_and(|(_, local)| *local)
    }
}

/// `pathNormalization.normalization`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathNormalization {
    /// `NONE`.
    None,
    /// `BASE`, the default.
    #[default]
    Base,
    /// `MERGE_SLASHES`.
    MergeSlashes,
    /// `DECODE_AND_MERGE_SLASHES`.
    DecodeAndMergeSlashes,
}

/// The parts of ProxyConfig that shape xDS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProxyConfig {
    /// `tracing.sampling`, in parts per million of 100 %; `None`: not said (1 %).
    pub tracing_sampling: Option<u32>,
    /// `tracing.maxPathTagLength`.
    pub tracing_max_path_tag_length: Option<u32>,
    /// `tracing.enableIstioTags: false`.
    pub no_istio_tags: bool,
    /// `tracing.customTags`, sorted by tag.
    pub tracing_tags: Vec<(Str, TracingTag)>,
    /// `gatewayTopology.numTrustedProxies`.
    pub num_trusted_proxies: u32,
    /// `gatewayTopology.forwardClientCertDetails`; empty: not said.
    pub forward_client_cert_details: String,
    /// `gatewayTopology.proxyProtocol`.
    pub proxy_protocol: bool,
    /// `interceptionMode`; empty: not said.
    pub interception_mode: String,
    /// `proxyHeaders`.
    pub headers: ProxyHeaders,
    /// The fields of `proxyHeaders`, `connectionSettings`, `tracing` that are not lowered yet, for Diagnostics.
    pub not_lowered: Vec<String>,
}

/// Where the value of a span's tag comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TracingTag {
    /// This text.
    Literal(Str),
    /// A variable of the proxy's environment, and the value where it is not set.
    Environment(Str, Str),
    /// A header of the request, and the value where there is none.
    Header(Str, Str),
}

/// `proxyHeaders`. `None`: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProxyHeaders {
    /// `server.disabled`.
    pub server_disabled: bool,
    /// `server.value`; empty: `istio-envoy`.
    pub server_value: String,
    /// `requestId.disabled`.
    pub request_id_disabled: bool,
    /// `attemptCount.disabled`.
    pub attempt_count_disabled: bool,
    /// `envoyDebugHeaders.disabled`.
    pub debug_headers_disabled: bool,
    /// `metadataExchangeHeaders.mode: IN_MESH`.
    pub metadata_exchange_in_mesh: bool,
    /// `preserveHttp1HeaderCase`.
    pub preserve_http1_case: bool,
    /// `forwardedClientCert`; empty: not said.
    pub forwarded_client_cert: String,
    /// `setCurrentClientCertDetails`.
    pub client_cert_details: ClientCertDetails,
    /// `xForwardedPort.enabled`.
    pub forwarded_port: bool,
}

/// `setCurrentClientCertDetails`: what of a client's certificate is told. `None`: not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ClientCertDetails {
    /// The subject.
    pub subject: Option<bool>,
    /// The certificate itself.
    pub cert: Option<bool>,
    /// The certificate with those of its issuers.
    pub chain: Option<bool>,
    /// The DNS names.
    pub dns: Option<bool>,
    /// The URI, which is the identity in a mesh.
    pub uri: Option<bool>,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            foreign_trust_domains: Vec::new(),
            any_trust_domain: false,
            mesh_mtls: TlsLimits::default(),
            tls_defaults: TlsLimits::default(),
            root_namespace: "istio-system".into(),
            domain: "cluster.local".into(),
            cluster_id: "Kubernetes".into(),
            discovery_selectors: Vec::new(),
            outbound_port: 15001,
            inbound_port: 15006,
            http_proxy_port: 0,
            connect_timeout: Duration::from_secs(10),
            tcp_keepalive: None,
            protocol_detection_timeout: Duration::ZERO,
            outbound_policy: OutboundPolicy::AllowAny,
            inbound_localhost: false,
            auto_mtls: true,
            service_export_to: ExportTo::Everybody,
            virtual_service_export_to: ExportTo::Everybody,
            destination_rule_export_to: ExportTo::Everybody,
            locality_lb: LocalityLb::default(),
            dns_refresh_rate: Duration::from_secs(60),
            h2_upgrade: false,
            inbound_stat_name: "".into(),
            outbound_stat_name: "".into(),
            enable_tracing: true,
            access_log_file: "".into(),
            access_log_format: "".into(),
            access_log_json: false,
            disable_listener_log: false,
            ext_authz: BTreeMap::new(),
            prometheus_metrics: false,
            path_normalization: PathNormalization::Base,
            default_retries: None,
            default_connection_pool: None,
            default_outlier_detection: None,
            sds_provider: None,
            provider_services: Vec::new(),
            filter_gateway_clusters: false,
            scope_gateway_to_namespace: false,
            dual_stack: false,
            ipv4_outbound_for_ipv6: false,
            merge_inbound: false,
            headless_endpoints: false,
            multiple_authz_providers: false,
            ip_autoallocate: true,
            ingress: IngressSettings::default(),
            default_config: ProxyConfig::default(),
            system_namespace: "istio-system".into(),
            networks: None,
            resolve_gateways: true,
            jwks_fetch: JwksFetch::ControlPlane,
            cluster_local: Vec::new(),
        }
    }
}

//! `MeshConfig` (Istio 1.31: mesh/v1alpha1).

mod extension_provider;
mod proxy_config;
mod proxy_headers;
mod tracing;

use crate::destination_rule::{
    ClientTlsSettings, ConnectionPoolSettings, LocalityLoadBalancerSetting, OutlierDetection,
    TcpKeepalive, ZoneAwareLoadBalancerSetting,
};
use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::selector::LabelSelector;
use crate::virtual_service::HttpRetry;

pub use extension_provider::{
    DatadogTracingProvider, DynatraceApi, DynatraceResourceDetector, DynatraceSampler,
    EnvironmentResourceDetector, EnvoyExternalAuthorizationGrpcProvider,
    EnvoyExternalAuthorizationHttpProvider, EnvoyExternalAuthorizationRequestBody,
    EnvoyFileAccessLogProvider, EnvoyHttpGrpcV3LogProvider, EnvoyOpenTelemetryLogProvider,
    EnvoyTcpGrpcV3LogProvider, ExtensionProvider, FileLogFormat, GrpcService, HttpHeader,
    HttpService, LightstepTracingProvider, OpenCensusAgentTracingProvider, OpenCensusContext,
    OpenTelemetryLogFormat, OpenTelemetryTracingProvider, PrometheusMetricsProvider,
    ResourceDetectors, SdsProvider, ServiceAttributeEnrichment, SkyWalkingTracingProvider,
    StackdriverLogging, StackdriverProvider, TraceContextOption, ZipkinTracingProvider,
};
pub use proxy_config::{
    AuthenticationPolicy, ConnectionSettings, CryptoMb, HeadersWithUnderscoresAction,
    InboundInterceptionMode, MeshProxyConfig, PathWithEscapedSlashesAction, PrivateKeyProvider,
    Profile, ProxyProtocolConfiguration, ProxyStatsMatcher, Qat, RemoteService, Sds, Topology,
    TracingServiceName,
};
pub use proxy_headers::{
    AttemptCount, EnvoyDebugHeaders, ForwardClientCertDetails, MetadataExchangeHeaders,
    MetadataExchangeMode, ProxyHeaders, RequestId, ServerHeader, SetCurrentClientCertDetails,
    XForwardedHost, XForwardedPort,
};
pub use tracing::{
    CustomTag, Datadog, Environment, Lightstep, Literal, OpenCensusAgent, OpenCensusAgentContext,
    RequestHeader, Stackdriver, Tracing, Zipkin,
};

messages! {
    /// The settings of the mesh: the key `mesh` of the ConfigMap `istio`.
    struct MeshConfig {
        proxy_listen_port: i32,
        proxy_inbound_listen_port: i32,
        proxy_http_port: i32,
        connect_timeout: Option<Duration>,
        hbone_idle_timeout: Option<Duration>,
        protocol_detection_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        ingress_class: String,
        ingress_service: String,
        ingress_controller_mode: IngressControllerMode,
        ingress_selector: String,
        enable_tracing: bool,
        access_log_file: String,
        access_log_format: String,
        access_log_encoding: AccessLogEncoding,
        enable_envoy_access_log_service: bool,
        disable_envoy_listener_log: bool,
        default_config: Option<MeshProxyConfig>,
        outbound_traffic_policy: Option<MeshOutboundTrafficPolicy>,
        inbound_traffic_policy: Option<InboundTrafficPolicy>,
        config_sources: Vec<ConfigSource>,
        enable_auto_mtls: Option<bool>,
        trust_domain: String,
        trust_domain_aliases: Vec<String>,
        ca_certificates: Vec<CertificateData>,
        default_service_export_to: Vec<String>,
        default_virtual_service_export_to: Vec<String>,
        default_destination_rule_export_to: Vec<String>,
        root_namespace: String,
        locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        dns_refresh_rate: Option<Duration>,
        h2_upgrade_policy: MeshH2UpgradePolicy,
        inbound_cluster_stat_name: String,
        outbound_cluster_stat_name: String,
        /// Deprecated by Istio.
        certificates: Vec<Certificate>,
        service_settings: Vec<ServiceSettings>,
        service_scope_configs: Vec<ServiceScopeConfigs>,
        enable_prometheus_merge: Option<bool>,
        /// Deprecated by Istio.
        verify_certificate_at_client: Option<bool>,
        ca: Option<CertificateAuthority>,
        extension_providers: Vec<ExtensionProvider>,
        default_providers: Option<DefaultProviders>,
        discovery_selectors: Vec<LabelSelector>,
        path_normalization: Option<ProxyPathNormalization>,
        default_http_retry_policy: Option<HttpRetry>,
        default_inbound_http_retry_policy: Option<HttpRetry>,
        #[serde(rename = "meshMTLS")]
        mesh_mtls: Option<MeshTlsConfig>,
        tls_defaults: Option<MeshTlsConfig>,
        default_traffic_policy: Option<DefaultTrafficPolicy>,
        service_entry_visibility: Option<ServiceEntryVisibility>,
    }

    /// The value of `MeshConfig.outboundTrafficPolicy`.
    struct MeshOutboundTrafficPolicy {
        mode: MeshOutboundMode,
        tls: Option<ClientTlsSettings>,
    }

    /// The value of `MeshConfig.inboundTrafficPolicy`.
    struct InboundTrafficPolicy {
        mode: InboundMode,
    }

    /// The value of `MeshConfig.caCertificates`.
    struct CertificateData oneof [pem, spiffe_bundle_url] {
        pem: Option<String>,
        spiffe_bundle_url: Option<String>,
        cert_signers: Vec<String>,
        trust_domains: Vec<String>,
    }

    /// The value of `MeshConfig.serviceSettings`.
    struct ServiceSettings {
        settings: Option<ServiceSettingsBody>,
        hosts: Vec<String>,
    }

    /// The value of `ServiceSettings.settings`.
    struct ServiceSettingsBody {
        cluster_local: bool,
    }

    /// The value of `MeshConfig.serviceScopeConfigs`.
    struct ServiceScopeConfigs {
        namespace_selector: Option<LabelSelector>,
        services_selector: Option<LabelSelector>,
        scope: ServiceScope,
    }

    /// The value of `MeshConfig.ca`.
    struct CertificateAuthority {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        request_timeout: Option<Duration>,
        istiod_side: bool,
    }

    /// The value of `MeshConfig.defaultProviders`.
    struct DefaultProviders {
        tracing: Vec<String>,
        metrics: Vec<String>,
        access_logging: Vec<String>,
    }

    /// The value of `MeshConfig.pathNormalization`.
    struct ProxyPathNormalization {
        normalization: NormalizationType,
    }

    /// The value of `MeshConfig.meshMTLS`, `MeshConfig.tlsDefaults`.
    struct MeshTlsConfig {
        min_protocol_version: MeshTlsProtocol,
        ecdh_curves: Vec<String>,
        cipher_suites: Vec<String>,
    }

    /// The value of `MeshConfig.defaultTrafficPolicy`.
    struct DefaultTrafficPolicy {
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
    }

    /// The value of `MeshConfig.serviceEntryVisibility`.
    struct ServiceEntryVisibility {
        default_visibility: Visibility,
        apply_to_sidecars: bool,
        policies: Vec<VisibilityPolicy>,
    }

    /// The value of `ServiceEntryVisibility.policies`.
    struct VisibilityPolicy {
        visibility: Visibility,
        matching_rules: Vec<VisibilityMatch>,
    }

    /// The value of `VisibilityPolicy.matchingRules`.
    struct VisibilityMatch {
        namespace_selector: Option<LabelSelector>,
    }

    /// The value of `MeshConfig.configSources`.
    struct ConfigSource {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        subscribed_resources: Vec<Resource>,
    }

    /// The value of `MeshConfig.certificates`.
    struct Certificate {
        secret_name: String,
        dns_names: Vec<String>,
    }
}

enums! {
    /// The values of `MeshConfig.ingressControllerMode`.
    enum IngressControllerMode {
        Unspecified = 0 "UNSPECIFIED",
        Off = 1 "OFF",
        Default = 2 "DEFAULT",
        Strict = 3 "STRICT",
    }

    /// The values of `MeshConfig.accessLogEncoding`.
    enum AccessLogEncoding {
        Text = 0 "TEXT",
        Json = 1 "JSON",
    }

    /// The values of `MeshOutboundTrafficPolicy.mode`.
    enum MeshOutboundMode {
        RegistryOnly = 0 "REGISTRY_ONLY",
        AllowAny = 1 "ALLOW_ANY",
        AllowAnyDynamicDns = 3 "ALLOW_ANY_DYNAMIC_DNS",
    }

    /// The values of `InboundTrafficPolicy.mode`.
    enum InboundMode {
        Passthrough = 0 "PASSTHROUGH",
        Localhost = 1 "LOCALHOST",
    }

    /// The values of `MeshConfig.h2UpgradePolicy`.
    enum MeshH2UpgradePolicy {
        DoNotUpgrade = 0 "DO_NOT_UPGRADE",
        Upgrade = 1 "UPGRADE",
    }

    /// The values of `ServiceScopeConfigs.scope`.
    enum ServiceScope {
        Local = 0 "LOCAL",
        Global = 1 "GLOBAL",
    }

    /// The values of `ProxyPathNormalization.normalization`.
    enum NormalizationType {
        Default = 0 "DEFAULT",
        None = 1 "NONE",
        Base = 2 "BASE",
        MergeSlashes = 3 "MERGE_SLASHES",
        DecodeAndMergeSlashes = 4 "DECODE_AND_MERGE_SLASHES",
    }

    /// The values of `MeshTlsConfig.minProtocolVersion`.
    enum MeshTlsProtocol {
        TlsAuto = 0 "TLS_AUTO",
        V1_2 = 1 "TLSV1_2",
        V1_3 = 2 "TLSV1_3",
    }

    /// The values of `ConfigSource.subscribedResources`.
    enum Resource {
        ServiceRegistry = 0 "SERVICE_REGISTRY",
    }

    /// The values of `ServiceEntryVisibility.defaultVisibility`, `VisibilityPolicy.visibility`.
    enum Visibility {
        VisibilityUnspecified = 0 "VISIBILITY_UNSPECIFIED",
        None = 1 "NONE",
        Namespace = 2 "NAMESPACE",
        Public = 3 "PUBLIC",
    }
}

//! `DestinationRule` (Istio 1.31: networking/v1alpha3).

mod connection_pool;
mod load_balancer;

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::selector::PolicySelector;
use crate::shared::PortSelector;

pub use connection_pool::{
    ConnectionKeepalive, ConnectionPoolSettings, H2UpgradePolicy, HttpSettings, TcpKeepalive,
    TcpSettings,
};
pub use load_balancer::{
    BackendUtilization, ConsistentHash, HttpCookie, HttpCookieAttribute, LoadBalancerSettings,
    LocalityDistribute, LocalityFailover, LocalityLoadBalancerSetting, MagLev, RingHash, SimpleLb,
    WarmupConfiguration, ZoneAwareFailover, ZoneAwareLoadBalancerSetting,
};

messages! {
    /// What applies to traffic once its destination is known.
    struct DestinationRule {
        host: String,
        traffic_policy: Option<TrafficPolicy>,
        subsets: Vec<Subset>,
        export_to: Vec<String>,
        workload_selector: Option<PolicySelector>,
    }

    /// Load balancing, pools, outlier detection and TLS towards a host.
    struct TrafficPolicy {
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
        port_level_settings: Vec<PortTrafficPolicy>,
        tunnel: Option<TunnelSettings>,
        proxy_protocol: Option<ProxyProtocol>,
        retry_budget: Option<RetryBudget>,
    }

    /// The value of `TrafficPolicy.portLevelSettings`.
    struct PortTrafficPolicy {
        port: Option<PortSelector>,
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
    }

    /// The value of `TrafficPolicy.tunnel`.
    struct TunnelSettings {
        protocol: String,
        target_host: String,
        target_port: u32,
    }

    /// The value of `TrafficPolicy.proxyProtocol`.
    struct ProxyProtocol {
        version: ProxyProtocolVersion,
    }

    /// The value of `TrafficPolicy.retryBudget`.
    struct RetryBudget {
        percent: Option<f64>,
        min_retry_concurrency: u32,
        budget_interval: Option<Duration>,
    }

    /// The value of `DestinationRule.subsets`.
    struct Subset {
        name: String,
        labels: BTreeMap<String, String>,
        traffic_policy: Option<TrafficPolicy>,
    }

    /// The value of `TrafficPolicy.outlierDetection`, `PortTrafficPolicy.outlierDetection`,
    /// `DefaultTrafficPolicy.outlierDetection`.
    struct OutlierDetection {
        /// Deprecated by Istio.
        consecutive_errors: i32,
        split_external_local_origin_errors: bool,
        consecutive_local_origin_failures: Option<u32>,
        consecutive_gateway_errors: Option<u32>,
        consecutive_5xx_errors: Option<u32>,
        interval: Option<Duration>,
        base_ejection_time: Option<Duration>,
        max_ejection_percent: i32,
        min_health_percent: i32,
        outlier_detection_http_error_codes: Vec<u32>,
    }

    /// The value of `TrafficPolicy.tls`, `PortTrafficPolicy.tls`, `MeshOutboundTrafficPolicy.tls`,
    /// `CertificateAuthority.tlsSettings`.
    struct ClientTlsSettings {
        mode: ClientTlsMode,
        client_certificate: String,
        private_key: String,
        ca_certificates: String,
        credential_name: String,
        subject_alt_names: Vec<String>,
        sni: String,
        insecure_skip_verify: Option<bool>,
        ca_crl: String,
    }
}

enums! {
    /// The values of `ProxyProtocol.version`.
    enum ProxyProtocolVersion {
        V1 = 0 "V1",
        V2 = 1 "V2",
    }

    /// The values of `ClientTlsSettings.mode`.
    enum ClientTlsMode {
        Disable = 0 "DISABLE",
        Simple = 1 "SIMPLE",
        Mutual = 2 "MUTUAL",
        IstioMutual = 3 "ISTIO_MUTUAL",
    }
}

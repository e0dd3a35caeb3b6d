//! `Sidecar` (Istio 1.31: networking/v1alpha3).

use crate::destination_rule::ConnectionPoolSettings;
use crate::gateway::ServerTlsSettings;
use crate::proto_json::{enums, messages};
use crate::selector::WorkloadSelector;
use crate::virtual_service::Destination;

messages! {
    /// What a proxy accepts and what it can see.
    struct Sidecar {
        workload_selector: Option<WorkloadSelector>,
        ingress: Vec<IstioIngressListener>,
        egress: Vec<IstioEgressListener>,
        inbound_connection_pool: Option<ConnectionPoolSettings>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }

    /// The value of `Sidecar.ingress`.
    struct IstioIngressListener {
        port: Option<SidecarPort>,
        bind: String,
        capture_mode: CaptureMode,
        default_endpoint: String,
        tls: Option<ServerTlsSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
    }

    /// The value of `Sidecar.egress`.
    struct IstioEgressListener {
        port: Option<SidecarPort>,
        bind: String,
        capture_mode: CaptureMode,
        hosts: Vec<String>,
    }

    /// The value of `Sidecar.outboundTrafficPolicy`.
    struct OutboundTrafficPolicy {
        mode: OutboundMode,
        egress_proxy: Option<Destination>,
    }

    /// The value of `IstioIngressListener.port`, `IstioEgressListener.port`.
    struct SidecarPort {
        number: u32,
        protocol: String,
        name: String,
        /// Deprecated by Istio.
        target_port: u32,
    }
}

enums! {
    /// The values of `OutboundTrafficPolicy.mode`.
    enum OutboundMode {
        RegistryOnly = 0 "REGISTRY_ONLY",
        AllowAny = 1 "ALLOW_ANY",
    }

    /// The values of `IstioIngressListener.captureMode`, `IstioEgressListener.captureMode`.
    enum CaptureMode {
        Default = 0 "DEFAULT",
        Iptables = 1 "IPTABLES",
        None = 2 "NONE",
    }
}

//! The kinds that analyzers read.

/// A kind, by group and name; its version does not matter to an analyzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The names say it.
pub enum Kind {
    AuthorizationPolicy,
    ConfigMap,
    CustomResourceDefinition,
    Deployment,
    DestinationRule,
    EnvoyFilter,
    Gateway,
    GrpcRoute,
    HttpRoute,
    KubernetesGateway,
    MeshNetworks,
    MutatingWebhookConfiguration,
    Namespace,
    Node,
    PeerAuthentication,
    Pod,
    ProxyConfig,
    RequestAuthentication,
    Secret,
    Service,
    ServiceEntry,
    Sidecar,
    Telemetry,
    TrafficExtension,
    ValidatingWebhookConfiguration,
    VirtualService,
    WasmPlugin,
    WorkloadEntry,
    WorkloadGroup,
}

const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// Kind, group, name, and whether its objects have no namespace.
const KINDS: &[(Kind, &str, &str, bool)] = &[
    (
        Kind::AuthorizationPolicy,
        SECURITY,
        "AuthorizationPolicy",
        false,
    ),
    (Kind::ConfigMap, "", "ConfigMap", false),
    (
        Kind::CustomResourceDefinition,
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        true,
    ),
    (Kind::Deployment, "apps", "Deployment", false),
    (Kind::DestinationRule, NETWORKING, "DestinationRule", false),
    (Kind::EnvoyFilter, NETWORKING, "EnvoyFilter", false),
    (Kind::Gateway, NETWORKING, "Gateway", false),
    (Kind::GrpcRoute, GATEWAY_API, "GRPCRoute", false),
    (Kind::HttpRoute, GATEWAY_API, "HTTPRoute", false),
    (Kind::KubernetesGateway, GATEWAY_API, "Gateway", false),
    // Part of the mesh configuration, not an object of the API server: no apiVersion names it.
    (Kind::MeshNetworks, "-", "MeshNetworks", false),
    (
        Kind::MutatingWebhookConfiguration,
        ADMISSION,
        "MutatingWebhookConfiguration",
        true,
    ),
    (Kind::Namespace, "", "Namespace", true),
    (Kind::Node, "", "Node", true),
    (
        Kind::PeerAuthentication,
        SECURITY,
        "PeerAuthentication",
        false,
    ),
    (Kind::Pod, "", "Pod", false),
    (Kind::ProxyConfig, NETWORKING, "ProxyConfig", false),
    (
        Kind::RequestAuthentication,
        SECURITY,
        "RequestAuthentication",
        false,
    ),
    (Kind::Secret, "", "Secret", false),
    (Kind::Service, "", "Service", false),
    (Kind::ServiceEntry, NETWORKING, "ServiceEntry", false),
    (Kind::Sidecar, NETWORKING, "Sidecar", false),
    (Kind::Telemetry, "telemetry.istio.io", "Telemetry", false),
    (
        Kind::TrafficExtension,
        "extensions.istio.io",
        "TrafficExtension",
        false,
    ),
    (
        Kind::ValidatingWebhookConfiguration,
        ADMISSION,
        "ValidatingWebhookConfiguration",
        true,
    ),
    (Kind::VirtualService, NETWORKING, "VirtualService", false),
    (Kind::WasmPlugin, "extensions.istio.io", "WasmPlugin", false),
    (Kind::WorkloadEntry, NETWORKING, "WorkloadEntry", false),
    (Kind::WorkloadGroup, NETWORKING, "WorkloadGroup", false),
];

impl Kind {
    /// The kind that an object's `apiVersion` and `kind` name, if an analyzer reads it.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let found = KINDS.iter().find(|row| row.1 == group && row.2 == kind);
        found.map(|row| row.0)
    }

    /// Its name, as objects write it.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Whether its objects have no namespace.
    pub fn is_cluster_wide(self) -> bool {
        self.row().3
    }

    fn row(self) -> &'static (Kind, &'static str, &'static str, bool) {
        let found = KINDS.iter().find(|row| row.0 == self);
        found.expect("the table has a row for each kind")
    }
}

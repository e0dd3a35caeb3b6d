//! Who asks: a proxy's node, what it can run, and the part of it that can shape configuration (its class).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use crate::envoy_filter::ProxyCondition;
use crate::mesh::ProxyConfig;
use crate::service::ServiceKey;
use crate::workload::ServiceInstance;
use crate::{Labels, Locality, Shared, Str};

mod metadata;

pub use metadata::NodeMeta;

/// The kind of a proxy, the first part of its node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyKind {
    /// Beside an application.
    Sidecar,
    /// A gateway.
    Router,
}

impl ProxyKind {
    /// Istio's name.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyKind::Sidecar => "sidecar",
            ProxyKind::Router => "router",
        }
    }
}

/// Why a node is refused. The messages are istiod's where clients see them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// No node or no id.
    #[error("missing node information")]
    Missing,
    /// Not four parts.
    #[error("missing parts in the service node {0:?}: want TYPE~IP~NAME.NAMESPACE~DOMAIN")]
    Parts(String),
    /// A type that is not served.
    #[error("proxy type {0:?} is not supported: want sidecar or router")]
    Kind(String),
    /// No usable address.
    #[error("no valid IP address in the node id or INSTANCE_IPS metadata")]
    Address,
}

/// The extensions that decide what a proxy may be sent. One bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities(u16);

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Capability {
    /// HTTP filter `istio.alpn`.
    Alpn = 1,
    /// HTTP filter `istio.metadata_exchange`.
    HttpMetadataExchange = 2,
    /// Network filter `istio.metadata_exchange` of listeners.
    TcpMetadataExchangeListener = 4,
    /// Network filter `istio.metadata_exchange` of clusters.
    TcpMetadataExchangeCluster = 8,
    /// HTTP filter `istio.stats`.
    StatsHttp = 16,
    /// Network filter `istio.stats`.
    StatsTcp = 32,
}

/// (capability, extension category, type URL without prefix). dataplane-contract 6.4: names are aliases, so the
/// category and the type decide.
const CAPABILITY_TYPES: [(Capability, &str, &str); 6] = [
    (
        Capability::Alpn,
        "envoy.filters.http",
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    ),
    (
        Capability::HttpMetadataExchange,
        "envoy.filters.http",
        "io.istio.http.peer_metadata.Config",
    ),
    (
        Capability::TcpMetadataExchangeListener,
        "envoy.filters.network",
        "envoy.tcp.metadataexchange.config.MetadataExchange",
    ),
    (
        Capability::TcpMetadataExchangeCluster,
        "envoy.filters.upstream_network",
        "envoy.tcp.metadataexchange.config.MetadataExchange",
    ),
    (
        Capability::StatsHttp,
        "envoy.filters.http",
        "stats.PluginConfig",
    ),
    (
        Capability::StatsTcp,
        "envoy.filters.network",
        "stats.PluginConfig",
    ),
];

impl Capabilities {
    /// Everything that Istio's own proxy can do.
    pub fn istio_proxy() -> Self {
        Self(
            CAPABILITY_TYPES
                .iter()
                .fold(0, |bits, (c, _, _)| bits | *c as u16),
        )
    }

    /// Core filters only.
    pub fn core() -> Self {
        Self(0)
    }

    /// Whether the proxy has a capability.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability as u16 != 0
    }

    /// Whether a type of filter is known to be one of Istio's own, and the proxy has it not.
    pub fn lack(self, category: &str, type_name: &str) -> bool {
        CAPABILITY_TYPES
            .iter()
            .any(|(c, of, name)| *of == category && *name == type_name && !self.has(*c))
    }

    /// From `Node.extensions`: (category, disabled, type URLs) of each.
    pub fn from_extensions<'a>(
        extensions: impl IntoIterator<Item = (&'a str, bool, &'a [String])>,
    ) -> Self {
        let mut bits = 0;
        for (category, disabled, type_urls) in extensions {
            for (capability, wanted, type_url) in CAPABILITY_TYPES {
                if !disabled && category == wanted && type_urls.iter().any(|t| t == type_url) {
                    bits |= capability as u16;
                }
            }
        }
        Self(bits)
    }
}

/// A connected proxy, as it described itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The full node id.
    pub node_id: Str,
    /// Its third part, `name.namespace`; istioctl calls it the proxy id.
    pub id: Str,
    /// Its kind.
    pub kind: ProxyKind,
    /// Its addresses, first one primary; never empty.
    pub ips: Vec<IpAddr>,
    /// Its configuration namespace.
    pub namespace: Str,
    /// Its DNS domain, the fourth part of the node id.
    pub dns_domain: Str,
    /// `Node.cluster`.
    pub cluster: Str,
    /// `Node.locality`, used when the platform knows none.
    pub locality: Locality,
    /// Its metadata.
    pub meta: NodeMeta,
    /// What it can run.
    pub capabilities: Capabilities,
}

impl Proxy {
    /// Reads a node. `extensions` is empty when the node lists none; then a node with ISTIO_VERSION counts as Istio's
    /// proxy and any other as one with core filters only (architecture: "Any Envoy").
    pub fn parse<'a>(
        node_id: &str,
        cluster: &str,
        locality: Locality,
        metadata: &Value,
        extensions: impl IntoIterator<Item = (&'a str, bool, &'a [String])>,
    ) -> Result<Self, NodeError> {
        if node_id.is_empty() {
            return Err(NodeError::Missing);
        }
        let parts: Vec<&str> = node_id.split('~').collect();
        let &[kind, ip, id, dns_domain] = parts.as_slice() else {
            return Err(NodeError::Parts(node_id.to_owned()));
        };
        let kind = match kind {
            "sidecar" => ProxyKind::Sidecar,
            "router" => ProxyKind::Router,
            other => return Err(NodeError::Kind(other.to_owned())),
        };
        let meta = NodeMeta::parse(metadata);
        let mut ips = meta.instance_ips.clone();
        if ips.is_empty() {
            ips.extend(ip.parse::<IpAddr>());
        }
        if ips.is_empty() {
            return Err(NodeError::Address);
        }
        let namespace = if meta.namespace.is_empty() {
            dns_domain.split('.').next().unwrap_or_default().into()
        } else {
            meta.namespace.clone()
        };
        let mut extensions = extensions.into_iter().peekable();
        let capabilities = if extensions.peek().is_some() {
            Capabilities::from_extensions(extensions)
        } else if meta.istio_version.is_some() {
            Capabilities::istio_proxy()
        } else {
            Capabilities::core()
        };
        Ok(Self {
            node_id: node_id.into(),
            id: id.into(),
            kind,
            ips,
            namespace,
            dns_domain: dns_domain.into(),
            cluster: cluster.into(),
            locality,
            meta,
            capabilities,
        })
    }
}

/// How a sidecar gets its traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterceptionMode {
    /// Redirection that rewrites the destination.
    #[default]
    Redirect,
    /// Redirection that keeps source and destination.
    Tproxy,
    /// None: listeners bind their ports.
    None,
}

/// Which address families a proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpMode {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

/// The part of a proxy that can shape its configuration. Proxies of one class receive the same bytes, so everything
/// here costs memory and time once per distinct value, and nothing that is particular to one pod belongs here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyClass {
    /// Sidecar or router.
    pub kind: ProxyKind,
    /// Configuration namespace.
    pub namespace: Str,
    /// DNS domain (`default.svc.cluster.local`), which decides the short names of services.
    pub dns_domain: Str,
    /// The workload's labels, from its pod or else its metadata, with topology labels.
    pub labels: Labels,
    /// Where it runs.
    pub locality: Locality,
    /// Its network (NETWORK), only where it matters: there are gateways of networks, or it answers DNS queries; else empty.
    pub network: Str,
    /// The networks whose endpoints it asks for (REQUESTED_NETWORK_VIEW), sorted; empty: all.
    pub network_view: Vec<Str>,
    /// Its cluster.
    pub cluster_id: Str,
    /// Its address families.
    pub ip_mode: IpMode,
    /// It has addresses of both families and is served both (ISTIO_DUAL_STACK).
    pub dual_stack: bool,
    /// It has IPv6 addresses only and takes redirected outbound connections of IPv4 too.
    pub ipv4_outbound: bool,
    /// What it can run.
    pub capabilities: Capabilities,
    /// Whether it can fetch the mesh's certificates (SDS secrets `default` and `ROOTCA` at the cluster `sds-grpc`).
    /// A cluster that refers to them warms for ever on a proxy that cannot.
    pub has_identity: bool,
    /// (major, minor, patch) of ISTIO_VERSION; absent counts as newest.
    pub version: (u32, u32, u32),
    /// How it gets its traffic.
    pub interception: InterceptionMode,
    /// Metadata that shapes listeners.
    pub facet: MetaFacet,
    /// The mesh's `defaultConfig` with the proxy's own PROXY_CONFIG over it.
    pub proxy_config: Shared<ProxyConfig>,
    /// The service ports at which its workload serves; empty for routers.
    pub instances: Vec<ServiceInstance>,
    /// Service port → the gateway's own port, for routers: of the Services that select its pod.
    pub gateway_ports: BTreeMap<u16, Vec<u16>>,
    /// The same by service, for routers where some Gateway names the Services that it is for; else empty.
    pub gateway_services: BTreeMap<ServiceKey, BTreeMap<u16, Vec<u16>>>,
    /// Its addresses, only where a resource depends on them (its workload belongs to a headless service, or it takes
    /// no redirected traffic); else empty.
    pub own_ips: Vec<IpAddr>,
    /// Its node, only where endpoints are chosen by node; else empty.
    pub node: Str,
    /// What EnvoyFilters of its namespaces ask of a proxy and this one does not meet.
    pub unmet: BTreeSet<ProxyCondition>,
}

/// Files of a proxy's own that stand for its certificate of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientFiles {
    /// The path of the certificate chain.
    pub certificate: String,
    /// The path of its key.
    pub key: String,
    /// The path of the roots that servers are verified by; empty: the system's.
    pub root: String,
}

/// Metadata values that shape listeners and routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaFacet {
    /// MESH_ID.
    pub mesh_id: String,
    /// HTTP10.
    pub http10: bool,
    /// IDLE_TIMEOUT, as written.
    pub idle_timeout: Option<std::time::Duration>,
    /// HTTP_PROXY_PORT; 0: none.
    pub http_proxy_port: u16,
    /// Ports that Envoy's own static listeners use.
    pub reserved_ports: Vec<u16>,
    /// UNPRIVILEGED_POD.
    pub unprivileged: bool,
    /// DNS_CAPTURE.
    pub dns_capture: bool,
    /// It uses the addresses that were allocated to ServiceEntries without any.
    pub allocated_addresses: bool,
    /// INBOUND_LISTENER_EXACT_BALANCE.
    pub inbound_exact_balance: bool,
    /// OUTBOUND_LISTENER_EXACT_BALANCE.
    pub outbound_exact_balance: bool,
    /// `credential`: an SDS server for credentials is mounted into the pod.
    pub credential_socket: bool,
    /// `file-credential`: an SDS server for files is.
    pub file_credential_socket: bool,
    /// TLS_CLIENT_CERT_CHAIN, TLS_CLIENT_KEY and TLS_CLIENT_ROOT_CERT.
    pub client_files: Option<ClientFiles>,
    /// CLUSTER_ID as the proxy says it, for tracing tags.
    pub cluster_id: String,
    /// The label of the canonical service, for tracing tags; empty: none.
    pub canonical_service: String,
    /// The label of the canonical revision; empty: none.
    pub canonical_revision: String,
}

//! Workloads and where they run: namespaces, nodes, pods, endpoint slices, workload entries; and endpoints.

use std::net::IpAddr;

use crate::ids::empty;
use crate::object::Meta;
use crate::service::{Service, TargetPort};
use crate::{Labels, Locality, Shared, Str};

/// A Namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// Key, labels, annotations, age.
    pub meta: Meta,
}

/// A Node: its labels tell the locality of its pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// From its topology labels.
    pub locality: Locality,
    /// Node addresses (InternalIP, ExternalIP).
    pub addresses: Vec<Str>,
    /// Those of them at which it is reached from outside (ExternalIP), each once.
    pub external_addresses: Vec<Str>,
}

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// Key, labels, annotations, age.
    pub meta: Meta,
}

/// A Pod, reduced to what shapes configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// `spec.serviceAccountName`.
    pub service_account: Str,
    /// `spec.nodeName`; empty while it is not scheduled.
    pub node: Str,
    /// `status.podIPs`; empty while it has none.
    pub ips: Vec<IpAddr>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `spec.hostname` and `spec.subdomain`, for the names of a headless service's pods.
    pub hostname: Str,
    /// `spec.subdomain`.
    pub subdomain: Str,
    /// Named container ports, for Services whose targetPort is a name: (name, port).
    pub ports: Vec<(Str, u16)>,
    /// The Ready condition.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Phase Failed or Succeeded: it will never answer again.
    pub finished: bool,
    /// The name of the workload (Deployment, StatefulSet…) from labels or owner references; Istio: `GetDeployMetaFromPod`.
    pub workload: Str,
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointSlice {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// `kubernetes.io/service-name`.
    pub service: Str,
    /// IPv4, IPv6 or FQDN.
    pub fqdn: bool,
    /// (name, port, is TCP) of the ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlicePort {
    /// The service port's name.
    pub name: Str,
    /// The port at the endpoints.
    pub number: u16,
    /// Protocol TCP, rather than UDP or SCTP.
    pub tcp: bool,
}

/// One entry of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SliceEndpoint {
    /// Addresses (Kubernetes: only the first counts).
    pub addresses: Vec<Str>,
    /// `conditions.ready`; unset means true.
    pub ready: bool,
    /// `conditions.serving`; unset means ready.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `hostname`.
    pub hostname: Str,
    /// `nodeName`.
    pub node: Str,
    /// `zone`.
    pub zone: Str,
    /// `targetRef.name` when it is a Pod.
    pub pod: Option<Str>,
}

/// A WorkloadEntry object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadEntry {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workload.
    pub spec: WorkloadEntrySpec,
    /// Whether its health is checked and not known to be good: then it is as if it were not there.
    pub unhealthy: bool,
}

/// A WorkloadGroup, reduced to that it is there: what its entries become is decided when one is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadGroup {
    /// Key, labels, annotations, age.
    pub meta: Meta,
}

/// A workload that is declared by address, inline in a ServiceEntry or as an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkloadEntrySpec {
    /// An IP, a host name, or `unix://…`; may be empty for a remote network.
    pub address: Str,
    /// Port name → number.
    pub ports: Vec<(Str, u16)>,
    /// Labels.
    pub labels: Labels,
    /// The network.
    pub network: Str,
    /// `region/zone/subzone`.
    pub locality: Locality,
    /// Load balancing weight; 0: not set.
    pub weight: u32,
    /// The service account.
    pub service_account: Str,
}

/// Whether an endpoint takes traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// It is taken to: nobody checks entries that are declared by address.
    Unknown,
    /// It does.
    Healthy,
    /// It is not ready.
    Unhealthy,
    /// It is going away but still answers; only persistent sessions may reach it.
    Draining,
    /// It is going away.
    Terminating,
}

/// One endpoint of one service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// An IP, a host name, or a socket path.
    pub address: Str,
    /// Addresses of the same workload besides: those of its other family (ISTIO_DUAL_STACK).
    pub more_addresses: Vec<Str>,
    /// The port at the endpoint.
    pub port: u16,
    /// Labels of the workload, with topology labels added; subsets select by them.
    pub labels: Labels,
    /// `spiffe://td/ns/x/sa/y`, or empty.
    pub identity: Str,
    /// The network.
    pub network: Str,
    /// The cluster.
    pub cluster: Str,
    /// The locality.
    pub locality: Locality,
    /// Load balancing weight; at least 1.
    pub weight: u32,
    /// Whether it accepts Istio's mutual TLS (label `security.istio.io/tlsMode: istio`).
    pub mtls: bool,
    /// A PeerAuthentication of its workload says DISABLE for its port.
    pub mtls_disabled: bool,
    /// The workload's name and namespace, for telemetry.
    pub workload: Str,
    /// The workload's namespace.
    pub namespace: Str,
    /// Its health.
    pub health: Health,
    /// `hostname.subdomain` of a pod that has a subdomain, below which a headless service names it; else empty.
    pub hostname: Str,
    /// The pod's node.
    pub node: Str,
}

impl Endpoint {
    /// An endpoint of which nothing is known but where it is.
    pub fn at(address: Str, port: u16) -> Self {
        Self {
            address,
            more_addresses: Vec::new(),
            port,
            labels: Labels::default(),
            identity: empty(),
            network: empty(),
            cluster: empty(),
            locality: Locality::default(),
            weight: 1,
            mtls: false,
            mtls_disabled: false,
            workload: empty(),
            namespace: empty(),
            health: Health::Unknown,
            hostname: empty(),
            node: empty(),
        }
    }

    /// All its addresses, the primary one first.
    pub fn addresses(&self) -> impl Iterator<Item = &Str> {
        std::iter::once(&self.address).chain(&self.more_addresses)
    }

    /// Whether clients use mutual TLS of themselves, where no DestinationRule decides.
    pub fn takes_mtls(&self) -> bool {
        self.mtls && !self.mtls_disabled
    }
}

/// The endpoints of one service, by port name, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EndpointSet {
    /// (service port name, endpoints).
    pub ports: Vec<(Str, Vec<Shared<Endpoint>>)>,
}

impl EndpointSet {
    /// The endpoints of a port.
    pub fn port(&self, name: &str) -> &[Shared<Endpoint>] {
        self.ports
            .iter()
            .find(|(n, _)| &**n == name)
            .map_or(&[], |(_, e)| e)
    }
}

/// A port at which a proxy's own workload serves: why the proxy gets an inbound listener and cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceInstance {
    /// The service. It need not be visible to the workload itself: a Sidecar may hide it.
    pub service: Shared<Service>,
    /// The service port.
    pub port: u16,
    /// The port at which the workload listens.
    pub target: u16,
}

/// Resolves a target port against a pod's named container ports.
pub fn resolve_target(target: &TargetPort, ports: &[(Str, u16)]) -> Option<u16> {
    match target {
        TargetPort::Number(n) => Some(*n),
        TargetPort::Name(name) => ports.iter().find(|(n, _)| n == name).map(|(_, p)| *p),
    }
}

//! Sidecars, lowered.

use crate::gateway::ServerTls;
use crate::object::Meta;
use crate::port::Protocol;
use crate::routing::Destination;
use crate::traffic::ConnectionPool;
use crate::{Hostname, Labels, Str};

/// A Sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sidecar {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workloads it is for; `None`: all of the namespace.
    pub workload_selector: Option<Labels>,
    /// Inbound listeners; empty: from the workload's services.
    pub ingress: Vec<IngressListener>,
    /// Outbound listeners; empty: everything.
    pub egress: Vec<EgressListener>,
    /// What happens to unknown destinations; `None`: the mesh's.
    pub outbound_policy: Option<OutboundPolicy>,
    /// `outboundTrafficPolicy.egressProxy`.
    pub egress_proxy: Option<Destination>,
    /// `inboundConnectionPool`.
    pub inbound_connection_pool: Option<ConnectionPool>,
}

/// What happens to traffic for unknown destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutboundPolicy {
    /// It passes.
    AllowAny,
    /// It is refused.
    RegistryOnly,
    /// It passes, resolved by name.
    AllowAnyDynamicDns,
}

/// How a listener gets its traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaptureMode {
    /// As the proxy's interception mode says.
    #[default]
    Default,
    /// By redirection.
    Iptables,
    /// It binds its port.
    None,
}

/// An inbound listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressListener {
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The port's name.
    pub port_name: Str,
    /// `bind`, or empty.
    pub bind: Str,
    /// Capture.
    pub capture_mode: CaptureMode,
    /// `127.0.0.1:8080`, `0.0.0.0:8080`, `unix://…`, or empty.
    pub default_endpoint: Str,
    /// TLS that it terminates where the port takes no mutual TLS.
    pub tls: Option<ServerTls>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
}

/// An outbound listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EgressListener {
    /// The port, if it is for one.
    pub port: Option<EgressPort>,
    /// `bind`, or empty.
    pub bind: Str,
    /// Capture.
    pub capture_mode: CaptureMode,
    /// The services it shows.
    pub hosts: Vec<EgressHost>,
}

/// The port of an outbound listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EgressPort {
    /// The number.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The name.
    pub name: Str,
}

/// `namespace/host` of an egress listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressHost {
    /// `*`, `~` (nothing), `.` (the client's own) or a namespace.
    pub namespace: Str,
    /// The host; may be a wildcard.
    pub host: Hostname,
}

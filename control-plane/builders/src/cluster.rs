//! Clusters (CDS). Istio 1.31: `pilot/pkg/networking/core/cluster*.go` is the reference for every value here.

use std::sync::Arc;

use bytes::Bytes;
use meltemi_model::mesh::Mesh;
use meltemi_model::proxy::{ClientFiles, IpMode};
use meltemi_model::service::{Service, ServicePort};
use meltemi_model::traffic::{ConnectionPool, MergedRule};
use meltemi_model::workload::EndpointSet;
use meltemi_model::{Labels, Locality, ObjectKey, ResourceType, Shared, Str};
use meltemi_proto::canonical::Stencil;
use meltemi_proto::envoy::config::cluster::v3 as pb;

use crate::endpoint::Horizon;
use crate::listener::{AnyDnsCache, DnsFamily, FileReader};
use crate::{Built, Input};

mod dynamic;
mod fixed;
mod inbound;
mod load_balancer;
mod metadata;
mod outbound;
mod outlier;
mod policy;
mod pool;
mod protocol;
mod shape;
mod tls;

pub use policy::{Effective, effective};
pub use shape::OutboundShape;

/// The cluster that answers nothing.
pub const BLACK_HOLE: &str = "BlackHoleCluster";
/// The cluster that sends to wherever the client wanted.
pub const PASSTHROUGH: &str = "PassthroughCluster";
/// The same for traffic that arrives at the workload.
pub const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// Everything that a cluster is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClusterInput {
    /// To a service port or a subset of it.
    Outbound(OutboundCluster),
    /// To the port of a service whose names are resolved as they are asked for.
    Dynamic(OutboundCluster, DnsFamily),
    /// To the workload itself.
    Inbound(InboundCluster),
    /// [`BLACK_HOLE`].
    BlackHole(Shared<Mesh>),
    /// [`PASSTHROUGH`].
    Passthrough(Shared<Mesh>, ClusterFacet),
    /// [`INBOUND_PASSTHROUGH`].
    InboundPassthrough(Shared<Mesh>, ClusterFacet),
    /// [`crate::sds::EXTERNAL`].
    ExternalSds(Shared<Mesh>),
    /// [`crate::route::DYNAMIC_DNS_CLUSTER`].
    AnyDynamicDns(Shared<Mesh>, ClusterFacet, AnyDnsCache),
}

/// The part of a proxy class that shapes clusters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterFacet {
    /// A gateway, rather than a sidecar.
    pub router: bool,
    /// Its address families.
    pub ip_mode: IpMode,
    /// Which addresses it resolves names to.
    pub dns_family: DnsFamily,
    /// Whether it has the upstream metadata exchange filter, so may negotiate `istio-peer-exchange`.
    pub metadata_exchange: bool,
    /// Whether it can fetch the mesh's certificates.
    pub identity: bool,
    /// `proxyHeaders.preserveHttp1HeaderCase`.
    pub preserve_case: bool,
    /// An SDS server for credentials is mounted into its pod.
    pub credential_socket: bool,
    /// An SDS server for files is.
    pub file_credential_socket: bool,
    /// The certificate that it shows inside of the mesh, where it has one in files of its own.
    pub files: Option<ClientFiles>,
    /// Its locality and labels, only for clusters whose endpoints are inside them and depend on it.
    pub place: Option<(Locality, Labels)>,
}

impl ClusterFacet {
    /// Who reads certificate files.
    fn file_reader(&self) -> FileReader {
        match (self.file_credential_socket, self.identity) {
            (true, _) => FileReader::Server,
            (false, true) => FileReader::Agent,
            (false, false) => FileReader::Envoy,
        }
    }
}

/// A cluster to a service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboundCluster {
    /// The service.
    pub service: Shared<Service>,
    /// Its port.
    pub port: ServicePort,
    /// The name of a subset of `rule`; empty: all endpoints.
    pub subset: Str,
    /// The rules that apply to the service.
    pub rule: Option<Shared<MergedRule>>,
    /// Whether the rule selects this proxy's workload, so that its credentials are for it.
    pub rule_selects_workload: bool,
    /// Per port name, the identities of the endpoints.
    pub identities: Shared<Vec<(Str, Vec<Str>)>>,
    /// Its endpoints, only when they stand in the cluster (DNS).
    pub endpoints: Option<Shared<EndpointSet>>,
    /// Which of those the proxy reaches by address; `None`: all.
    pub horizon: Option<Shared<Horizon>>,
    /// For services without load balancing: whether every endpoint accepts mutual TLS.
    pub all_mtls: bool,
    /// PeerAuthentications of the service's namespace or the mesh say DISABLE.
    pub mtls_disabled: bool,
    /// Named by SNI, for AUTO_PASSTHROUGH gateways: no TLS of its own.
    pub sni_dnat: bool,
    /// The mesh configuration.
    pub mesh: Shared<Mesh>,
    /// What the proxy adds.
    pub facet: ClusterFacet,
}

/// Whether sidecars ask for the endpoints of a service without an address, rather than connect to where the client
/// wanted (PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES).
pub fn has_headless_endpoints(service: &Service, mesh: &Mesh) -> bool {
    service.kubernetes && mesh.headless_endpoints
}

/// A cluster to the workload's own port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboundCluster {
    /// The port in its name.
    pub port: u16,
    /// Where it connects to; `None`: to the original destination.
    pub address: Option<InboundAddress>,
    /// The services that have an endpoint at the port, with their ports; the first decides the protocol.
    pub services: Vec<(Shared<Service>, ServicePort)>,
    /// The rule of the first service.
    pub rule: Option<Shared<MergedRule>>,
    /// Pool settings of a Sidecar, which replace those of the rule.
    pub pool: Option<ConnectionPool>,
    /// The mesh configuration.
    pub mesh: Shared<Mesh>,
    /// What the proxy adds.
    pub facet: ClusterFacet,
}

/// Where an inbound cluster connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InboundAddress {
    /// Address and port.
    Socket(Str, u16),
    /// A UNIX socket.
    Pipe(Str),
}

impl Input for ClusterInput {
    const TYPE: ResourceType = ResourceType::Cluster;
    type Part = ();
    type Shape = OutboundShape;

    fn shape(&self) -> Option<OutboundShape> {
        match self {
            ClusterInput::Outbound(input) => OutboundShape::of(input),
            _ => None,
        }
    }

    fn stencil(shape: &OutboundShape) -> Option<Stencil> {
        shape::stencil(shape)
    }

    fn fill(&self, stencil: &Stencil) -> Built {
        match self {
            ClusterInput::Outbound(input) => shape::fill(input, stencil),
            _ => self.build(),
        }
    }

    fn build(&self) -> Built {
        match self {
            ClusterInput::Outbound(input) => {
                let from = origin(&input.service, input.rule.as_ref());
                finish(outbound::build(input), from)
            }
            ClusterInput::Dynamic(input, family) => {
                let from = origin(&input.service, input.rule.as_ref());
                finish(dynamic::host(input, *family), from)
            }
            ClusterInput::AnyDynamicDns(mesh, facet, cache) => {
                finish(dynamic::any(mesh, facet, cache), Vec::new())
            }
            ClusterInput::Inbound(input) => {
                let mut from: Vec<ObjectKey> = input
                    .services
                    .iter()
                    .map(|(s, _)| s.object.clone())
                    .collect();
                from.extend(input.rule.iter().flat_map(|r| r.from.iter().cloned()));
                finish(inbound::build(input), from)
            }
            ClusterInput::BlackHole(mesh) => finish(fixed::black_hole(mesh), Vec::new()),
            ClusterInput::Passthrough(mesh, facet) => {
                finish(fixed::passthrough(mesh, facet), Vec::new())
            }
            ClusterInput::InboundPassthrough(mesh, facet) => {
                finish(fixed::inbound_passthrough(mesh, facet), Vec::new())
            }
            ClusterInput::ExternalSds(mesh) => finish(fixed::external_sds(mesh), Vec::new()),
        }
    }
}

fn origin(service: &Service, rule: Option<&Shared<MergedRule>>) -> Vec<ObjectKey> {
    let rules = rule.into_iter().flat_map(|r| r.from.iter().cloned());
    std::iter::once(service.object.clone())
        .chain(rules)
        .collect()
}

fn finish(cluster: pb::Cluster, from: Vec<ObjectKey>) -> Built {
    let body: Bytes = meltemi_proto::canonical::encode(&cluster);
    Built {
        name: Arc::from(cluster.name),
        body,
        from,
    }
}

#[cfg(test)]
mod tests;

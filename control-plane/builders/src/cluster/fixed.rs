//! The clusters that every sidecar has, whatever the world holds.

use meltemi_model::mesh::Mesh;
use meltemi_model::proxy::IpMode;
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;

use super::{BLACK_HOLE, ClusterFacet, INBOUND_PASSTHROUGH, PASSTHROUGH, metadata, pool, protocol};
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

use crate::duration;
use crate::sds::EXTERNAL;

/// Refuses everything: no endpoint.
pub(super) fn black_hole(mesh: &Mesh) -> pb::Cluster {
    pb::Cluster {
        name: BLACK_HOLE.into(),
        alt_stat_name: format!("{BLACK_HOLE};"),
        cluster_discovery_type: Some(discovery(pb::cluster::DiscoveryType::Static)),
        connect_timeout: Some(duration(mesh.connect_timeout)),
        ..Default::default()
    }
}

/// Sends to the original destination.
pub(super) fn passthrough(mesh: &Mesh, facet: &ClusterFacet) -> pb::Cluster {
    let mut cluster = pb::Cluster {
        name: PASSTHROUGH.into(),
        alt_stat_name: format!("{PASSTHROUGH};"),
        cluster_discovery_type: Some(discovery(pb::cluster::DiscoveryType::OriginalDst)),
        lb_policy: pb::cluster::LbPolicy::ClusterProvided.into(),
        ..Default::default()
    };
    let mut options = protocol::passthrough_options(facet.preserve_case);
    let settings = mesh.default_connection_pool.clone().unwrap_or_default();
    pool::apply(&mut cluster, &mut Some(&mut options), &settings, None, mesh);
    cluster.typed_extension_protocol_options = protocol::pack(&options);
    metadata::add_exchange_filter(&mut cluster, facet);
    cluster
}

/// The same for inbound traffic, from a source address that the redirection leaves alone.
pub(super) fn inbound_passthrough(mesh: &Mesh, facet: &ClusterFacet) -> pb::Cluster {
    let mut cluster = passthrough(mesh, facet);
    cluster.name = INBOUND_PASSTHROUGH.into();
    cluster.filters.clear();
    cluster.upstream_bind_config = Some(bind(facet.ip_mode, true));
    cluster
}

/// The socket at which an SDS server for credentials is mounted into a pod. Istio 1.31: `CredentialNameSocketPath`.
const CREDENTIAL_SOCKET: &str = "./var/run/secrets/credential-uds/socket";

/// The SDS server that is mounted into the proxy's pod. Istio 1.31: `buildExternalSDSCluster`.
pub(super) fn external_sds(mesh: &Mesh) -> pb::Cluster {
    use endpoint::lb_endpoint::HostIdentifier;
    let pipe = core::address::Address::Pipe(core::Pipe {
        path: CREDENTIAL_SOCKET.into(),
        ..Default::default()
    });
    let socket = endpoint::LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint::Endpoint {
            address: Some(core::Address {
                address: Some(pipe),
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let locality = endpoint::LocalityLbEndpoints {
        lb_endpoints: vec![socket],
        ..Default::default()
    };
    let mut options = HttpProtocolOptions::default();
    protocol::set_http2(&mut options);
    pb::Cluster {
        name: EXTERNAL.into(),
        alt_stat_name: format!("{EXTERNAL};"),
        cluster_discovery_type: Some(discovery(pb::cluster::DiscoveryType::Static)),
        connect_timeout: Some(duration(mesh.connect_timeout)),
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            cluster_name: EXTERNAL.into(),
            endpoints: vec![locality],
            ..Default::default()
        }),
        typed_extension_protocol_options: protocol::pack(&options),
        ..Default::default()
    }
}

/// Binds to 127.0.0.6 or ::6, which the redirection rules exempt, so that a proxy does not call itself.
pub(super) fn bind(ip_mode: IpMode, dual: bool) -> core::BindConfig {
    let socket = |address: &str| core::SocketAddress {
        address: address.into(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
        ..Default::default()
    };
    let extra = core::ExtraSourceAddress {
        address: Some(socket("::6")),
        ..Default::default()
    };
    core::BindConfig {
        source_address: Some(socket(if ip_mode == IpMode::V6 {
            "::6"
        } else {
            "127.0.0.6"
        })),
        extra_source_addresses: if dual && ip_mode == IpMode::Dual {
            vec![extra]
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

/// A plain discovery type.
pub(super) fn discovery(kind: pb::cluster::DiscoveryType) -> pb::cluster::ClusterDiscoveryType {
    pb::cluster::ClusterDiscoveryType::Type(kind.into())
}

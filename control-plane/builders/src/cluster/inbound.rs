//! Clusters to the workload itself. Istio 1.31: `buildInboundCluster`.

use std::time::Duration;

use meltemi_model::service::inbound_name;
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::cluster::v3::cluster as c;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as endpoint;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

use super::fixed::{bind, discovery};
use super::metadata::IstioMetadata;
use super::outbound::stat_name;
use super::{InboundAddress, InboundCluster, effective, pool, protocol};
use crate::duration;

/// Envoy forgets idle destinations of an ORIGINAL_DST cluster; the workload is never idle for good. The largest
/// duration that Envoy takes, as istiod sends it.
const NEVER: Duration = Duration::from_secs(9_223_372_035);

/// Builds the cluster.
pub(super) fn build(input: &InboundCluster) -> pb::Cluster {
    let name = inbound_name(input.port);
    let mut cluster = pb::Cluster {
        alt_stat_name: format!("{name};"),
        cluster_discovery_type: Some(discovery(match input.address {
            Some(_) => c::DiscoveryType::Static,
            None => c::DiscoveryType::OriginalDst,
        })),
        common_lb_config: Some(c::CommonLbConfig::default()),
        name,
        ..Default::default()
    };
    match &input.address {
        Some(address) => cluster.load_assignment = Some(assignment(&cluster.name, address)),
        None => {
            cluster.cleanup_interval = Some(duration(NEVER));
            cluster.lb_policy = c::LbPolicy::ClusterProvided.into();
        }
    }
    let first = input.services.first();
    let mut options: Option<HttpProtocolOptions> =
        first.and_then(|(_, port)| protocol::of_port(port.protocol, &input.facet));
    if let Some((service, port)) = first
        && !input.mesh.inbound_stat_name.is_empty()
    {
        let stat = stat_name(&input.mesh.inbound_stat_name, service, "", port, input.port);
        cluster.alt_stat_name = format!("{stat};");
    }
    apply_pool(input, &mut cluster, &mut options);
    if !matches!(&input.address, Some(InboundAddress::Socket(ip, _)) if &**ip == "127.0.0.1" || &**ip == "::1")
    {
        cluster.upstream_bind_config = Some(bind(input.facet.ip_mode, input.mesh.dual_stack));
    }
    set_metadata(input, &mut cluster);
    if let Some(options) = options {
        cluster.typed_extension_protocol_options = protocol::pack(&options);
    }
    cluster
}

fn apply_pool(
    input: &InboundCluster,
    cluster: &mut pb::Cluster,
    options: &mut Option<HttpProtocolOptions>,
) {
    let port = input
        .services
        .first()
        .map_or(input.port, |(_, port)| port.number);
    let policy = effective(input.rule.as_deref(), "", port, &input.mesh);
    let settings = input
        .pool
        .clone()
        .or(policy.port.connection_pool)
        .unwrap_or_default();
    if pool::needs_options(&settings) {
        options.get_or_insert_default();
    }
    pool::apply(
        cluster,
        &mut options.as_mut(),
        &settings,
        policy.retry_budget.as_ref(),
        &input.mesh,
    );
}

fn set_metadata(input: &InboundCluster, cluster: &mut pb::Cluster) {
    let Some((first, port)) = input.services.first() else {
        return;
    };
    let mut metadata = IstioMetadata::default();
    if !first.mesh_external {
        // Services at another port of their own would make telemetry report the wrong one.
        let mut same_port: Vec<_> = input
            .services
            .iter()
            .filter(|(_, p)| p.number == port.number)
            .map(|(s, _)| &**s)
            .collect();
        same_port.dedup_by(|a, b| a.key.host == b.key.host);
        metadata.services(same_port);
    }
    if let Some(rule) = input.rule.as_ref().filter(|r| r.policy.is_some())
        && let Some(object) = rule.from.first()
    {
        metadata.config(object);
    }
    metadata.write(cluster);
}

fn assignment(name: &str, address: &InboundAddress) -> endpoint::ClusterLoadAssignment {
    let address = match address {
        InboundAddress::Socket(ip, port) => {
            core::address::Address::SocketAddress(core::SocketAddress {
                address: ip.to_string(),
                port_specifier: Some(core::socket_address::PortSpecifier::PortValue(
                    (*port).into(),
                )),
                ..Default::default()
            })
        }
        InboundAddress::Pipe(path) => core::address::Address::Pipe(core::Pipe {
            path: path.to_string(),
            ..Default::default()
        }),
    };
    let host = endpoint::Endpoint {
        address: Some(core::Address {
            address: Some(address),
        }),
        ..Default::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: name.into(),
        endpoints: vec![endpoint::LocalityLbEndpoints {
            lb_endpoints: vec![endpoint::LbEndpoint {
                host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(host)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

//! Clusters to services. Istio 1.31: `buildOutboundClusters`, `applyDestinationRule`, `buildSubsetCluster`.

use meltemi_model::service::{Resolution, Service, ServicePort, outbound_name, sni_name};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::cluster::v3::cluster as c;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use meltemi_proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

use super::fixed::discovery;
use super::metadata::{IstioMetadata, add_exchange_filter};
use super::{
    Effective, OutboundCluster, effective, has_headless_endpoints, load_balancer, outlier, pool,
    protocol, tls,
};
use crate::endpoint::{self, Balance};
use crate::listener::lookup_family;
use crate::{duration, uint32};

/// Builds the cluster.
pub(super) fn build(input: &OutboundCluster) -> pb::Cluster {
    let OutboundCluster {
        service,
        port,
        subset,
        mesh,
        facet,
        ..
    } = input;
    let host = &service.key.host;
    let name = if input.sni_dnat {
        sni_name(port.number, subset, host)
    } else {
        outbound_name(port.number, subset, host)
    };
    let policy = effective(input.rule.as_deref(), subset, port.number, mesh);
    let mut cluster = pb::Cluster {
        alt_stat_name: format!("{name};"),
        name,
        cluster_discovery_type: Some(discovery(discovery_type(input))),
        common_lb_config: Some(c::CommonLbConfig::default()),
        ..Default::default()
    };
    if !mesh.outbound_stat_name.is_empty() {
        let stat = stat_name(&mesh.outbound_stat_name, service, subset, port, 0);
        cluster.alt_stat_name = format!("{stat};");
    }
    let place = facet.place.as_ref();
    let balance = Balance::of(
        &policy,
        service,
        mesh,
        place.map(|(locality, labels)| (locality, labels)),
    );
    place_of_endpoints(input, &policy, &balance, &mut cluster);

    let mut options = protocol::of_port(port.protocol, facet);
    apply_pool(input, &policy, &mut cluster, &mut options);
    if let Some(settings) = &policy.port.outlier_detection {
        outlier::apply(&mut cluster, settings);
    }
    load_balancer::apply(&mut cluster, policy.port.load_balancer.as_ref(), &balance);
    if !input.sni_dnat {
        let sni = sni_name(port.number, subset, host);
        let settings = tls::settings(input, &policy.port, &sni);
        tls::apply(input, &mut cluster, &mut options, settings.as_ref());
        if let Some(version) = policy.proxy_protocol {
            wrap_in_proxy_protocol(&mut cluster, version);
        }
    }
    set_eds(&mut cluster);
    add_exchange_filter(&mut cluster, facet);
    set_metadata(input, &policy, &mut cluster);
    if let Some(options) = options {
        cluster.typed_extension_protocol_options = protocol::pack(&options);
    }
    cluster
}

/// Istio 1.31: `convertResolution`. A gateway has no original destination, so it gets endpoints.
fn discovery_type(input: &OutboundCluster) -> c::DiscoveryType {
    match input.service.resolution {
        Resolution::ClientSideLb | Resolution::Alias | Resolution::DynamicDns => {
            c::DiscoveryType::Eds
        }
        Resolution::Dns => c::DiscoveryType::StrictDns,
        Resolution::DnsRoundRobin => c::DiscoveryType::LogicalDns,
        Resolution::Passthrough
            if input.facet.router || has_headless_endpoints(&input.service, &input.mesh) =>
        {
            c::DiscoveryType::Eds
        }
        Resolution::Passthrough => c::DiscoveryType::OriginalDst,
    }
}

fn place_of_endpoints(
    input: &OutboundCluster,
    policy: &Effective,
    balance: &Balance,
    cluster: &mut pb::Cluster,
) {
    let port = &input.port;
    match discovery_type(input) {
        c::DiscoveryType::StrictDns | c::DiscoveryType::LogicalDns => {
            cluster.dns_lookup_family = lookup_family(input.facet.dns_family).into();
            let resolver = CaresDnsResolverConfig {
                udp_max_queries: Some(uint32(100)),
                ..Default::default()
            };
            cluster.typed_dns_resolver_config = Some(core::TypedExtensionConfig {
                name: "envoy.network.dns_resolver.cares".into(),
                typed_config: Some(meltemi_proto::any::pack(&resolver)),
            });
            #[allow(deprecated, reason = "Istio 1.31 sends these fields")]
            {
                cluster.dns_jitter = Some(duration(std::time::Duration::from_millis(100)));
                cluster.dns_refresh_rate = Some(duration(input.mesh.dns_refresh_rate));
                cluster.respect_dns_ttl = true;
            }
            let inside = endpoint::assignment(input, policy, balance, &cluster.name);
            // Envoy refuses a LOGICAL_DNS cluster without an endpoint; one of the other type may have none.
            let is_empty = inside.endpoints.iter().all(|e| e.lb_endpoints.is_empty());
            if input.endpoints.is_some() && is_empty {
                cluster.cluster_discovery_type = Some(discovery(c::DiscoveryType::StrictDns));
            }
            cluster.load_assignment = Some(inside);
        }
        c::DiscoveryType::OriginalDst => {
            if let Some((_, target)) = input
                .service
                .passthrough_targets
                .iter()
                .find(|(p, _)| *p == port.number)
            {
                cluster.lb_config =
                    Some(c::LbConfig::OriginalDstLbConfig(c::OriginalDstLbConfig {
                        upstream_port_override: Some(uint32(u32::from(*target))),
                        ..Default::default()
                    }));
            }
        }
        c::DiscoveryType::Eds | c::DiscoveryType::Static => {}
    }
}

pub(super) fn apply_pool(
    input: &OutboundCluster,
    policy: &Effective,
    cluster: &mut pb::Cluster,
    options: &mut Option<HttpProtocolOptions>,
) {
    let settings = policy.port.connection_pool.clone().unwrap_or_default();
    if protocol::upgrades(input.port.protocol, &settings, &input.mesh) {
        protocol::set_http2(options.get_or_insert_default());
    }
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

/// Endpoints come over ADS, and Envoy waits for them: a cluster without them would answer 503.
fn set_eds(cluster: &mut pb::Cluster) {
    if cluster.cluster_discovery_type != Some(discovery(c::DiscoveryType::Eds)) {
        return;
    }
    cluster.eds_cluster_config = Some(c::EdsClusterConfig {
        service_name: cluster.name.clone(),
        eds_config: Some(core::ConfigSource {
            config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
                Default::default(),
            )),
            initial_fetch_timeout: Some(duration(std::time::Duration::ZERO)),
            resource_api_version: core::ApiVersion::V3.into(),
            ..Default::default()
        }),
    });
}

fn set_metadata(input: &OutboundCluster, policy: &Effective, cluster: &mut pb::Cluster) {
    let mut metadata = IstioMetadata::default();
    metadata.services([&*input.service]);
    if !input.subset.is_empty() {
        metadata.subset(&input.subset);
    } else if input.service.mesh_external {
        metadata.external();
    }
    if let Some(rule) = &input.rule {
        if let Some(first) = rule.from.first() {
            metadata.config(first);
        }
        metadata.alpn_override(policy.port.tls.as_ref().map(|t| t.mode));
    }
    metadata.write(cluster);
}

fn wrap_in_proxy_protocol(cluster: &mut pb::Cluster, version: u8) {
    let wrap = |inner: Option<core::TransportSocket>| {
        let config = core::ProxyProtocolConfig {
            version: if version == 2 {
                core::proxy_protocol_config::Version::V2.into()
            } else {
                core::proxy_protocol_config::Version::V1.into()
            },
            ..Default::default()
        };
        let outer = ProxyProtocolUpstreamTransport {
            config: Some(config),
            transport_socket: inner,
            ..Default::default()
        };
        Some(core::TransportSocket {
            name: "envoy.transport_sockets.upstream_proxy_protocol".into(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(
                meltemi_proto::any::pack(&outer),
            )),
        })
    };
    if cluster.transport_socket_matches.is_empty() {
        let inner = cluster
            .transport_socket
            .take()
            .unwrap_or_else(tls::raw_buffer);
        cluster.transport_socket = wrap(Some(inner));
    }
    for candidate in &mut cluster.transport_socket_matches {
        candidate.transport_socket = wrap(candidate.transport_socket.take());
    }
}

/// Fills a pattern of `outboundClusterStatName` or `inboundClusterStatName`. Istio 1.31: `BuildStatPrefix`.
pub(super) fn stat_name(
    pattern: &str,
    service: &Service,
    subset: &str,
    port: &ServicePort,
    target: u16,
) -> String {
    let host = service.key.host.as_str();
    let (short, name) = if service.kubernetes {
        (
            format!("{}.{}", service.name, service.key.namespace),
            service.name.to_string(),
        )
    } else {
        (host.to_owned(), host.to_owned())
    };
    pattern
        .replace("%SERVICE%", &short)
        .replace("%SERVICE_NAME%", &name)
        .replace("%SERVICE_FQDN%", host)
        .replace("%SUBSET_NAME%", subset)
        .replace("%TARGET_PORT%", &target.to_string())
        .replace("%SERVICE_PORT%", &port.number.to_string())
        .replace("%SERVICE_PORT_NAME%", &port.name)
}

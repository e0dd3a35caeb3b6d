//! Clusters that resolve each host name as it is asked for (Envoy: dynamic forward proxy). Their DNS caches must equal
//! those of the filters that ask, field by field, or Envoy refuses both.

use meltemi_model::mesh::Mesh;
use meltemi_model::service::outbound_name;
use meltemi_model::traffic::{ClientTls, TlsMode};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::cluster::v3::cluster as c;
use meltemi_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::{
    ClusterConfig, cluster_config::ClusterImplementationSpecifier,
};
use meltemi_proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

use super::metadata::{IstioMetadata, add_exchange_filter};
use super::outbound::apply_pool;
use super::tls;
use super::{ClusterFacet, OutboundCluster, effective, outlier, pool, protocol};
use crate::listener::{AnyDnsCache, DnsFamily, any_dns_cache, host_dns_cache};
use crate::route::DYNAMIC_DNS_CLUSTER;

/// For the hosts under a wildcard. Istio 1.31: `buildDFPCluster`.
pub(super) fn host(input: &OutboundCluster, family: DnsFamily) -> pb::Cluster {
    let OutboundCluster {
        service,
        port,
        mesh,
        facet,
        ..
    } = input;
    let host = &service.key.host;
    let name = outbound_name(port.number, "", host);
    let policy = effective(input.rule.as_deref(), "", port.number, mesh);
    let mut cluster = pb::Cluster {
        alt_stat_name: format!("{name};"),
        name,
        lb_policy: c::LbPolicy::ClusterProvided.into(),
        ..Default::default()
    };
    let mut options = protocol::of_port(port.protocol, facet);
    apply_pool(input, &policy, &mut cluster, &mut options);
    if let Some(settings) = &policy.port.outlier_detection {
        outlier::apply(&mut cluster, settings);
    }
    // The name is the request's: no fixed one.
    let settings = tls::settings(input, &policy.port, "");
    tls::apply(input, &mut cluster, &mut options, settings.as_ref());
    let own = settings.as_ref().map(tls::Settings::tls);
    let insecure = own.is_some_and(|tls| names_of_requests(tls, &mut options));
    let cache = host_dns_cache(&format!("{host}_dfp_dns_cache"), family);
    cluster.cluster_discovery_type = Some(forward_proxy(cache, insecure));
    add_exchange_filter(&mut cluster, facet);
    let mut metadata = IstioMetadata::default();
    if service.mesh_external {
        metadata.external();
    }
    if let Some(rule) = &input.rule {
        if let Some(first) = rule.from.first() {
            metadata.config(first);
        }
        metadata.alpn_override(policy.port.tls.as_ref().map(|t| t.mode));
    }
    metadata.write(&mut cluster);
    if let Some(options) = options {
        cluster.typed_extension_protocol_options = protocol::pack(&options);
    }
    cluster
}

/// For hosts that no service declares, in plain text. Istio 1.31: `buildAllowAnyDFPCluster`.
pub(super) fn any(mesh: &Mesh, facet: &ClusterFacet, cache: &AnyDnsCache) -> pb::Cluster {
    let mut cluster = pb::Cluster {
        name: DYNAMIC_DNS_CLUSTER.into(),
        alt_stat_name: format!("{DYNAMIC_DNS_CLUSTER};"),
        lb_policy: c::LbPolicy::ClusterProvided.into(),
        cluster_discovery_type: Some(forward_proxy(any_dns_cache(cache), true)),
        ..Default::default()
    };
    let mut options = protocol::passthrough_options(facet.preserve_case);
    let settings = mesh.default_connection_pool.clone().unwrap_or_default();
    pool::apply(&mut cluster, &mut Some(&mut options), &settings, None, mesh);
    cluster.typed_extension_protocol_options = protocol::pack(&options);
    add_exchange_filter(&mut cluster, facet);
    cluster
}

/// `insecure`: Envoy else refuses a cluster that does not take SNI and the name to verify from the request.
fn forward_proxy(cache: DnsCacheConfig, insecure: bool) -> c::ClusterDiscoveryType {
    let config = ClusterConfig {
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(
            cache,
        )),
        allow_insecure_cluster_options: insecure,
        ..Default::default()
    };
    c::ClusterDiscoveryType::ClusterType(c::CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".into(),
        typed_config: Some(meltemi_proto::any::pack(&config)),
    })
}

/// Takes SNI and the name to verify from the request; returns whether one of them is not. Istio 1.31:
/// `setAutoSniAndAutoSanValidation`.
fn names_of_requests(tls: &ClientTls, options: &mut Option<HttpProtocolOptions>) -> bool {
    if tls.mode == TlsMode::Disable {
        return false;
    }
    let sni = tls.sni.is_empty();
    let verify = tls.insecure_skip_verify != Some(true);
    if sni || verify {
        let http = options
            .get_or_insert_default()
            .upstream_http_protocol_options
            .get_or_insert_default();
        http.auto_sni = sni;
        http.auto_san_validation = verify;
    }
    !sni || !verify
}

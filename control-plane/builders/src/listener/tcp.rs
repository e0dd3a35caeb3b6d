//! The TCP proxy, and what stands before it.

use std::time::Duration;

use meltemi_model::{Shared, Str};
use meltemi_proto::canonical::Stencil;

use super::facet::{DnsFamily, NetworkFacet};
use super::{access_log, authorization, filters, pb};
use crate::stencils::Stencils;

use pb::tcp_proxy::{TcpProxy, tcp_proxy};

/// What is particular to the TCP of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TcpChain {
    /// The stat prefix.
    pub stat_prefix: Str,
    /// Where connections go.
    pub clusters: Clusters,
    /// Connections without traffic are closed after this time; `None`: as the facet says.
    pub idle_timeout: Option<Duration>,
    /// Connections are closed after this time.
    pub max_connection_duration: Option<Duration>,
    /// Connections of one client go to one host.
    pub hash_source_ip: bool,
    /// Go through an HTTP tunnel.
    pub tunnel: Option<TcpTunnel>,
    /// The port is declared as MongoDB.
    pub mongo: bool,
    /// The host is a wildcard whose names are resolved as they are asked for, by SNI.
    pub sni_dns_cache: Option<SniDnsCache>,
    /// It only refuses: no access log, no timeout.
    pub blackhole: bool,
}

impl TcpChain {
    /// To one cluster, which also names the statistics.
    pub fn to(cluster: Str) -> Self {
        Self {
            stat_prefix: cluster.clone(),
            clusters: Clusters::One(cluster),
            idle_timeout: None,
            max_connection_duration: None,
            hash_source_ip: false,
            tunnel: None,
            mongo: false,
            sni_dns_cache: None,
            blackhole: false,
        }
    }

    /// To the cluster that refuses everything.
    pub fn blackhole() -> Self {
        Self {
            blackhole: true,
            ..Self::to("BlackHoleCluster".into())
        }
    }
}

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Clusters {
    /// To one cluster.
    One(Str),
    /// To several, by weight.
    Weighted(Vec<(Str, u32)>),
}

/// `trafficPolicy.tunnel` of a DestinationRule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TcpTunnel {
    /// `host:port` that the proxy is asked for.
    pub target: Str,
    /// POST instead of CONNECT.
    pub post: bool,
}

/// The DNS cache of a wildcard host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SniDnsCache {
    /// Its name.
    pub name: Str,
    /// Which addresses.
    pub family: DnsFamily,
    /// The port that is connected to.
    pub port: u16,
}

/// The filters of a TCP chain. Istio 1.31: `buildCompleteNetworkFilters`.
pub(super) fn filters(
    chain: &TcpChain,
    facet: &Shared<NetworkFacet>,
    disable_host_fallback: bool,
) -> Vec<pb::listener::Filter> {
    let mut list = Vec::with_capacity(3);
    if let Some(policies) = facet.authorization.as_ref().filter(|_| !chain.blackhole) {
        list.extend(authorization::tcp(policies));
    }
    if facet.stats {
        list.push(filters::network_stats(disable_host_fallback));
    }
    if let Some(cache) = &chain.sni_dns_cache {
        list.push(sni_forward_proxy(cache));
    }
    if chain.mongo {
        list.push(mongo(&chain.stat_prefix));
    }
    let proxy = by_stencil(chain, facet).unwrap_or_else(|| pb::any(&proxy(chain, facet)));
    list.push(filters::network("envoy.filters.network.tcp_proxy", proxy));
    list
}

/// Stand-ins for the names of a chain; no name has such characters.
const STAT_PREFIX: &str = "\u{1}stat prefix\u{1}";
const CLUSTER: &str = "\u{1}cluster\u{1}";

/// The same proxy with these names, where it leads to one cluster.
fn by_stencil(chain: &TcpChain, facet: &Shared<NetworkFacet>) -> Option<pb::protobuf::Any> {
    let Clusters::One(cluster) = &chain.clusters else {
        return None;
    };
    if chain.stat_prefix.is_empty() || cluster.is_empty() {
        return None;
    }
    let shape = TcpChain {
        stat_prefix: STAT_PREFIX.into(),
        clusters: Clusters::One(CLUSTER.into()),
        tunnel: chain.tunnel.clone(),
        sni_dns_cache: chain.sni_dns_cache.clone(),
        ..*chain
    };
    let stencils = facet.made(|_: &Stencils<TcpChain>| true, |_| Stencils::default());
    let stencil = stencils.get(shape, |chain| {
        Stencil::cut(&proxy(chain, facet), &[STAT_PREFIX, CLUSTER])
    })?;
    let value = stencil.fill(&[&chain.stat_prefix, cluster]);
    debug_assert_eq!(
        value,
        meltemi_proto::encode(&proxy(chain, facet)),
        "a stencil writes what the builder builds"
    );
    Some(pb::protobuf::Any {
        type_url: meltemi_proto::any::type_url::<TcpProxy>(),
        value: value.into(),
    })
}

fn proxy(chain: &TcpChain, facet: &NetworkFacet) -> TcpProxy {
    let clusters = match &chain.clusters {
        Clusters::One(cluster) => tcp_proxy::ClusterSpecifier::Cluster(cluster.to_string()),
        Clusters::Weighted(list) => {
            let clusters =
                list.iter().map(
                    |(name, weight)| tcp_proxy::weighted_cluster::ClusterWeight {
                        name: name.to_string(),
                        weight: *weight,
                        ..Default::default()
                    },
                );
            tcp_proxy::ClusterSpecifier::WeightedClusters(tcp_proxy::WeightedCluster {
                clusters: clusters.collect(),
            })
        }
    };
    let facet_timeout = facet.idle_timeout.filter(|_| !chain.blackhole);
    let source_ip = || {
        use pb::r#type::v3::{HashPolicy, hash_policy};
        let policy = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp {});
        HashPolicy {
            policy_specifier: Some(policy),
        }
    };
    TcpProxy {
        stat_prefix: chain.stat_prefix.to_string(),
        cluster_specifier: Some(clusters),
        idle_timeout: chain.idle_timeout.or(facet_timeout).map(pb::duration),
        max_downstream_connection_duration: chain.max_connection_duration.map(pb::duration),
        hash_policy: chain.hash_source_ip.then(source_ip).into_iter().collect(),
        tunneling_config: chain
            .tunnel
            .as_ref()
            .map(|tunnel| tcp_proxy::TunnelingConfig {
                hostname: tunnel.target.to_string(),
                use_post: tunnel.post,
                ..Default::default()
            }),
        access_log: facet
            .access_log
            .iter()
            .filter(|_| !chain.blackhole)
            .map(access_log::access_log)
            .collect(),
        ..Default::default()
    }
}

fn mongo(stat_prefix: &str) -> pb::listener::Filter {
    let config = pb::extensions::filters::network::mongo_proxy::v3::MongoProxy {
        stat_prefix: stat_prefix.to_owned(),
        ..Default::default()
    };
    filters::network("envoy.filters.network.mongo_proxy", pb::any(&config))
}

fn sni_forward_proxy(cache: &SniDnsCache) -> pb::listener::Filter {
    use pb::extensions::filters::network::sni_dynamic_forward_proxy::v3::{
        FilterConfig, filter_config,
    };
    let config = FilterConfig {
        dns_cache_config: Some(filters::host_dns_cache(&cache.name, cache.family)),
        port_specifier: Some(filter_config::PortSpecifier::PortValue(cache.port.into())),
        ..Default::default()
    };
    filters::network(
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy",
        pb::any(&config),
    )
}

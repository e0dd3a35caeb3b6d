//! Which endpoints a cluster names, and which routes a listener.

use std::collections::BTreeSet;

use bytes::Bytes;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Message as _;

const HCM: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The name under which the endpoints of an EDS cluster are asked for. None for what is no cluster.
pub(crate) fn endpoints_of(body: &Bytes) -> BTreeSet<String> {
    let Ok(cluster) = Cluster::decode(body.as_ref()) else {
        return BTreeSet::new();
    };
    if cluster.cluster_discovery_type != Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()))
    {
        return BTreeSet::new();
    }
    let service = cluster
        .eds_cluster_config
        .map(|eds| eds.service_name)
        .unwrap_or_default();
    BTreeSet::from([if service.is_empty() {
        cluster.name
    } else {
        service
    }])
}

/// The route configurations that the HTTP filters of a listener ask for. None for what is no listener.
pub(crate) fn routes_of(body: &Bytes) -> BTreeSet<String> {
    let Ok(listener) = Listener::decode(body.as_ref()) else {
        return BTreeSet::new();
    };
    let chains = listener
        .filter_chains
        .into_iter()
        .chain(listener.default_filter_chain);
    let mut names = BTreeSet::new();
    for filter in chains.flat_map(|chain| chain.filters) {
        let Some(ConfigType::TypedConfig(config)) = filter.config_type else {
            continue;
        };
        if !config.type_url.ends_with(HCM) {
            continue;
        }
        let manager = HttpConnectionManager::decode(config.value.as_ref()).unwrap_or_default();
        if let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier {
            names.insert(rds.route_config_name);
        }
    }
    names
}

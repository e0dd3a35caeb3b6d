//! The network filters of a chain: which one decides, HTTP or TCP.

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::listener::v3::{FilterChain, filter::ConfigType};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier,
};
use prost::Message as _;

use crate::call::Call;
use crate::outcome::{Miss, MissKind, Stage, Step, Weight};

const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const SNI_CLUSTER: &str = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster";
/// Filters that end a chain and decide by themselves.
const OTHERS: [&str; 8] = [
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
    "envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy",
    "envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy",
    "envoy.extensions.filters.network.generic_proxy.v3.GenericProxy",
    "envoy.extensions.filters.network.echo.v3.Echo",
    "envoy.extensions.filters.network.direct_response.v3.Config",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
    "envoy.extensions.filters.network.zookeeper_proxy.v3.ZooKeeperProxy",
];

/// The filter that ends a chain.
#[derive(Debug)]
pub(crate) enum Terminal {
    Http(Box<HttpConnectionManager>),
    Tcp {
        proxy: Box<TcpProxy>,
        /// The cluster is the server name of the handshake.
        by_server_name: bool,
    },
}

/// Finds it.
pub(crate) fn terminal(chain: &FilterChain) -> Result<Terminal, Miss> {
    let mut by_server_name = false;
    for filter in &chain.filters {
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            continue;
        };
        let broken = |_| not_followed(&format!("{} cannot be decoded", filter.name));
        match type_name(&any.type_url) {
            SNI_CLUSTER => by_server_name = true,
            HTTP => {
                let manager =
                    HttpConnectionManager::decode(any.value.as_slice()).map_err(broken)?;
                return Ok(Terminal::Http(Box::new(manager)));
            }
            TCP => {
                let proxy = TcpProxy::decode(any.value.as_slice()).map_err(broken)?;
                return Ok(Terminal::Tcp {
                    proxy: Box::new(proxy),
                    by_server_name,
                });
            }
            other if OTHERS.contains(&other) => {
                let what = format!("{} decides by itself and is not followed here", filter.name);
                return Err(not_followed(&what));
            }
            _ => {}
        }
    }
    Err(not_followed("no filter of the chain sends anything on"))
}

/// The cluster of a TCP proxy.
pub(crate) struct Chosen {
    pub(crate) cluster: String,
    pub(crate) weights: Vec<Weight>,
    pub(crate) step: Step,
}

/// Which cluster a TCP proxy sends a connection to.
pub(crate) fn tcp_cluster(proxy: &TcpProxy, by_server_name: bool, call: &Call) -> Chosen {
    let chosen = |cluster: &str, weights: Vec<Weight>, why: String| Chosen {
        cluster: cluster.to_owned(),
        weights,
        step: Step {
            stage: Stage::Network,
            chosen: "tcp_proxy".to_owned(),
            why,
            config: None,
        },
    };
    // Envoy: the filter sets the cluster if there is a server name; TCP proxy prefers it to its own.
    if by_server_name && !call.sni.is_empty() {
        let why = "the cluster is the server name of the TLS handshake (sni_cluster)".to_owned();
        return chosen(&call.sni.to_ascii_lowercase(), Vec::new(), why);
    }
    match &proxy.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => chosen(
            name,
            Vec::new(),
            "every connection goes to one cluster".into(),
        ),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let weights: Vec<Weight> = weighted
                .clusters
                .iter()
                .map(|cluster| Weight {
                    cluster: cluster.name.clone(),
                    weight: cluster.weight,
                })
                .collect();
            let at = crate::matching::weighted(weights.iter().map(|w| w.weight), call.random);
            let name = at.and_then(|at| weights.get(at));
            let name = name.map_or(String::new(), |weight| weight.cluster.clone());
            let why = format!("chosen by weight among {} clusters", weights.len());
            chosen(&name, weights, why)
        }
        None => chosen("", Vec::new(), "the filter names no cluster".to_owned()),
    }
}

fn not_followed(why: &str) -> Miss {
    Miss {
        at: Stage::Network,
        kind: MissKind::NotFollowed,
        why: why.to_owned(),
        candidates: Vec::new(),
        status: None,
    }
}

//! Load balancing. Istio 1.31: `applyLoadBalancer`.

use meltemi_model::traffic::{Algorithm, ConsistentHash, LoadBalancer, Ring, Warmup};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::cluster::v3::cluster as c;
use meltemi_proto::envoy::config::core::v3::RuntimeDouble;
use meltemi_proto::envoy::r#type::v3::Percent;

use super::fixed::discovery;
use crate::endpoint::Balance;
use crate::{duration, uint64};

/// Applies the algorithm, and the locality settings as far as the cluster itself shows them.
pub(super) fn apply(cluster: &mut pb::Cluster, settings: Option<&LoadBalancer>, balance: &Balance) {
    let common = cluster.common_lb_config.get_or_insert_default();
    if common.healthy_panic_threshold.is_none() {
        common.healthy_panic_threshold = Some(Percent { value: 0.0 });
    }
    if balance.weighs_localities() {
        common.locality_config_specifier = Some(
            c::common_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(
                Default::default(),
            ),
        );
    }
    if cluster.cluster_discovery_type == Some(discovery(c::DiscoveryType::OriginalDst)) {
        cluster.lb_policy = c::LbPolicy::ClusterProvided.into();
        return;
    }
    let warmup = settings.and_then(|s| s.warmup.as_ref());
    let (policy, config) = match settings.and_then(|s| s.algorithm.as_ref()) {
        None | Some(Algorithm::LeastRequest) => {
            (c::LbPolicy::LeastRequest, warmup.map(least_request))
        }
        Some(Algorithm::RoundRobin) => (c::LbPolicy::RoundRobin, warmup.map(round_robin)),
        Some(Algorithm::Random) => (c::LbPolicy::Random, None),
        Some(Algorithm::Passthrough) => {
            cluster.cluster_discovery_type = Some(discovery(c::DiscoveryType::OriginalDst));
            cluster.load_assignment = None;
            (c::LbPolicy::ClusterProvided, None)
        }
        Some(Algorithm::ConsistentHash(hash)) => ring(hash),
    };
    cluster.lb_policy = policy.into();
    cluster.lb_config = config;
}

fn ring(hash: &ConsistentHash) -> (c::LbPolicy, Option<c::LbConfig>) {
    match hash.ring {
        Ring::RingHash(size) => {
            let config = size.filter(|s| *s > 0).map(|size| {
                c::LbConfig::RingHashLbConfig(c::RingHashLbConfig {
                    minimum_ring_size: Some(uint64(size)),
                    ..Default::default()
                })
            });
            (c::LbPolicy::RingHash, config)
        }
        Ring::Maglev(size) => {
            let config = size.filter(|s| *s > 0).map(|size| {
                c::LbConfig::MaglevLbConfig(c::MaglevLbConfig {
                    table_size: Some(uint64(size)),
                })
            });
            (c::LbPolicy::Maglev, config)
        }
    }
}

fn least_request(warmup: &Warmup) -> c::LbConfig {
    c::LbConfig::LeastRequestLbConfig(c::LeastRequestLbConfig {
        slow_start_config: Some(slow_start(warmup)),
        ..Default::default()
    })
}

fn round_robin(warmup: &Warmup) -> c::LbConfig {
    c::LbConfig::RoundRobinLbConfig(c::RoundRobinLbConfig {
        slow_start_config: Some(slow_start(warmup)),
    })
}

/// Envoy wants a runtime key where it has a default; Istio 1.31 sends "(".
fn slow_start(warmup: &Warmup) -> c::SlowStartConfig {
    let thousandths = |value: u64| value as f64 / 1000.0;
    c::SlowStartConfig {
        slow_start_window: Some(duration(warmup.duration)),
        aggression: warmup.aggression_millis.map(|a| RuntimeDouble {
            default_value: thousandths(a),
            runtime_key: "(".into(),
        }),
        min_weight_percent: warmup.minimum_percent_millis.map(|m| Percent {
            value: thousandths(m),
        }),
    }
}

//! `trafficPolicy.loadBalancer` and the locality settings that the mesh configuration shares.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::proto_json::{enums, messages};

messages! {
    /// The value of `TrafficPolicy.loadBalancer`, `PortTrafficPolicy.loadBalancer`.
    struct LoadBalancerSettings oneof [simple, consistent_hash, backend_utilization] {
        simple: Option<SimpleLb>,
        consistent_hash: Option<ConsistentHash>,
        backend_utilization: Option<BackendUtilization>,
        locality_lb_setting: Option<LocalityLoadBalancerSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>,
        warmup_duration_secs: Option<Duration>,
        warmup: Option<WarmupConfiguration>,
    }

    /// The value of `LoadBalancerSettings.consistentHash`.
    struct ConsistentHash oneof
        [http_header_name, http_cookie, use_source_ip, http_query_parameter_name]
        [ring_hash, maglev]
    {
        http_header_name: Option<String>,
        http_cookie: Option<HttpCookie>,
        use_source_ip: Option<bool>,
        http_query_parameter_name: Option<String>,
        ring_hash: Option<RingHash>,
        maglev: Option<MagLev>,
        /// Deprecated by Istio.
        minimum_ring_size: u64,
    }

    /// The value of `ConsistentHash.ringHash`.
    struct RingHash {
        minimum_ring_size: u64,
    }

    /// The value of `ConsistentHash.maglev`.
    struct MagLev {
        table_size: u64,
    }

    /// The value of `ConsistentHash.httpCookie`.
    struct HttpCookie {
        name: String,
        path: String,
        ttl: Option<Duration>,
        attributes: Vec<HttpCookieAttribute>,
    }

    /// The value of `HttpCookie.attributes`.
    struct HttpCookieAttribute {
        name: String,
        value: String,
    }

    /// The value of `LoadBalancerSettings.backendUtilization`.
    struct BackendUtilization {
        weight_update_period: Option<Duration>,
        weight_stabilization_period: Option<Duration>,
        weight_expiration_period: Option<Duration>,
        metric_names_for_computing_utilization: Vec<String>,
        error_utilization_penalty_percent: Option<u32>,
    }

    /// The value of `LoadBalancerSettings.warmup`.
    struct WarmupConfiguration {
        duration: Option<Duration>,
        minimum_percent: Option<f64>,
        aggression: Option<f64>,
    }

    /// The value of `LoadBalancerSettings.localityLbSetting`, `MeshConfig.localityLbSetting`.
    struct LocalityLoadBalancerSetting {
        distribute: Vec<LocalityDistribute>,
        failover: Vec<LocalityFailover>,
        failover_priority: Vec<String>,
        enabled: Option<bool>,
    }

    /// The value of `LocalityLoadBalancerSetting.distribute`.
    struct LocalityDistribute {
        from: String,
        to: BTreeMap<String, u32>,
    }

    /// The value of `LocalityLoadBalancerSetting.failover`.
    struct LocalityFailover {
        from: String,
        to: String,
    }

    /// The value of `LoadBalancerSettings.zoneAwareLbSetting`, `MeshConfig.zoneAwareLbSetting`.
    struct ZoneAwareLoadBalancerSetting {
        enabled: Option<bool>,
        failover: Vec<ZoneAwareFailover>,
        failover_priority: Vec<String>,
        min_cluster_size: Option<u64>,
    }

    /// The value of `ZoneAwareLoadBalancerSetting.failover`.
    struct ZoneAwareFailover {
        from: String,
        to: String,
    }
}

enums! {
    /// The values of `LoadBalancerSettings.simple`.
    enum SimpleLb {
        Unspecified = 0 "UNSPECIFIED",
        /// Deprecated by Istio.
        LeastConn = 1 "LEAST_CONN",
        Random = 2 "RANDOM",
        Passthrough = 3 "PASSTHROUGH",
        RoundRobin = 4 "ROUND_ROBIN",
        LeastRequest = 5 "LEAST_REQUEST",
    }
}

//! Connection pools, outlier detection, load balancing.

use std::time::Duration;

use meltemi_model::traffic::{
    Algorithm, ConsistentHash, HashKey, LoadBalancer, LocalityLb, OutlierDetection, Ring,
    TcpKeepalive, Warmup,
};

use super::*;

fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

fn with_pool(protocol: Protocol, pool: ConnectionPool) -> OutboundCluster {
    let policy = for_all_ports(PortPolicy {
        connection_pool: Some(pool),
        ..PortPolicy::default()
    });
    outbound(protocol, Some(policy))
}

const UNLIMITED: u32 = u32::MAX;

#[test]
fn connection_pools() {
    let pool = ConnectionPool::default;
    let explicit_http1 = json!({"explicit_http_config": {"http_protocol_options": {}}});
    for (name, protocol, pool, want) in [
        (
            "nothing is limited",
            Protocol::Http,
            pool(),
            json!({
                "/connect_timeout": "10s",
                "/circuit_breakers/thresholds": [{
                    "max_connections": UNLIMITED, "max_pending_requests": UNLIMITED,
                    "max_requests": UNLIMITED, "max_retries": UNLIMITED,
                }],
                "/upstream_connection_options": null,
                "OPTIONS": null,
            }),
        ),
        (
            "limits; what is not positive is not said",
            Protocol::Http,
            ConnectionPool {
                max_connections: 1,
                http1_max_pending_requests: 2,
                http2_max_requests: 3,
                max_retries: -1,
                connect_timeout: seconds(4),
                ..pool()
            },
            json!({
                "/connect_timeout": "4s",
                "/circuit_breakers/thresholds": [{
                    "max_connections": 1, "max_pending_requests": 2,
                    "max_requests": 3, "max_retries": UNLIMITED,
                }],
                "OPTIONS": null,
            }),
        ),
        (
            "keepalive",
            Protocol::Tcp,
            ConnectionPool {
                tcp_keepalive: Some(TcpKeepalive {
                    probes: 3,
                    time: seconds(60),
                    interval: None,
                }),
                ..pool()
            },
            json!({
                "/upstream_connection_options": {"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60}},
            }),
        ),
        (
            "times and requests per connection choose HTTP/1.1, which Envoy wants said",
            Protocol::Http,
            ConnectionPool {
                http_idle_timeout: seconds(5),
                tcp_idle_timeout: seconds(6),
                max_connection_duration: seconds(7),
                max_requests_per_connection: 8,
                ..pool()
            },
            json!({
                "OPTIONS/common_http_protocol_options": {
                    "idle_timeout": "5s", "max_connection_duration": "7s", "max_requests_per_connection": 8,
                },
                "OPTIONS/explicit_http_config": explicit_http1["explicit_http_config"],
            }),
        ),
        (
            "the idle time of TCP, where HTTP has none",
            Protocol::Tcp,
            ConnectionPool {
                tcp_idle_timeout: seconds(6),
                ..pool()
            },
            json!({"OPTIONS/common_http_protocol_options": {"idle_timeout": "6s"}}),
        ),
        (
            "streams and keepalive of HTTP/2",
            Protocol::Grpc,
            ConnectionPool {
                max_concurrent_streams: 9,
                http2_keepalive: Some((seconds(10), None)),
                ..pool()
            },
            json!({
                "OPTIONS/explicit_http_config": {"http2_protocol_options": {
                    "max_concurrent_streams": 9, "connection_keepalive": {"interval": "10s"},
                }},
            }),
        ),
        (
            "which HTTP/1.1 has not",
            Protocol::Http,
            ConnectionPool {
                max_concurrent_streams: 9,
                ..pool()
            },
            json!({"OPTIONS/explicit_http_config": {"http_protocol_options": {}}}),
        ),
        (
            "the client's protocol",
            Protocol::Http,
            ConnectionPool {
                use_client_protocol: true,
                h2_upgrade: Some(true),
                ..pool()
            },
            json!({
                "OPTIONS/explicit_http_config": null,
                "OPTIONS/use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
            }),
        ),
    ] {
        check(name, &json_of_outbound(with_pool(protocol, pool)), &want);
    }
}

#[test]
fn the_mesh_adds_to_the_pool() {
    let keepalive = |probes, time, interval| {
        Some(TcpKeepalive {
            probes,
            time,
            interval,
        })
    };
    let pool = ConnectionPool {
        tcp_keepalive: keepalive(3, None, seconds(2)),
        ..ConnectionPool::default()
    };
    let mesh = Mesh {
        connect_timeout: Duration::from_millis(250),
        tcp_keepalive: keepalive(9, seconds(60), seconds(30)),
        ..Mesh::default()
    };
    let cluster = json_of_outbound(OutboundCluster {
        mesh: Shared::new(mesh),
        ..with_pool(Protocol::Http, pool)
    });
    let want = json!({
        "/connect_timeout": "0.250s",
        "/upstream_connection_options": {"tcp_keepalive": {
            "keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 2,
        }},
    });
    check("mesh", &cluster, &want);
}

#[test]
fn http_versions() {
    let http1 = json!({"OPTIONS": null});
    let http2 = json!({"OPTIONS/explicit_http_config": {"http2_protocol_options": {}}});
    let downstream = json!({
        "OPTIONS/explicit_http_config": null,
        "OPTIONS/use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
    });
    let upgrade = |h2_upgrade| ConnectionPool {
        h2_upgrade,
        ..ConnectionPool::default()
    };
    // (protocol, router, the mesh upgrades, the rule's word on upgrades, what is spoken).
    for (protocol, router, mesh_upgrades, by_rule, want) in [
        (Protocol::Http, false, false, None, &http1),
        (Protocol::Http2, false, false, None, &http2),
        (Protocol::Grpc, true, false, None, &http2),
        (Protocol::GrpcWeb, false, false, Some(false), &http2),
        (Protocol::Tcp, false, true, None, &http1),
        (Protocol::Unsupported, false, true, None, &downstream),
        (Protocol::Unsupported, true, false, None, &http1),
        (Protocol::Unsupported, true, false, Some(true), &http2),
        (Protocol::Http, false, true, None, &http2),
        (Protocol::Http, false, true, Some(false), &http1),
        (Protocol::Http, false, false, Some(true), &http2),
        (Protocol::Tcp, false, false, Some(true), &http2),
    ] {
        let mesh = Mesh {
            h2_upgrade: mesh_upgrades,
            ..Mesh::default()
        };
        let cluster = json_of_outbound(OutboundCluster {
            mesh: Shared::new(mesh),
            facet: ClusterFacet { router, ..facet() },
            ..with_pool(protocol, upgrade(by_rule))
        });
        let name = format!("{protocol:?} {router} {mesh_upgrades} {by_rule:?}");
        check(&name, &cluster, want);
    }
}

#[test]
fn the_case_of_headers_is_kept() {
    let formatter = "OPTIONS/explicit_http_config/http_protocol_options/header_key_format/stateful_formatter/name";
    let sniffed = "OPTIONS/use_downstream_protocol_config/http_protocol_options/header_key_format/stateful_formatter/name";
    for (protocol, place, want) in [
        (Protocol::Http, formatter, json!("preserve_case")),
        (Protocol::Unsupported, sniffed, json!("preserve_case")),
        (Protocol::Http2, formatter, Value::Null),
        (Protocol::Tcp, "OPTIONS", Value::Null),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            facet: ClusterFacet {
                preserve_case: true,
                ..facet()
            },
            ..outbound(protocol, None)
        });
        check(&format!("{protocol:?}"), &cluster, &json!({place: want}));
    }
}

#[test]
fn outlier_detection() {
    let settings = OutlierDetection::default;
    for (name, settings, want) in [
        (
            "never by success rate, and no panic",
            settings(),
            json!({
                "/outlier_detection": {"enforcing_success_rate": 0},
                "OPTIONS": null,
                "/common_lb_config": {"healthy_panic_threshold": {}},
            }),
        ),
        (
            "by counts",
            OutlierDetection {
                consecutive_5xx_errors: Some(5),
                consecutive_gateway_errors: Some(6),
                interval: seconds(7),
                base_ejection_time: seconds(8),
                max_ejection_percent: 9,
                min_health_percent: 10,
                ..settings()
            },
            json!({
                "/outlier_detection": {
                    "enforcing_success_rate": 0,
                    "consecutive_5xx": 5, "enforcing_consecutive_5xx": 100,
                    "consecutive_gateway_failure": 6, "enforcing_consecutive_gateway_failure": 100,
                    "interval": "7s", "base_ejection_time": "8s", "max_ejection_percent": 9,
                },
                "/common_lb_config/healthy_panic_threshold": {"value": 10.0},
            }),
        ),
        (
            "0 turns a count off",
            OutlierDetection {
                consecutive_5xx_errors: Some(0),
                consecutive_gateway_errors: Some(0),
                ..settings()
            },
            json!({
                "/outlier_detection": {
                    "enforcing_success_rate": 0,
                    "consecutive_5xx": 0, "enforcing_consecutive_5xx": 0,
                    "consecutive_gateway_failure": 0, "enforcing_consecutive_gateway_failure": 0,
                },
            }),
        ),
        (
            "local errors apart",
            OutlierDetection {
                split_external_local_origin_errors: true,
                consecutive_local_origin_failures: Some(3),
                ..settings()
            },
            json!({
                "/outlier_detection": {
                    "enforcing_success_rate": 0,
                    "split_external_local_origin_errors": true,
                    "consecutive_local_origin_failure": 3,
                    "enforcing_consecutive_local_origin_failure": 100,
                    "enforcing_local_origin_success_rate": 0,
                },
            }),
        ),
        (
            "local errors without a count",
            OutlierDetection {
                split_external_local_origin_errors: true,
                consecutive_local_origin_failures: Some(0),
                ..settings()
            },
            json!({
                "/outlier_detection": {
                    "enforcing_success_rate": 0,
                    "split_external_local_origin_errors": true,
                    "enforcing_local_origin_success_rate": 0,
                },
            }),
        ),
    ] {
        let policy = for_all_ports(PortPolicy {
            outlier_detection: Some(settings),
            ..PortPolicy::default()
        });
        let cluster = json_of_outbound(outbound(Protocol::Http, Some(policy)));
        check(name, &cluster, &want);
    }
}

fn balanced(load_balancer: LoadBalancer) -> OutboundCluster {
    let policy = for_all_ports(PortPolicy {
        load_balancer: Some(load_balancer),
        ..PortPolicy::default()
    });
    outbound(Protocol::Http, Some(policy))
}

#[test]
fn load_balancers() {
    let hash = |ring| {
        Algorithm::ConsistentHash(ConsistentHash {
            key: HashKey::SourceIp,
            ring,
        })
    };
    let warmup = Warmup {
        duration: Duration::from_secs(30),
        minimum_percent_millis: Some(12_500),
        aggression_millis: Some(1_500),
    };
    let slow_start = json!({
        "slow_start_window": "30s",
        "aggression": {"default_value": 1.5, "runtime_key": "("},
        "min_weight_percent": {"value": 12.5},
    });
    let nothing = Value::Null;
    for (algorithm, warmup, policy, field, config) in [
        (
            None,
            None,
            json!("LEAST_REQUEST"),
            "least_request_lb_config",
            nothing.clone(),
        ),
        (
            Some(Algorithm::LeastRequest),
            None,
            json!("LEAST_REQUEST"),
            "least_request_lb_config",
            nothing.clone(),
        ),
        (
            None,
            Some(&warmup),
            json!("LEAST_REQUEST"),
            "least_request_lb_config",
            json!({"slow_start_config": slow_start}),
        ),
        // ROUND_ROBIN is the default of the field, which JSON leaves out.
        (
            Some(Algorithm::RoundRobin),
            None,
            nothing.clone(),
            "round_robin_lb_config",
            nothing.clone(),
        ),
        (
            Some(Algorithm::RoundRobin),
            Some(&warmup),
            nothing.clone(),
            "round_robin_lb_config",
            json!({"slow_start_config": slow_start}),
        ),
        (
            Some(Algorithm::Random),
            Some(&warmup),
            json!("RANDOM"),
            "round_robin_lb_config",
            nothing.clone(),
        ),
        (
            Some(hash(Ring::RingHash(None))),
            None,
            json!("RING_HASH"),
            "ring_hash_lb_config",
            nothing.clone(),
        ),
        (
            Some(hash(Ring::RingHash(Some(0)))),
            None,
            json!("RING_HASH"),
            "ring_hash_lb_config",
            nothing.clone(),
        ),
        (
            Some(hash(Ring::RingHash(Some(1024)))),
            None,
            json!("RING_HASH"),
            "ring_hash_lb_config",
            json!({"minimum_ring_size": "1024"}),
        ),
        (
            Some(hash(Ring::Maglev(None))),
            None,
            json!("MAGLEV"),
            "maglev_lb_config",
            nothing.clone(),
        ),
        (
            Some(hash(Ring::Maglev(Some(65_537)))),
            None,
            json!("MAGLEV"),
            "maglev_lb_config",
            json!({"table_size": "65537"}),
        ),
    ] {
        let name = format!("{algorithm:?}");
        let cluster = json_of_outbound(balanced(LoadBalancer {
            algorithm,
            locality: None,
            warmup: warmup.cloned(),
        }));
        let place = format!("/{field}");
        check(
            &name,
            &cluster,
            &json!({"/lb_policy": policy, place: config, "/type": "EDS"}),
        );
    }
}

#[test]
fn passthrough_sends_to_the_original_destination() {
    let passthrough = || {
        balanced(LoadBalancer {
            algorithm: Some(Algorithm::Passthrough),
            ..LoadBalancer::default()
        })
    };
    let endpoints = meltemi_model::workload::EndpointSet {
        ports: vec![(
            "p80".into(),
            vec![Shared::new(meltemi_model::testing::endpoint("b.com", 80))],
        )],
    };
    let dns = Service {
        resolution: Resolution::Dns,
        ..service("b.com", &[(80, Protocol::Http)])
    };
    for (name, input) in [
        ("EDS", passthrough()),
        (
            "DNS",
            OutboundCluster {
                service: Shared::new(dns),
                endpoints: Some(Shared::new(endpoints)),
                ..passthrough()
            },
        ),
    ] {
        let want = json!({
            "/type": "ORIGINAL_DST", "/lb_policy": "CLUSTER_PROVIDED",
            "/eds_cluster_config": null, "/load_assignment": null,
        });
        check(name, &json_of_outbound(input), &want);
    }
}

#[test]
fn localities_are_weighed_where_settings_need_it() {
    let weighed = json!({"locality_weighted_lb_config": {}, "healthy_panic_threshold": {}});
    let plain = json!({"healthy_panic_threshold": {}});
    let distribute = LocalityLb {
        distribute: vec![("*".into(), vec![("*".into(), 100)])],
        ..LocalityLb::default()
    };
    for (locality, want) in [(None, plain), (Some(distribute), weighed)] {
        let cluster = json_of_outbound(balanced(LoadBalancer {
            locality,
            ..LoadBalancer::default()
        }));
        check("locality", &cluster, &json!({"/common_lb_config": want}));
    }
}

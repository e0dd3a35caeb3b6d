//! Clusters to the workload itself, and those that every sidecar has.

use std::time::Duration;

use meltemi_model::traffic::PortPolicy;

use super::*;

fn inbound(services: Vec<Service>) -> InboundCluster {
    let port = |s: Service| (Shared::new(s.clone()), s.ports[0].clone());
    InboundCluster {
        port: 8080,
        address: None,
        services: services.into_iter().map(port).collect(),
        rule: None,
        pool: None,
        mesh: Shared::default(),
        facet: facet(),
    }
}

fn json_of_inbound(input: InboundCluster) -> Value {
    json_of(&ClusterInput::Inbound(input))
}

fn max_connections(max_connections: i32) -> ConnectionPool {
    ConnectionPool {
        max_connections,
        ..ConnectionPool::default()
    }
}

#[test]
fn where_it_connects_to() {
    let socket = |ip: &str, port| Some(InboundAddress::Socket(ip.into(), port));
    let exempt = |address: &str| json!({"source_address": {"address": address, "port_value": 0}});
    let at = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
    for (name, address, ip_mode, want) in [
        (
            "the original destination",
            None,
            IpMode::V4,
            json!({
                "/type": "ORIGINAL_DST", "/lb_policy": "CLUSTER_PROVIDED", "/cleanup_interval": "9223372035s",
                "/load_assignment": null, "/upstream_bind_config": exempt("127.0.0.6"),
            }),
        ),
        (
            "the same with IPv6",
            None,
            IpMode::V6,
            json!({"/upstream_bind_config": exempt("::6")}),
        ),
        (
            "the same with both",
            None,
            IpMode::Dual,
            json!({"/upstream_bind_config": exempt("127.0.0.6")}),
        ),
        (
            "the local host needs no exempted source",
            socket("127.0.0.1", 9000),
            IpMode::V4,
            json!({
                "/type": "STATIC", "/lb_policy": null, "/cleanup_interval": null,
                "/load_assignment/cluster_name": "inbound|8080||",
                at: {"socket_address": {"address": "127.0.0.1", "port_value": 9000}},
                "/upstream_bind_config": null,
            }),
        ),
        (
            "nor with IPv6",
            socket("::1", 9000),
            IpMode::V6,
            json!({"/upstream_bind_config": null}),
        ),
        (
            "the workload's own address",
            socket("10.0.0.1", 9000),
            IpMode::V4,
            json!({
                at: {"socket_address": {"address": "10.0.0.1", "port_value": 9000}},
                "/upstream_bind_config": exempt("127.0.0.6"),
            }),
        ),
        (
            "a UNIX socket",
            Some(InboundAddress::Pipe("/run/a.sock".into())),
            IpMode::V4,
            json!({at: {"pipe": {"path": "/run/a.sock"}}}),
        ),
    ] {
        let cluster = json_of_inbound(InboundCluster {
            address,
            facet: ClusterFacet { ip_mode, ..facet() },
            ..inbound(vec![service("a", &[(80, Protocol::Http)])])
        });
        check(name, &cluster, &want);
    }
}

#[test]
fn both_families_are_exempted_only_where_both_are_served() {
    for (ip_mode, dual_stack, want) in [
        (IpMode::Dual, false, json!(null)),
        (
            IpMode::Dual,
            true,
            json!([{"address": {"address": "::6", "port_value": 0}}]),
        ),
        (IpMode::V4, true, json!(null)),
        (IpMode::V6, true, json!(null)),
    ] {
        let cluster = json_of_inbound(InboundCluster {
            mesh: Shared::new(Mesh {
                dual_stack,
                ..Mesh::default()
            }),
            facet: ClusterFacet { ip_mode, ..facet() },
            ..inbound(vec![service("a", &[(80, Protocol::Http)])])
        });
        let fields = json!({"/upstream_bind_config/extra_source_addresses": want});
        check(&format!("{ip_mode:?} {dual_stack}"), &cluster, &fields);
    }
}

#[test]
fn an_inbound_cluster_has_no_tls_balancing_or_ejection_of_its_own() {
    let policy = for_all_ports(PortPolicy {
        tls: Some(meltemi_model::traffic::ClientTls {
            mode: meltemi_model::traffic::TlsMode::IstioMutual,
            ..Default::default()
        }),
        outlier_detection: Some(Default::default()),
        ..PortPolicy::default()
    });
    let cluster = json_of_inbound(InboundCluster {
        rule: Some(rule(Some(policy), Vec::new())),
        ..inbound(vec![service("a", &[(80, Protocol::Http)])])
    });
    let want = json!({
        "/name": "inbound|8080||", "/alt_stat_name": "inbound|8080||;", "/filters": null,
        "/transport_socket": null, "/transport_socket_matches": null, "/outlier_detection": null,
        "/metadata/filter_metadata/istio/config":
            "/apis/networking.istio.io/v1/namespaces/default/destination-rule/a",
    });
    check("inbound", &cluster, &want);
}

#[test]
fn whose_pool_holds() {
    let pool = |n| PortPolicy {
        connection_pool: Some(max_connections(n)),
        ..PortPolicy::default()
    };
    let by_host = || {
        let ports = vec![(81, pool(2))];
        Some(rule(
            Some(TrafficPolicy {
                ports,
                ..for_all_ports(pool(1))
            }),
            Vec::new(),
        ))
    };
    let mesh = Mesh {
        default_connection_pool: Some(max_connections(9)),
        ..Mesh::default()
    };
    let mesh = Shared::new(mesh);
    // (name, service port, rule, the Sidecar's pool, mesh, limit).
    for (name, port, rule, own, mesh, want) in [
        ("nobody's", 80, None, None, Shared::default(), u32::MAX),
        ("the mesh's", 80, None, None, mesh.clone(), 9),
        ("the rule's", 80, by_host(), None, mesh.clone(), 1),
        (
            "the rule's for the service port",
            81,
            by_host(),
            None,
            mesh.clone(),
            2,
        ),
        (
            "the Sidecar's",
            80,
            by_host(),
            Some(max_connections(3)),
            mesh,
            3,
        ),
    ] {
        let cluster = json_of_inbound(InboundCluster {
            rule,
            pool: own,
            mesh,
            ..inbound(vec![service("a", &[(port, Protocol::Http)])])
        });
        let place = "/circuit_breakers/thresholds/0/max_connections";
        check(name, &cluster, &json!({place: want}));
    }
}

#[test]
fn the_first_service_decides_protocol_and_name_and_all_at_its_port_are_told() {
    let grpc = service("a", &[(80, Protocol::Grpc)]);
    let same_port = service("b", &[(80, Protocol::Http)]);
    let other_port = service("c", &[(81, Protocol::Http)]);
    let mesh = Mesh {
        inbound_stat_name: "%SERVICE%_%TARGET_PORT%".into(),
        ..Mesh::default()
    };
    let cluster = json_of_inbound(InboundCluster {
        mesh: Shared::new(mesh),
        ..inbound(vec![grpc, same_port, other_port])
    });
    let of = |name: &str| json!({"host": format!("{name}.default.svc.cluster.local"), "name": name, "namespace": "default"});
    let want = json!({
        "/alt_stat_name": "a.default_8080;",
        "OPTIONS/explicit_http_config": {"http2_protocol_options": {}},
        "/metadata/filter_metadata/istio/services": [of("a"), of("b")],
    });
    check("services", &cluster, &want);
}

#[test]
fn an_external_service_is_kept_out_of_telemetry() {
    let cluster = json_of_inbound(inbound(vec![service("b.com", &[(80, Protocol::Http)])]));
    check("external", &cluster, &json!({"/metadata": null}));
}

#[test]
fn a_setting_that_needs_options_makes_them() {
    let pool = ConnectionPool {
        http_idle_timeout: Some(Duration::from_secs(5)),
        ..ConnectionPool::default()
    };
    let cluster = json_of_inbound(InboundCluster {
        pool: Some(pool),
        ..inbound(vec![service("a", &[(80, Protocol::Tcp)])])
    });
    let want = json!({"OPTIONS/common_http_protocol_options/idle_timeout": "5s"});
    check("idle timeout", &cluster, &want);
}

#[test]
fn the_fixed_clusters() {
    let limited = Mesh {
        connect_timeout: Duration::from_secs(3),
        default_connection_pool: Some(ConnectionPool {
            http_idle_timeout: Some(Duration::from_secs(7)),
            ..max_connections(5)
        }),
        ..Mesh::default()
    };
    let dual = ClusterFacet {
        ip_mode: IpMode::Dual,
        ..facet()
    };
    let mesh = Shared::new(limited);
    let limit = "/circuit_breakers/thresholds/0/max_connections";
    let idle = "OPTIONS/common_http_protocol_options/idle_timeout";
    for (input, want) in [
        (
            ClusterInput::BlackHole(mesh.clone()),
            json!({
                "": {"name": "BlackHoleCluster", "alt_stat_name": "BlackHoleCluster;", "type": "STATIC", "connect_timeout": "3s"},
            }),
        ),
        (
            ClusterInput::Passthrough(Shared::default(), facet()),
            json!({
                "/name": "PassthroughCluster", "/alt_stat_name": "PassthroughCluster;",
                "/type": "ORIGINAL_DST", "/lb_policy": "CLUSTER_PROVIDED", "/connect_timeout": "10s",
                limit: u32::MAX, idle: "300s",
                "OPTIONS/use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
                "/filters/0/name": "istio.metadata_exchange", "/upstream_bind_config": null,
            }),
        ),
        (
            ClusterInput::Passthrough(mesh.clone(), facet()),
            json!({"/connect_timeout": "3s", limit: 5, idle: "7s"}),
        ),
        (
            ClusterInput::InboundPassthrough(mesh, dual),
            json!({
                "/name": "InboundPassthroughCluster", "/alt_stat_name": "PassthroughCluster;",
                "/filters": null,
                "/upstream_bind_config": {
                    "source_address": {"address": "127.0.0.6", "port_value": 0},
                    "extra_source_addresses": [{"address": {"address": "::6", "port_value": 0}}],
                },
            }),
        ),
    ] {
        let name = input.build().name;
        check(&name, &json_of(&input), &want);
    }
}

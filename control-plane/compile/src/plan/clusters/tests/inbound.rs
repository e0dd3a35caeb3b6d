use super::*;

/// A service that selects the pods of app `a`, at port 80, and sends to this port.
fn serving(name: &str, target: u16, created: i64) -> Object {
    let mut service = kube_service("default", name, HTTP);
    service.selector = labels("app=a");
    service.ports[0].target = TargetPort::Number(target);
    service.meta.created = created;
    service.into()
}

fn a_1() -> Object {
    pod("default", "a-1", "10.0.0.1").into()
}

fn inbound_of(planned: Clusters) -> Vec<InboundCluster> {
    let only = |input| match input {
        ClusterInput::Inbound(cluster) => Some(cluster),
        ClusterInput::Outbound(_)
        | ClusterInput::BlackHole(_)
        | ClusterInput::Passthrough(..)
        | ClusterInput::Dynamic(..)
        | ClusterInput::AnyDynamicDns(..)
        | ClusterInput::InboundPassthrough(..)
        | ClusterInput::ExternalSds(_) => None,
    };
    planned.clusters.into_iter().filter_map(only).collect()
}

/// `port: services` of each.
fn shown(clusters: &[InboundCluster]) -> Vec<String> {
    clusters
        .iter()
        .map(|c| {
            let names: Vec<_> = c.services.iter().map(|(s, _)| &*s.name).collect();
            format!("{}: {}", c.port, names.join(" "))
        })
        .collect()
}

fn listening(port: u16, default_endpoint: &str) -> IngressListener {
    IngressListener {
        port,
        protocol: Protocol::Http,
        port_name: "http".into(),
        bind: "".into(),
        capture_mode: CaptureMode::Default,
        default_endpoint: default_endpoint.into(),
        tls: None,
        connection_pool: None,
    }
}

fn with_ingress(ingress: Vec<IngressListener>) -> Sidecar {
    Sidecar {
        ingress,
        ..sidecar("default", "sc", &["*/*"])
    }
}

#[test]
fn one_cluster_for_each_port_at_which_the_workload_serves() {
    let objects = [
        serving("young", 8080, 9),
        serving("old", 8080, 1),
        serving("other", 7070, 5),
        a_1(),
    ];
    let world = world(objects);
    let class = class_of_a(&world);
    let found = inbound_of(planned(&world, &class));
    assert_eq!(shown(&found), ["7070: other", "8080: old young"]);
    assert!(found.iter().all(|c| c.address.is_none()));
    let unredirected = ProxyClass {
        interception: InterceptionMode::None,
        ..class
    };
    assert_eq!(shown(&inbound_of(planned(&world, &unredirected))), [""; 0]);
}

#[test]
fn the_mesh_may_send_to_the_local_host() {
    let mesh = meltemi_model::mesh::Mesh {
        inbound_localhost: true,
        ..Default::default()
    };
    let world = world([serving("a", 8080, 0), a_1(), mesh.into()]);
    for (ip_mode, want) in [
        (IpMode::V4, "127.0.0.1"),
        (IpMode::V6, "::1"),
        (IpMode::Dual, "127.0.0.1"),
    ] {
        let class = ProxyClass {
            ip_mode,
            ..class_of_a(&world)
        };
        let found = inbound_of(planned(&world, &class)).remove(0);
        assert_eq!(
            found.address,
            Some(InboundAddress::Socket(want.into(), 8080))
        );
    }
}

#[test]
fn ingress_listeners_replace_the_ports_of_services() {
    let ingress = vec![listening(8080, ""), listening(9999, "127.0.0.1:1")];
    let world = world([
        serving("a", 8080, 0),
        serving("b", 7070, 0),
        a_1(),
        with_ingress(ingress).into(),
    ]);
    let found = inbound_of(in_sidecar(&world));
    assert_eq!(shown(&found), ["8080: a", "9999: sc"]);
    assert!(
        found[1].services[0].0.mesh_external,
        "kept out of telemetry"
    );
}

#[test]
fn a_flag_keeps_the_services_beside_ingress_listeners() {
    let mesh = meltemi_model::mesh::Mesh {
        merge_inbound: true,
        ..Default::default()
    };
    let world = world([
        serving("a", 8080, 0),
        serving("b", 7070, 0),
        a_1(),
        with_ingress(vec![listening(8080, "")]).into(),
        mesh.into(),
    ]);
    assert_eq!(
        shown(&inbound_of(in_sidecar(&world))),
        ["8080: a", "7070: b"]
    );
}

#[test]
fn the_family_of_what_an_ingress_listener_forwards_to() {
    // (addresses, endpoint, want).
    for (ips, endpoint, want) in [
        ("10.0.0.1", "[::1]:1", "127.0.0.1"),
        ("fd00::1", "127.0.0.1:1", "::1"),
        ("fd00::1", "0.0.0.0:1", "127.0.0.1"),
        ("fd00::1", "[::]:1", "fd00::1"),
        ("10.0.0.1,fd00::1", "127.0.0.1:1", "127.0.0.1"),
        ("10.0.0.1,fd00::1", "[::1]:1", "::1"),
        ("10.0.0.1,fd00::1", "[::]:1", "fd00::1"),
        ("fd00::1,10.0.0.1", "0.0.0.0:1", "10.0.0.1"),
    ] {
        let world = world([a_1(), with_ingress(vec![listening(80, endpoint)]).into()]);
        let proxy =
            crate::fixtures::sidecar("a-1", "10.0.0.1", &serde_json::json!({"INSTANCE_IPS": ips}));
        let class = crate::classify(&world, &proxy, None);
        let found = inbound_of(planned(&world, &class)).remove(0).address;
        let want = InboundAddress::Socket(want.into(), 1);
        assert_eq!(found, Some(want), "{ips} {endpoint}");
    }
}

#[test]
fn where_an_ingress_listener_forwards_to() {
    let socket = |ip: &str, port| Some(Some(InboundAddress::Socket(ip.into(), port)));
    for (endpoint, want) in [
        ("", Some(None)),
        ("127.0.0.1:8080", socket("127.0.0.1", 8080)),
        ("[::1]:8080", socket("127.0.0.1", 8080)),
        ("0.0.0.0:8080", socket("10.0.0.1", 8080)),
        ("[::]:8080", socket("::1", 8080)),
        (
            "unix:///run/a.sock",
            Some(Some(InboundAddress::Pipe("/run/a.sock".into()))),
        ),
        ("10.9.9.9:8080", None),
        ("127.0.0.1", None),
        ("127.0.0.1:many", None),
    ] {
        let world = world([a_1(), with_ingress(vec![listening(80, endpoint)]).into()]);
        let found = inbound_of(in_sidecar(&world));
        let found = found.first().map(|c| c.address.clone());
        assert_eq!(found, want, "{endpoint:?}");
    }
}

#[test]
fn whose_pool_holds() {
    let pool = |max_connections| {
        Some(ConnectionPool {
            max_connections,
            ..ConnectionPool::default()
        })
    };
    let own = || IngressListener {
        connection_pool: pool(1),
        ..listening(80, "")
    };
    for (ingress, of_sidecar, want) in [
        (vec![own()], pool(2), pool(1)),
        (vec![listening(80, "")], pool(2), pool(2)),
        (vec![], pool(2), pool(2)),
        (vec![own()], None, pool(1)),
        (vec![], None, None),
    ] {
        let sidecar = Sidecar {
            inbound_connection_pool: of_sidecar,
            ..with_ingress(ingress)
        };
        let world = world([serving("a", 8080, 0), a_1(), sidecar.into()]);
        assert_eq!(inbound_of(in_sidecar(&world)).remove(0).pool, want);
    }
}

#[test]
fn the_rule_is_that_of_the_first_service_without_workload_selectors() {
    let rule = |name: &str, selector: Option<&str>| DestinationRule {
        workload_selector: selector.map(labels),
        ..destination_rule("default", name, "a.default.svc.cluster.local")
    };
    for (rule, want) in [
        (rule("plain", None), Some("plain")),
        (rule("chosen", Some("app=a")), None),
    ] {
        let world = world([serving("a", 8080, 0), a_1(), rule.into()]);
        let found = inbound_of(in_sidecar(&world)).remove(0).rule;
        let name = found.as_ref().map(|r| &*r.from[0].name);
        assert_eq!(name, want);
    }
}

use super::*;

fn passthrough() -> DestinationRule {
    with_policy(PortPolicy {
        load_balancer: Some(LoadBalancer {
            algorithm: Some(Algorithm::Passthrough),
            ..LoadBalancer::default()
        }),
        ..PortPolicy::default()
    })
}

fn with_subsets() -> DestinationRule {
    DestinationRule {
        subsets: vec![
            subset("v1", "version=v1", None),
            subset("v2", "version=v2", None),
        ],
        ..destination_rule("default", "dr", "a.default.svc.cluster.local")
    }
}

fn resolved(resolution: Resolution, addresses: &[&str]) -> ServiceEntry {
    ServiceEntry {
        resolution,
        endpoints: addresses.iter().map(|a| workload(a)).collect(),
        ..service_entry("default", "b.com", HTTP)
    }
}

#[test]
fn which_clusters_and_which_of_them_ask_for_endpoints() {
    let a = || kube_service("default", "a", HTTP);
    let two = kube_service("default", "a", &[(80, Protocol::Http), (81, Protocol::Tcp)]);
    let headless = || KubeService {
        headless: true,
        ..a()
    };
    let alias = KubeService {
        external_name: Some(Hostname::new("b.com")),
        ..a()
    };
    let one = vec!["outbound|80||a.default"];
    let three = vec![
        "outbound|80||a.default",
        "outbound|80|v1|a.default",
        "outbound|80|v2|a.default",
    ];
    let b = vec!["outbound|80||b.com"];
    let both = vec!["outbound|80||a.default", "outbound|81||a.default"];
    use Resolution::{ClientSideLb, Dns, DnsRoundRobin, DynamicDns, Passthrough};
    let entry =
        |resolution, addresses: &[&str]| vec![Object::from(resolved(resolution, addresses))];
    // (name, objects, clusters, a sidecar's endpoint resources, a gateway's).
    for (name, objects, clusters, of_sidecar, of_gateway) in [
        (
            "a service",
            vec![a().into()],
            one.clone(),
            one.clone(),
            one.clone(),
        ),
        (
            "two ports",
            vec![two.into()],
            both.clone(),
            both.clone(),
            both,
        ),
        (
            "subsets",
            vec![a().into(), with_subsets().into()],
            three.clone(),
            three.clone(),
            three,
        ),
        (
            "headless",
            vec![headless().into()],
            one.clone(),
            vec![],
            one.clone(),
        ),
        ("an alias", vec![alias.into()], vec![], vec![], vec![]),
        (
            "a rule's passthrough",
            vec![a().into(), passthrough().into()],
            one.clone(),
            vec![],
            vec![],
        ),
        (
            "addresses",
            entry(ClientSideLb, &["10.0.1.1"]),
            b.clone(),
            b.clone(),
            b.clone(),
        ),
        (
            "no addresses",
            entry(ClientSideLb, &[]),
            b.clone(),
            b.clone(),
            b.clone(),
        ),
        ("DNS", entry(Dns, &["c.com"]), b.clone(), vec![], vec![]),
        (
            "DNS, one address",
            entry(DnsRoundRobin, &[]),
            b.clone(),
            vec![],
            vec![],
        ),
        (
            "no resolution",
            entry(Passthrough, &[]),
            b.clone(),
            vec![],
            b,
        ),
        (
            "dynamic DNS",
            entry(DynamicDns, &[]),
            vec![],
            vec![],
            vec![],
        ),
    ] {
        let world = world(objects);
        let sidecar = in_sidecar(&world);
        let gateway = planned(&world, &router());
        assert_eq!(cluster_names(&sidecar), clusters, "{name}");
        assert_eq!(cluster_names(&gateway), clusters, "{name}, gateway");
        assert_eq!(endpoint_names(&sidecar), of_sidecar, "{name}");
        assert_eq!(endpoint_names(&gateway), of_gateway, "{name}, gateway");
    }
}

#[test]
fn a_flag_has_sidecars_balance_over_headless_services() {
    let headless = || KubeService {
        headless: true,
        cluster_ips: Vec::new(),
        ..kube_service("default", "a", HTTP)
    };
    let entry = || resolved(Resolution::Passthrough, &["10.0.0.9"]);
    let asked = |headless_endpoints: bool, object: Object| {
        let mesh = Mesh {
            headless_endpoints,
            ..Mesh::default()
        };
        endpoint_names(&in_sidecar(&world([mesh.into(), object])))
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(asked(false, headless().into()), none);
    assert_eq!(asked(true, headless().into()), ["outbound|80||a.default"]);
    assert_eq!(asked(true, entry().into()), none, "Services only");
}

#[test]
fn a_dns_cluster_without_a_name_to_resolve_is_left_out() {
    let selecting = ServiceEntry {
        workload_selector: Some(labels("app=nobody")),
        ..resolved(Resolution::Dns, &[])
    };
    let world = world([selecting.into()]);
    assert_eq!(cluster_names(&in_sidecar(&world)), [""; 0]);
}

#[test]
fn the_fixed_clusters() {
    let world = world([]);
    let names = |planned: Clusters| {
        planned
            .clusters
            .iter()
            .map(|c| c.build().name)
            .collect::<Vec<_>>()
    };
    let sidecar = [
        "BlackHoleCluster",
        "PassthroughCluster",
        "InboundPassthroughCluster",
    ]
    .map(Str::from);
    assert_eq!(names(in_sidecar(&world)), sidecar);
    assert_eq!(
        names(planned(&world, &router())),
        [Str::from("BlackHoleCluster")]
    );
}

#[test]
fn a_gateway_that_forwards_by_sni_has_clusters_of_such_names() {
    let a = || Object::from(kube_service("default", "a", HTTP));
    let external = resolved(Resolution::ClientSideLb, &["10.0.1.1"]);
    let gateway = sni_gateway(ServerTlsMode::AutoPassthrough);
    let world = world([a(), with_subsets().into(), external.into(), gateway.into()]);
    let planned = planned(&world, &router());
    let names: Vec<_> = cluster_names(&planned)
        .into_iter()
        .filter(|n| n.starts_with("outbound_"))
        .collect();
    let want = [
        "outbound_.80_._.a.default",
        "outbound_.80_.v1_.a.default",
        "outbound_.80_.v2_.a.default",
    ];
    assert_eq!(names, want);
    for endpoints in &planned.endpoints {
        let by_sni = endpoints.cluster.starts_with("outbound_");
        assert_eq!(endpoints.choice.only_mtls, by_sni, "{}", endpoints.cluster);
    }
}

fn sni_gateway(mode: ServerTlsMode) -> Gateway {
    let server = Server {
        port: 443,
        port_name: "tls".into(),
        protocol: Protocol::Tls,
        bind: "".into(),
        hosts: Vec::new(),
        tls: Some(server_tls(mode)),
        name: "".into(),
    };
    gateway("default", "g", vec![server])
}

#[test]
fn a_gateway_has_the_clusters_of_its_routes_only_where_a_flag_says_so() {
    let to = |host: &str| {
        http_route(HttpAction::Forward(vec![HttpDestination {
            destination: destination(&format!("{host}.default.svc.cluster.local"), None),
            weight: 0,
            headers: HeaderOperations::default(),
        }]))
    };
    let bound = |name: &str, gateway: &str, http| VirtualService {
        gateways: vec![gateway.into()],
        http,
        ..virtual_service("default", name, "x.com")
    };
    let from_elsewhere = HttpRoute {
        matches: vec![HttpMatch {
            source_namespace: "other".into(),
            ..HttpMatch::default()
        }],
        ..to("c")
    };
    let clusters = |filter, scope, providers: &[&str]| {
        let mesh = Mesh {
            provider_services: providers.iter().map(|p| Str::from(*p)).collect(),
            filter_gateway_clusters: filter,
            scope_gateway_to_namespace: scope,
            ..Mesh::default()
        };
        let services = ["a", "b", "c", "d"].map(|n| Object::from(kube_service("default", n, HTTP)));
        let mirrored = HttpRoute {
            mirror: SingleMirror {
                to: Some(destination("b.default.svc.cluster.local", None)),
                ..SingleMirror::default()
            },
            ..to("a")
        };
        let rows = [
            mesh.into(),
            sni_gateway(ServerTlsMode::Passthrough).into(),
            bound("vs", "default/g", vec![mirrored, from_elsewhere.clone()]).into(),
            bound("mesh", "mesh", vec![to("d")]).into(),
        ];
        let world = world(services.into_iter().chain(rows));
        cluster_names(&planned(&world, &router())).join(" ")
    };
    let names = ["a", "b", "c", "d"].map(|n| format!("outbound|80||{n}.default"));
    assert_eq!(clusters(false, false, &[]), names.join(" "));
    assert_eq!(clusters(true, false, &[]), names[..3].join(" "));
    assert_eq!(clusters(true, true, &[]), names[..2].join(" "));
    // Providers of the mesh configuration.
    for (provider, all) in [
        ("d.default.svc.cluster.local", true),
        ("default/d.default.svc.cluster.local", true),
        ("other/d.default.svc.cluster.local", false),
    ] {
        let want = if all {
            names.join(" ")
        } else {
            names[..3].join(" ")
        };
        assert_eq!(clusters(true, false, &[provider]), want, "{provider}");
    }
}

/// The annotation `envoyfilter.istio.io/referenced-services`.
#[test]
fn a_gateway_keeps_the_clusters_that_envoy_filters_refer_to() {
    let clusters = |filtered, selector: &str, references: &[(Option<&str>, &str)]| {
        let host = |name: &str| Hostname::new(&format!("{name}.default.svc.cluster.local"));
        let filter = EnvoyFilter {
            meta: meta(Kind::EnvoyFilter, "default", "f"),
            selector: labels(selector),
            gateways: None,
            priority: 0,
            references: references
                .iter()
                .map(|(ns, name)| (ns.map(Into::into), host(name)))
                .collect(),
            patches: Vec::new(),
        };
        let mesh = Mesh {
            filter_gateway_clusters: filtered,
            ..Mesh::default()
        };
        let services = ["a", "b", "c"].map(|n| Object::from(kube_service("default", n, HTTP)));
        let rows = [mesh.into(), filter.into()];
        let world = world(services.into_iter().chain(rows));
        cluster_names(&planned(&world, &router())).join(" ")
    };
    let [a, b, c] = ["a", "b", "c"].map(|n| format!("outbound|80||{n}.default"));
    let none: &[_] = &[];
    for (what, selector, references, want) in [
        ("nothing is referred to", "", none, String::new()),
        ("by host", "", &[(None, "a")], a.clone()),
        (
            "several",
            "",
            &[(None, "a"), (None, "c")],
            format!("{a} {c}"),
        ),
        ("in its namespace", "", &[(Some("default"), "b")], b.clone()),
        (
            "in another namespace",
            "",
            &[(Some("other"), "b")],
            String::new(),
        ),
        ("nobody's host", "", &[(None, "gone")], String::new()),
        (
            "for other workloads",
            "app=other",
            &[(None, "a")],
            String::new(),
        ),
    ] {
        assert_eq!(clusters(true, selector, references), want, "{what}");
    }
    let all = format!("{a} {b} {c}");
    assert_eq!(clusters(false, "", &[(None, "a")]), all, "without the flag");
}

#[test]
fn which_endpoints_of_a_service() {
    let plain = Choice {
        port: "p80".into(),
        subset: Labels::default(),
        node: None,
        unhealthy: true,
        tls: None,
        names: false,
        only_mtls: false,
    };
    let ejecting = |min_health_percent| {
        with_policy(PortPolicy {
            outlier_detection: Some(OutlierDetection {
                min_health_percent,
                ..OutlierDetection::default()
            }),
            ..PortPolicy::default()
        })
    };
    let tls = with_policy(PortPolicy {
        tls: Some(ClientTls {
            mode: TlsMode::Simple,
            ..ClientTls::default()
        }),
        ..PortPolicy::default()
    });
    let a = || kube_service("default", "a", HTTP);
    let local = KubeService {
        internal_traffic_local: true,
        ..a()
    };
    let on_n1 = meltemi_model::workload::Pod {
        node: "n1".into(),
        ..pod("default", "a-1", "10.0.0.1")
    };
    let none = || destination_rule("other", "dr", "x.com");
    for (name, service, rule, want) in [
        ("all", a(), none(), plain.clone()),
        (
            "of the proxy's node",
            local,
            none(),
            Choice {
                node: Some("n1".into()),
                ..plain.clone()
            },
        ),
        (
            "as a rule's TLS says",
            a(),
            tls,
            Choice {
                tls: Some(TlsMode::Simple),
                ..plain.clone()
            },
        ),
        ("ejection without panic", a(), ejecting(0), plain.clone()),
        (
            "those that are not ready would panic into use",
            a(),
            ejecting(50),
            Choice {
                unhealthy: false,
                ..plain.clone()
            },
        ),
    ] {
        let world = world([service.into(), rule.into(), on_n1.clone().into()]);
        assert_eq!(in_sidecar(&world).endpoints[0].choice, want, "{name}");
    }
    let world = world([a().into(), with_subsets().into()]);
    let subsets: Vec<_> = in_sidecar(&world)
        .endpoints
        .into_iter()
        .map(|e| e.choice.subset)
        .collect();
    assert_eq!(
        subsets,
        [labels(""), labels("version=v1"), labels("version=v2")]
    );
}

#[test]
fn the_place_of_a_proxy_counts_only_where_it_shapes_something() {
    let ejects = Some(OutlierDetection::default());
    let near = || {
        with_policy(PortPolicy {
            outlier_detection: ejects.clone(),
            ..PortPolicy::default()
        })
    };
    let elsewhere = || {
        let distribute = vec![("r9".into(), vec![("*".into(), 100)])];
        with_policy(PortPolicy {
            load_balancer: Some(LoadBalancer {
                locality: Some(LocalityLb {
                    distribute,
                    ..LocalityLb::default()
                }),
                ..LoadBalancer::default()
            }),
            ..PortPolicy::default()
        })
    };
    let for_dns = |rule: DestinationRule| DestinationRule {
        host: Hostname::new("b.com"),
        ..rule
    };
    let dns = || Object::from(resolved(Resolution::Dns, &["c.com"]));
    let eds = || Object::from(kube_service("default", "a", HTTP));
    // (name, objects, whether classes at two places share endpoints, and clusters).
    for (name, objects, endpoints, clusters) in [
        ("EDS", vec![eds()], true, true),
        ("EDS, near first", vec![eds(), near().into()], false, true),
        (
            "EDS, shares from elsewhere",
            vec![eds(), elsewhere().into()],
            true,
            true,
        ),
        ("DNS", vec![dns()], true, true),
        (
            "DNS, near first",
            vec![dns(), for_dns(near()).into()],
            true,
            false,
        ),
    ] {
        let world = world(objects);
        let at = |place: &str| ProxyClass {
            locality: Locality::parse(place),
            ..class_of_a(&world)
        };
        let [here, there] = ["r1/z1", "r2/z1"].map(|place| planned(&world, &at(place)));
        assert_eq!(here.endpoints == there.endpoints, endpoints, "{name}");
        assert_eq!(here.clusters == there.clusters, clusters, "{name}");
    }
}

#[test]
fn whether_every_endpoint_takes_mutual_tls() {
    let with_tls = |name: &str, ip: &str, mtls: bool| {
        let mut pod = pod("default", name, ip);
        if mtls {
            let (key, value) = ("security.istio.io/tlsMode", "istio");
            pod.meta.labels.0.insert(key.into(), value.into());
        }
        Object::from(pod)
    };
    let headless = || {
        Object::from(KubeService {
            headless: true,
            ..kube_service("default", "a", HTTP)
        })
    };
    let balanced = || Object::from(kube_service("default", "a", HTTP));
    let yes = || with_tls("a-1", "10.0.0.1", true);
    let no = || with_tls("a-2", "10.0.0.2", false);
    for (name, objects, want) in [
        ("headless, all do", vec![headless(), yes()], true),
        (
            "headless, one does not",
            vec![headless(), yes(), no()],
            false,
        ),
        ("headless, there is none", vec![headless()], false),
        (
            "passthrough by rule",
            vec![balanced(), passthrough().into(), yes()],
            true,
        ),
        ("balanced: nobody asks", vec![balanced(), yes()], false),
    ] {
        let world = world(objects);
        let ClusterInput::Outbound(cluster) = &in_sidecar(&world).clusters[0] else {
            panic!("{name}");
        };
        assert_eq!(cluster.all_mtls, want, "{name}");
    }
}

#[test]
fn which_clusters_know_that_mutual_tls_is_disabled() {
    let policy = |namespace, selector, mode| {
        Object::from(peer_authentication(namespace, "p", selector, Some(mode)))
    };
    for (name, policies, want) in [
        ("no policy", vec![], false),
        (
            "strict",
            vec![policy("default", "", MtlsMode::Strict)],
            false,
        ),
        (
            "the namespace",
            vec![policy("default", "", MtlsMode::Disable)],
            true,
        ),
        (
            "another namespace",
            vec![policy("other", "", MtlsMode::Disable)],
            false,
        ),
        (
            "the mesh",
            vec![policy("istio-system", "", MtlsMode::Disable)],
            true,
        ),
        // A service has no labels of its own; its endpoints say which of them take none.
        (
            "a workload",
            vec![policy("default", "app=a", MtlsMode::Disable)],
            false,
        ),
    ] {
        let service = Object::from(kube_service("default", "a", HTTP));
        let world = world(policies.into_iter().chain([service]));
        let ClusterInput::Outbound(cluster) = &in_sidecar(&world).clusters[0] else {
            panic!("{name}");
        };
        assert_eq!(cluster.mtls_disabled, want, "{name}");
    }
}

#[test]
fn what_a_class_adds_to_clusters() {
    let world = world([kube_service("default", "a", HTTP).into()]);
    let base = class_of_a(&world);
    let of = |class: &ProxyClass| {
        let ClusterInput::Outbound(cluster) = planned(&world, class).clusters.remove(0) else {
            panic!("the first is a service's");
        };
        cluster.facet
    };
    let core = ProxyClass {
        capabilities: Capabilities::core(),
        has_identity: false,
        ip_mode: IpMode::Dual,
        ..base.clone()
    };
    let want = ClusterFacet {
        files: None,
        router: false,
        ip_mode: IpMode::V4,
        dns_family: meltemi_builders::listener::DnsFamily::V4,
        metadata_exchange: true,
        identity: true,
        preserve_case: false,
        credential_socket: false,
        file_credential_socket: false,
        place: None,
    };
    assert_eq!(of(&base), want);
    let want = ClusterFacet {
        ip_mode: IpMode::Dual,
        metadata_exchange: false,
        identity: false,
        ..want
    };
    assert_eq!(of(&core), want);
}

use super::*;

#[test]
fn services_without_virtual_services() {
    let scope = seen(
        vec![service("b", &[(80, HTTP), (81, HTTP), (82, Protocol::Tcp)])],
        Vec::new(),
    );
    let input = route(&scope, "80");
    assert_eq!(
        hosts(&input),
        ["b.default.svc.cluster.local:80 -> outbound|80||b.default.svc.cluster.local"]
    );
    assert_eq!(
        domains(&input, "b.default.svc.cluster.local:80"),
        [
            "b.default.svc.cluster.local",
            "b.default.svc.cluster.local.",
            "b",
            "b.default.svc",
            "b.default",
            "10.0.0.1"
        ]
    );
    assert_eq!(*input.virtual_hosts.last().unwrap().name, *"allow_any");
    assert_eq!(hosts(&route(&scope, "82")), [""; 0]);
    assert_eq!(sidecar_route(&scope, &class(ProxyKind::Sidecar), "x"), None);
}

#[test]
fn the_route_names_of_a_sidecar() {
    let mut headless = service("headless", &[(7, Protocol::Unsupported), (8, HTTP)]);
    headless.resolution = Resolution::Passthrough;
    headless.addresses.clear();
    let mut alias = service("alias", &[(9, HTTP)]);
    alias.resolution = Resolution::Alias;
    let scope = seen(
        vec![
            service(
                "a",
                &[(80, HTTP), (90, Protocol::Tcp), (70, Protocol::Unsupported)],
            ),
            service("e.com", &[(71, Protocol::Unsupported)]),
            headless,
            alias,
        ],
        Vec::new(),
    );
    let mut proxy = class(ProxyKind::Sidecar);
    let names = |class: &ProxyClass| -> Vec<String> {
        sidecar_route_names(&scope, class)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(
        names(&proxy),
        ["71", "8", "80", "a.default.svc.cluster.local:70"]
    );
    proxy.facet.http_proxy_port = 15002;
    assert!(names(&proxy).contains(&"http_proxy".to_owned()));
    let all: BTreeSet<Str> = sidecar_routes(&scope, &proxy)
        .into_iter()
        .map(|input| input.name)
        .collect();
    assert_eq!(all, sidecar_route_names(&scope, &proxy));
}

#[test]
fn a_sniffed_service_answers_to_every_name() {
    let ports = [(70, Protocol::Unsupported)];
    let scope = seen(
        vec![service("a", &ports), service("bb", &ports)],
        Vec::new(),
    );
    let input = route(&scope, "a.default.svc.cluster.local:70");
    assert_eq!(
        hosts(&input),
        ["a.default.svc.cluster.local:70 -> outbound|70||a.default.svc.cluster.local"]
    );
    assert_eq!(domains(&input, "a.default.svc.cluster.local:70"), ["*"]);
}

#[test]
fn virtual_services_replace_default_routes() {
    let services = || {
        vec![
            service("a", &[(80, HTTP)]),
            service("bb", &[(80, HTTP), (81, HTTP)]),
        ]
    };
    for (what, vs, port, want) in [
        (
            "the listener's port is the destination's",
            vec![virtual_service("x", "mesh", &["a"], "bb")],
            "80",
            vec!["a.default.svc.cluster.local:80 -> outbound|80||bb.default.svc.cluster.local"],
        ),
        (
            "a host outside of the registry is served at port 80",
            vec![virtual_service("x", "mesh", &["e.com"], "a")],
            "80",
            vec![
                "a.default.svc.cluster.local:80 -> outbound|80||a.default.svc.cluster.local",
                "e.com:80 -> outbound|80||a.default.svc.cluster.local",
            ],
        ),
        (
            "and nowhere else",
            vec![virtual_service("x", "mesh", &["e.com"], "a")],
            "81",
            vec!["bb.default.svc.cluster.local:81 -> outbound|81||bb.default.svc.cluster.local"],
        ),
        (
            "unless another host is served there",
            vec![virtual_service("x", "mesh", &["e.com", "bb"], "a")],
            "81",
            vec![
                "bb.default.svc.cluster.local:81 -> outbound|81||a.default.svc.cluster.local",
                "e.com:81 -> outbound|81||a.default.svc.cluster.local",
            ],
        ),
        (
            "the older one wins",
            vec![
                virtual_service("x", "mesh", &["a"], "1.com"),
                virtual_service("y", "mesh", &["a"], "2.com"),
            ],
            "80",
            vec!["a.default.svc.cluster.local:80 -> outbound|80||1.com"],
        ),
        (
            "the more specific one wins",
            vec![
                virtual_service("w", "mesh", &["*"], "w.com"),
                virtual_service("x", "mesh", &["*.default.svc.cluster.local"], "x.com"),
                virtual_service("y", "mesh", &["bb"], "y.com"),
            ],
            "80",
            vec![
                "a.default.svc.cluster.local:80 -> outbound|80||x.com",
                "bb.default.svc.cluster.local:80 -> outbound|80||y.com",
            ],
        ),
    ] {
        let got = hosts(&route(&seen(services(), vs), port));
        // The default route of the other service is of no interest.
        let is_other =
            |host: &String| host.ends_with("-> outbound|80||bb.default.svc.cluster.local");
        let got: Vec<_> = got
            .into_iter()
            .filter(|host| !(host.starts_with("bb.") && is_other(host)))
            .collect();
        assert_eq!(got, want, "{what}");
    }
}

#[test]
fn conditions_that_cannot_hold_are_left_out() {
    let prefix = |change: &dyn Fn(&mut HttpMatch)| {
        let mut out = HttpMatch {
            uri: Some(StringMatch::Prefix("/p".into())),
            ..HttpMatch::default()
        };
        change(&mut out);
        out
    };
    let labels = |value: &str| -> Labels { [("app", value)].into_iter().collect() };
    for (condition, kept) in [
        (prefix(&|_| ()), true),
        (prefix(&|m| m.port = 80), true),
        (prefix(&|m| m.port = 81), false),
        (prefix(&|m| m.source_labels = labels("client")), true),
        (prefix(&|m| m.source_labels = labels("other")), false),
        (prefix(&|m| m.source_namespace = "default".into()), true),
        (prefix(&|m| m.source_namespace = "other".into()), false),
        (prefix(&|m| m.gateways = vec!["mesh".into()]), true),
        (prefix(&|m| m.gateways = vec!["default/gw".into()]), false),
        // Named gateways make the labels of callers meaningless.
        (
            prefix(&|m| (m.gateways, m.source_labels) = (vec!["mesh".into()], labels("other"))),
            true,
        ),
    ] {
        let mut vs = virtual_service("x", "mesh", &["a"], "2.com");
        vs.http
            .insert(0, rule("1.com", None, vec![condition.clone()]));
        let got = hosts(&route(
            &seen(vec![service("a", &[(80, HTTP)])], vec![vs]),
            "80",
        ));
        let want = if kept {
            "outbound|80||1.com, outbound|80||2.com"
        } else {
            "outbound|80||2.com"
        };
        assert_eq!(
            got,
            [format!("a.default.svc.cluster.local:80 -> {want}")],
            "{condition:?}"
        );
    }
}

#[test]
fn nothing_follows_a_catch_all() {
    let mut vs = virtual_service("x", "mesh", &["a"], "3.com");
    let matches = vec![
        HttpMatch::default(),
        HttpMatch {
            port: 80,
            ..HttpMatch::default()
        },
    ];
    vs.http.insert(0, rule("1.com", Some(7), matches));
    let got = hosts(&route(
        &seen(vec![service("a", &[(80, HTTP)])], vec![vs]),
        "80",
    ));
    assert_eq!(got, ["a.default.svc.cluster.local:80 -> outbound|7||1.com"]);
}

#[test]
fn external_names_stand_for_services() {
    let mut alias = service("alias", &[(80, HTTP)]);
    alias.resolution = Resolution::Alias;
    alias.external_name = Some(fqdn("a"));
    alias.addresses.clear();
    let mut concrete = service("a", &[(80, HTTP)]);
    concrete.aliases = vec![alias.key.clone()];
    let services = || vec![concrete.clone(), alias.clone()];
    let plain = route(&seen(services(), Vec::new()), "80");
    assert_eq!(
        hosts(&plain),
        ["a.default.svc.cluster.local:80 -> outbound|80||a.default.svc.cluster.local"]
    );
    assert!(domains(&plain, "a.default.svc.cluster.local:80").contains(&"alias.default"));
    let vs = virtual_service("x", "mesh", &["e.com"], "alias");
    let routed = route(&seen(services(), vec![vs]), "80");
    assert!(
        hosts(&routed).contains(&"e.com:80 -> outbound|80||a.default.svc.cluster.local".to_owned())
    );
}

#[test]
fn headless_services_answer_for_their_pods() {
    let mut headless = service("a", &[(80, HTTP)]);
    headless.resolution = Resolution::Passthrough;
    headless.addresses.clear();
    let input = route(&seen(vec![headless], Vec::new()), "80");
    let domains = domains(&input, "a.default.svc.cluster.local:80");
    assert!(
        domains.contains(&"*.a.default.svc.cluster.local") && domains.contains(&"*.a"),
        "{domains:?}"
    );
}

#[test]
fn no_domain_is_given_twice() {
    let mut other = service("long", &[(80, HTTP)]);
    other.addresses = vec!["10.0.0.1".into()];
    // A short name of the first is the real name of the second.
    let input = route(
        &seen(
            vec![
                service("a", &[(80, HTTP)]),
                other,
                service("a.default", &[(80, HTTP)]),
            ],
            Vec::new(),
        ),
        "80",
    );
    let all: Vec<_> = input
        .virtual_hosts
        .iter()
        .flat_map(|host| host.domains.iter())
        .collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(domains(&input, "a.default:80").contains(&"a.default"));
    assert!(!domains(&input, "a.default.svc.cluster.local:80").contains(&"a.default"));
}

#[test]
fn unknown_hosts() {
    let mut scope = seen(Vec::new(), Vec::new());
    for (policy, name) in [
        (OutboundPolicy::AllowAny, "allow_any"),
        (OutboundPolicy::RegistryOnly, "block_all"),
        (OutboundPolicy::AllowAnyDynamicDns, "allow_any_dynamic_dns"),
    ] {
        scope.outbound_policy = policy;
        let input = route(&scope, "80");
        assert_eq!(*input.virtual_hosts[0].name, *name);
        assert_eq!(*input.virtual_hosts[0].domains, ["*".into()]);
    }
}

#[test]
fn a_proxy_listener_serves_all_ports() {
    let mut scope = seen(vec![service("a", &[(81, HTTP), (80, HTTP)])], Vec::new());
    let port = EgressPort {
        number: 3128,
        protocol: Protocol::HttpProxy,
        name: "proxy".into(),
    };
    let (bind, capture_mode, hosts) = ("127.0.0.1".into(), CaptureMode::None, Vec::new());
    scope.egress[0].listener = Some(EgressListener {
        port: Some(port),
        bind,
        capture_mode,
        hosts,
    });
    let input = route(&scope, "3128");
    assert_eq!(
        domains(&input, "a.default.svc.cluster.local:80")[..2],
        [
            "a.default.svc.cluster.local",
            "a.default.svc.cluster.local:80"
        ]
    );
    let other = domains(&input, "a.default.svc.cluster.local:81");
    assert!(
        other.iter().all(|domain| domain.ends_with(":81")),
        "{other:?}"
    );
    assert_eq!(
        sidecar_route(&scope, &class(ProxyKind::Sidecar), "80"),
        None
    );
}

#[test]
fn hash_keys_come_from_the_most_specific_policy() {
    let policy = |key: &str| PortPolicy {
        load_balancer: Some(LoadBalancer {
            algorithm: Some(Algorithm::ConsistentHash(ConsistentHash {
                key: HashKey::Header(key.into()),
                ring: Ring::RingHash(None),
            })),
            ..LoadBalancer::default()
        }),
        ..PortPolicy::default()
    };
    let traffic = |all: &str, port: &str| TrafficPolicy {
        all: policy(all),
        ports: vec![(80, policy(port))],
        ..TrafficPolicy::default()
    };
    let rule = MergedRule {
        from: Vec::new(),
        policy: Some(traffic("host", "host-port")),
        subsets: vec![Subset {
            name: "s".into(),
            labels: Labels::default(),
            policy: Some(traffic("subset", "subset-port")),
        }],
    };
    for (subset, port, want) in [
        ("", None, "host"),
        ("", Some(80), "host-port"),
        ("", Some(81), "host"),
        ("s", None, "subset"),
        ("s", Some(80), "subset-port"),
        ("none", None, "host"),
    ] {
        let mut vs = virtual_service("x", "mesh", &["a"], "a");
        let HttpAction::Forward(to) = &mut vs.http[0].action else {
            unreachable!()
        };
        (to[0].destination.subset, to[0].destination.port) = (subset.into(), port);
        let mut scope = seen(vec![service("a", &[(80, HTTP)])], vec![vs]);
        scope.services[0].rule = Some(Shared::new(rule.clone()));
        let input = route(&scope, "80");
        let RouteSpec::Rule(rule) = &input.virtual_hosts[0].routes[0][0] else {
            unreachable!()
        };
        assert_eq!(
            rule.destinations[0].hash,
            Some(HashKey::Header(want.into())),
            "{subset} {port:?}"
        );
    }
    assert_eq!(
        rules::hash_of_service(&rule, 80),
        Some(HashKey::Header("host-port".into()))
    );
    assert_eq!(
        rules::hash_of_service(&rule, 81),
        Some(HashKey::Header("host".into()))
    );
}

use super::*;

fn server(port: u16, hosts: &[&str], redirect: bool) -> Server {
    let host = |text: &&str| {
        let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
        ServerHost {
            namespace: namespace.into(),
            host: Hostname::new(host),
        }
    };
    Server {
        port,
        protocol: HTTP,
        port_name: "http".into(),
        bind: "".into(),
        hosts: hosts.iter().map(host).collect(),
        tls: redirect.then(|| ServerTls {
            https_redirect: true,
            ..testing::server_tls(ServerTlsMode::Simple)
        }),
        name: "".into(),
    }
}

/// The only route configuration of a Gateway `default/gw`.
fn at_gateway(servers: Vec<Server>, vs: Vec<VirtualService>) -> RouteInput {
    let gateway = testing::gateway("default", "gw", servers);
    let class = class(ProxyKind::Router);
    let merged = merge(&[Shared::new(gateway)], &class, false);
    let scope = seen(
        vec![
            service("a", &[(9080, HTTP)]),
            service("bb", &[(1, HTTP), (2, HTTP)]),
        ],
        Vec::new(),
    );
    let vs: Vec<_> = vs.into_iter().map(Shared::new).collect();
    let mut all = gateway_routes(&scope, &class, &merged, &vs);
    assert_eq!(all.len(), 1);
    assert_eq!(
        gateway_route(&scope, &class, &merged, &vs, &all[0].name).as_ref(),
        Some(&all[0])
    );
    all.remove(0)
}

#[test]
fn gateways_serve_the_hosts_that_both_sides_name() {
    let vs = |hosts: &[&str], to: &str| virtual_service("x", "default/gw", hosts, to);
    for (what, server_hosts, vs, want) in [
        (
            "no VirtualService",
            vec!["*"],
            vec![],
            vec!["blackhole:80 -> "],
        ),
        (
            "the service's only port",
            vec!["*"],
            vec![vs(&["e.com"], "a")],
            vec!["e.com:80 -> outbound|9080||a.default.svc.cluster.local"],
        ),
        (
            "the listener's port",
            vec!["*.com"],
            vec![vs(&["e.com", "e.org"], "bb")],
            vec!["e.com:80 -> outbound|80||bb.default.svc.cluster.local"],
        ),
        (
            "wider VirtualService",
            vec!["e.com"],
            vec![vs(&["*"], "x.com")],
            vec!["e.com:80 -> outbound|80||x.com"],
        ),
        (
            "another namespace",
            vec!["other/*"],
            vec![vs(&["e.com"], "a")],
            vec!["blackhole:80 -> "],
        ),
        (
            "another gateway",
            vec!["*"],
            vec![virtual_service("x", "mesh", &["e.com"], "a")],
            vec!["blackhole:80 -> "],
        ),
        (
            "one virtual host for equal routes, named after the longest host",
            vec!["*"],
            vec![vs(&["e.com", "long.e.com"], "x.com")],
            vec!["long.e.com:80 -> outbound|80||x.com"],
        ),
        (
            "two VirtualServices of one host",
            vec!["*"],
            vec![
                vs(&["e.com"], "x.com"),
                virtual_service("y", "default/gw", &["e.com"], "y.com"),
            ],
            vec!["e.com:80 -> outbound|80||x.com, outbound|80||y.com"],
        ),
    ] {
        let input = at_gateway(vec![server(80, &server_hosts, false)], vs);
        assert_eq!(*input.name, *"http.8080", "{what}");
        assert_eq!(hosts(&input), want, "{what}");
    }
}

#[test]
fn redirected_hosts_need_no_routes() {
    let vs = virtual_service("x", "default/gw", &["a.com"], "x.com");
    let input = at_gateway(vec![server(80, &["a.com", "b.com"], true)], vec![vs]);
    assert_eq!(
        hosts(&input),
        ["a.com:80 -> outbound|80||x.com", "b.com:80 -> "]
    );
    assert!(input.virtual_hosts.iter().all(|host| host.require_tls));
}

#[test]
fn the_match_port_of_a_gateway_is_that_of_its_server() {
    let mut vs = virtual_service("x", "default/gw", &["e.com"], "1.com");
    vs.http[0].matches = vec![HttpMatch {
        port: 80,
        ..HttpMatch::default()
    }];
    let input = at_gateway(vec![server(80, &["*"], false)], vec![vs.clone()]);
    assert_eq!(hosts(&input), ["e.com:80 -> outbound|80||1.com"]);
    vs.http[0].matches[0].port = 8080;
    assert_eq!(
        hosts(&at_gateway(vec![server(80, &["*"], false)], vec![vs])),
        ["blackhole:80 -> "]
    );
}

use std::collections::BTreeMap;

use meltemi_builders::listener::{ListenerKind, Terminal};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{InterceptionMode, IpMode, ProxyClass};
use meltemi_model::routing::{L4Match, VirtualService};
use meltemi_model::service::{Resolution, Service};
use meltemi_model::sidecar::CaptureMode;
use meltemi_model::traffic::{ConnectionPool, MergedRule, PortPolicy, TrafficPolicy};
use meltemi_model::{Labels, Shared};
use meltemi_world::Scope;

use super::fixtures::{
    class, egress, endpoints, scope, service, summary, tcp_route, tls_route, to, virtual_service,
};
use crate::plan::listeners::sidecar_listeners;

/// The outbound listeners but the virtual one.
fn outbound(scope: &Scope, class: &ProxyClass) -> BTreeMap<String, Vec<String>> {
    let mut all = summary(&sidecar_listeners(scope, class));
    all.remove("virtualOutbound");
    all.remove("virtualInbound");
    all
}

/// Listeners with a line per chain.
type Want = &'static [(&'static str, &'static [&'static str])];

fn check(what: &str, scope: &Scope, class: &ProxyClass, want: &[(&str, &[&str])]) {
    let want: BTreeMap<String, Vec<String>> = want
        .iter()
        .map(|(name, lines)| ((*name).into(), lines.iter().map(|l| (*l).into()).collect()))
        .collect();
    assert_eq!(outbound(scope, class), want, "{what}");
}

fn at(mut service: Service, addresses: &[&str]) -> Service {
    service.addresses = addresses.iter().map(|a| (*a).into()).collect();
    service
}

const HTTP_80: &str = "raw PlainHttp -> routes 80";

#[test]
fn a_listener_per_port_for_http_and_per_address_for_the_rest() {
    use Protocol::{Http, Https, Tcp, Udp, Unsupported};
    let cases: [(&str, Vec<Service>, Want); 7] = [
        (
            "HTTP shares a port",
            vec![
                service("a", &[(80, Http)]),
                service("b.example.com", &[(80, Http)]),
            ],
            &[("0.0.0.0_80", &[HTTP_80])],
        ),
        (
            "TCP has its address",
            vec![service("tcp", &[(81, Tcp)])],
            &[("10.0.0.3_81", &["* -> outbound|81||tcp"])],
        ),
        (
            "bytes decide",
            vec![service("auto", &[(82, Unsupported)])],
            &[(
                "10.0.0.4_82",
                &[
                    "* -> outbound|82||auto",
                    "raw PlainHttp -> routes auto.default.svc.cluster.local:82",
                ],
            )],
        ),
        (
            "UDP is not proxied",
            vec![service("udp", &[(53, Udp)])],
            &[],
        ),
        (
            "without an address, TLS is told apart by its name",
            vec![
                service("a.example.com", &[(443, Https)]),
                service("b.example.com", &[(443, Https)]),
            ],
            &[(
                "0.0.0.0_443",
                &[
                    "sni a.example.com -> outbound|443||a.example.com",
                    "sni b.example.com -> outbound|443||b.example.com",
                ],
            )],
        ),
        (
            "with one, it is not",
            vec![at(
                service("a.example.com", &[(443, Https)]),
                &["10.1.1.1/32"],
            )],
            &[("10.1.1.1_443", &["* -> outbound|443||a.example.com"])],
        ),
        (
            "ranges share a port, and the first of equal ones has it",
            vec![
                at(service("a.example.com", &[(81, Tcp)]), &["10.40.0.0/16"]),
                at(
                    service("b.example.com", &[(81, Tcp)]),
                    &["10.40.1.1/16", "10.41.0.0/16"],
                ),
            ],
            &[(
                "0.0.0.0_81",
                &[
                    "in 10.40.0.0/16 -> outbound|81||a.example.com",
                    "in 10.41.0.0/16 -> outbound|81||b.example.com",
                ],
            )],
        ),
    ];
    for (what, services, want) in cases {
        check(what, &scope(services), &class(), want);
    }
}

#[test]
fn services_that_want_the_same_place() {
    use Protocol::{Http, Mongo, Tcp, Unsupported};
    let entry = |name: &str, protocol| service(name, &[(80, protocol)]);
    let tcp = |name: &str| format!("* -> outbound|80||{name}");
    let (first, second) = (tcp("a.example.com"), tcp("b.example.com"));
    let cases: [(&str, Protocol, Protocol, Vec<&str>); 9] = [
        ("HTTP joins TCP", Tcp, Http, vec![&first, HTTP_80]),
        ("TCP joins HTTP", Http, Tcp, vec![HTTP_80, &second]),
        ("the older TCP has it", Tcp, Tcp, vec![&first]),
        (
            "detection joins TCP: the older has the bytes that are not HTTP",
            Tcp,
            Unsupported,
            vec![&first, HTTP_80],
        ),
        (
            "TCP joins detection: the older has them",
            Unsupported,
            Tcp,
            vec![&first, HTTP_80],
        ),
        (
            "HTTP is in detection already",
            Unsupported,
            Http,
            vec![&first, HTTP_80],
        ),
        // HTTP at all addresses counts as detected, since unknown TCP may pass beside it.
        (
            "detection joins HTTP",
            Http,
            Unsupported,
            vec![HTTP_80, &second],
        ),
        (
            "nobody waits for bytes where the server speaks first",
            Mongo,
            Http,
            vec![&first],
        ),
        ("nor does such a server join", Http, Mongo, vec![HTTP_80]),
    ];
    for (what, one, two, want) in cases {
        let scope = scope(vec![
            entry("a.example.com", one),
            entry("b.example.com", two),
        ]);
        check(what, &scope, &class(), &[("0.0.0.0_80", &want)]);
    }
}

#[test]
fn a_headless_service_has_a_listener_per_endpoint() {
    let mut db = service("db", &[(5432, Protocol::Tcp), (80, Protocol::Http)]);
    db.addresses.clear();
    db.headless = true;
    db.resolution = Resolution::Passthrough;
    let with = |db: &Service, addresses: &[&str]| {
        let mut scope = scope(vec![db.clone()]);
        let set = Shared::new(endpoints(db, addresses));
        scope.services[0].endpoints = set.clone();
        scope.egress[0].services[0].endpoints = set;
        scope
    };
    let mut own = class();
    own.own_ips = vec!["10.244.1.31".parse().unwrap()];
    let http = ("0.0.0.0_80", [HTTP_80].as_slice());
    let one = ("10.244.1.31_5432", ["* -> outbound|5432||db"].as_slice());
    let two = ("10.244.2.32_5432", ["* -> outbound|5432||db"].as_slice());
    let addresses = ["10.244.1.31", "10.244.2.32", "name.example.com"];
    check(
        "all of them",
        &with(&db, &addresses),
        &class(),
        &[http, one, two],
    );
    check("not oneself", &with(&db, &addresses), &own, &[http, two]);
    check("none, none", &with(&db, &[]), &class(), &[http]);

    let mut entry = service("db.example.com", &[(5432, Protocol::Tcp)]);
    entry.resolution = Resolution::Passthrough;
    let all = (
        "0.0.0.0_5432",
        ["* -> outbound|5432||db.example.com"].as_slice(),
    );
    check(
        "an entry without endpoints",
        &with(&entry, &[]),
        &class(),
        &[all],
    );
    entry.selector = [("app", "db")].into_iter().collect::<Labels>();
    check(
        "an entry that may get some",
        &with(&entry, &[]),
        &class(),
        &[],
    );
}

#[test]
fn ports_that_the_proxy_needs_itself_are_left_alone() {
    let http = |port| service("a", &[(port, Protocol::Http)]);
    for port in [15001, 15006, 15021, 15090] {
        check("reserved", &scope(vec![http(port)]), &class(), &[]);
    }
    let tcp = service("a", &[(15021, Protocol::Tcp)]);
    check(
        "at another address",
        &scope(vec![tcp]),
        &class(),
        &[("10.0.0.1_15021", &["* -> outbound|15021||a"])],
    );
    let mut unprivileged = class();
    unprivileged.facet.unprivileged = true;
    unprivileged.interception = InterceptionMode::None;
    check("below 1024", &scope(vec![http(80)]), &unprivileged, &[]);
}

#[test]
fn which_families_listeners_are_served_at() {
    let services = vec![
        service("h", &[(80, Protocol::Http)]),
        at(
            service("t", &[(81, Protocol::Tcp)]),
            &["10.0.0.1", "fd00::1"],
        ),
        service("e.example.com", &[(82, Protocol::Tcp)]),
    ];
    let scope = scope(services);
    let any = ["0.0.0.0", "::"];
    let v4 = ["0.0.0.0"];
    // (families, both flags, virtual ones, outbound ones, those of a Kubernetes Service).
    type Row<'a> = (
        IpMode,
        bool,
        [&'a [&'a str]; 2],
        &'a [&'a str],
        &'a [&'a str],
    );
    let table: [Row<'_>; 6] = [
        (IpMode::V4, false, [&v4, &v4], &v4, &["10.0.0.1"]),
        (IpMode::V6, false, [&["::"], &["::"]], &["::"], &["fd00::1"]),
        (
            IpMode::V6,
            true,
            [&["::", "0.0.0.0"], &["::"]],
            &["::"],
            &["fd00::1"],
        ),
        (IpMode::Dual, false, [&v4, &v4], &any, &["10.0.0.1"]),
        (
            IpMode::Dual,
            true,
            [&any, &any],
            &any,
            &["10.0.0.1", "fd00::1"],
        ),
        (IpMode::V4, true, [&v4, &v4], &v4, &["10.0.0.1"]),
    ];
    for (ip_mode, flags, [outbound, inbound], shared, own) in table {
        let class = ProxyClass {
            ip_mode,
            dual_stack: flags && ip_mode == IpMode::Dual,
            ipv4_outbound: flags && ip_mode == IpMode::V6,
            ..class()
        };
        let listeners = sidecar_listeners(&scope, &class);
        let addresses = |name: &str| {
            let found = listeners.iter().find(|l| &*l.name == name).unwrap();
            found.addresses.iter().map(|a| &**a).collect::<Vec<_>>()
        };
        for (name, want) in [
            ("virtualOutbound", outbound),
            ("virtualInbound", inbound),
            (&format!("{}_80", shared[0]), shared),
            (&format!("{}_82", shared[0]), shared),
            (&format!("{}_81", own[0]), own),
        ] {
            assert_eq!(addresses(name), want, "{ip_mode:?} {flags} {name}");
        }
    }
}

fn with_routes(services: Vec<Service>, virtual_services: Vec<VirtualService>) -> Scope {
    let mut scope = scope(services);
    scope.egress[0].virtual_services = virtual_services.into_iter().map(Shared::new).collect();
    scope
}

#[test]
fn tcp_routes_of_virtual_services() {
    let mongo = || {
        vec![
            service("mongo", &[(27017, Protocol::Tcp)]),
            service("other", &[(1, Protocol::Tcp)]),
        ]
    };
    let when = |matching: L4Match| vec![matching];
    let labels = |value: &str| L4Match {
        source_labels: [("app", value)].into_iter().collect(),
        ..Default::default()
    };
    let subnet = L4Match {
        destination_subnets: vec!["10.9.0.0/16".into()],
        ..Default::default()
    };
    let elsewhere = L4Match {
        source_namespace: "elsewhere".into(),
        ..Default::default()
    };
    let at_gateway = L4Match {
        gateways: vec!["default/gw".into()],
        ..Default::default()
    };
    let other_port = L4Match {
        port: 1,
        ..Default::default()
    };
    let v1 = || vec![to("mongo", "v1", 0)];
    let to_v1 = "* -> outbound|27017|v1|mongo";
    let unrouted = "* -> outbound|27017||mongo";
    let cases = [
        (
            "no condition",
            vec![tcp_route(Vec::new(), v1())],
            vec![to_v1],
        ),
        (
            "weights; none for what has none",
            vec![tcp_route(
                Vec::new(),
                vec![
                    to("mongo", "v1", 90),
                    to("mongo", "v2", 10),
                    to("other", "", 0),
                ],
            )],
            vec!["* -> 90% outbound|27017|v1|mongo, 10% outbound|27017|v2|mongo"],
        ),
        (
            "a destination with one port has that one",
            vec![tcp_route(Vec::new(), vec![to("other", "", 0)])],
            vec!["* -> outbound|1||other"],
        ),
        (
            "labels that fit",
            vec![tcp_route(when(labels("client")), v1())],
            vec![to_v1],
        ),
        (
            "labels that do not",
            vec![tcp_route(when(labels("x")), v1())],
            vec![unrouted],
        ),
        (
            "another namespace",
            vec![tcp_route(when(elsewhere), v1())],
            vec![unrouted],
        ),
        (
            "another gateway",
            vec![tcp_route(when(at_gateway), v1())],
            vec![unrouted],
        ),
        (
            "another port",
            vec![tcp_route(when(other_port), v1())],
            vec![unrouted],
        ),
        (
            "a subnet, beside the service",
            vec![tcp_route(when(subnet), v1())],
            vec!["in 10.9.0.0/16 -> outbound|27017|v1|mongo", unrouted],
        ),
        (
            "no destinations: ignored",
            vec![tcp_route(Vec::new(), Vec::new())],
            vec![unrouted],
        ),
    ];
    for (what, routes, want) in cases {
        let scope = with_routes(
            mongo(),
            vec![virtual_service("vs", "mongo", Vec::new(), routes)],
        );
        assert_eq!(outbound(&scope, &class())["10.0.0.5_27017"], want, "{what}");
    }
}

#[test]
fn tls_routes_of_virtual_services() {
    let vault = || {
        vec![
            service("vault", &[(8200, Protocol::Https)]),
            service("api", &[(443, Protocol::Https)]),
        ]
    };
    let tls = |name: &str, routes| virtual_service(name, "vault", routes, Vec::new());
    let (old, new) = (
        tls_route(&["v"], &[], to("vault", "", 0)),
        tls_route(&["v"], &[], to("api", "", 0)),
    );
    let cases = [
        ("none", Vec::new(), vec!["* -> outbound|8200||vault"]),
        (
            "the older of equal names",
            vec![tls("a", vec![old.clone()]), tls("b", vec![new.clone()])],
            vec!["sni v -> outbound|8200||vault"],
        ),
        (
            "by name and range",
            vec![tls(
                "a",
                vec![old, tls_route(&["v"], &["192.0.2.0/24"], to("api", "", 0))],
            )],
            vec![
                "sni v -> outbound|8200||vault",
                "sni v in 192.0.2.0/24 -> outbound|443||api",
            ],
        ),
        (
            "any name",
            vec![tls("a", vec![tls_route(&["*"], &[], to("api", "", 0))])],
            vec!["* -> outbound|443||api"],
        ),
    ];
    for (what, virtual_services, want) in cases {
        let scope = with_routes(vault(), virtual_services);
        assert_eq!(outbound(&scope, &class())["10.0.0.5_8200"], want, "{what}");
    }
}

#[test]
fn settings_of_a_destination_rule_reach_the_tcp_proxy() {
    let pool = ConnectionPool {
        tcp_idle_timeout: Some(std::time::Duration::from_secs(7)),
        max_connection_duration: Some(std::time::Duration::from_secs(9)),
        ..Default::default()
    };
    let all = PortPolicy {
        connection_pool: Some(pool),
        ..Default::default()
    };
    let policy = TrafficPolicy {
        all,
        ..Default::default()
    };
    let rule = MergedRule {
        from: Vec::new(),
        policy: Some(policy),
        subsets: Vec::new(),
    };
    let mut scope = scope(vec![service("tcp", &[(81, Protocol::Tcp)])]);
    scope.egress[0].services[0].rule = Some(Shared::new(rule));
    let listeners = sidecar_listeners(&scope, &class());
    let listener = listeners
        .iter()
        .find(|l| &*l.name == "10.0.0.3_81")
        .unwrap();
    let Terminal::Tcp(tcp) = &listener.chains[0].terminal else {
        panic!("TCP")
    };
    assert_eq!(tcp.idle_timeout.unwrap().as_secs(), 7);
    assert_eq!(tcp.max_connection_duration.unwrap().as_secs(), 9);
}

#[test]
fn listeners_of_a_sidecar_with_ports_of_their_own() {
    let services = vec![
        service("http", &[(80, Protocol::Http)]),
        service("tcp", &[(81, Protocol::Tcp), (82, Protocol::Tcp)]),
    ];
    let base = scope(services);
    let with = |port, bind: &str, capture| {
        let mut scope = base.clone();
        scope.egress = vec![egress(&base, Some(port), bind, capture)];
        scope
    };
    // The one HTTP service is meant by its only port.
    let cases: [(&str, Scope, Want); 4] = [
        (
            "HTTP proxy",
            with((3128, Protocol::HttpProxy), "127.0.0.1", CaptureMode::None),
            &[("127.0.0.1_3128", &["* -> routes 3128"])],
        ),
        (
            "a socket",
            with((0, Protocol::Http), "unix:///s", CaptureMode::Default),
            &[("unix:///s_0", &["* -> routes unix:///s"])],
        ),
        (
            "HTTP at all addresses",
            with((9000, Protocol::Http), "", CaptureMode::Default),
            &[("0.0.0.0_9000", &["raw PlainHttp -> routes 9000"])],
        ),
        (
            "TCP",
            with((9000, Protocol::Tcp), "", CaptureMode::Default),
            &[
                ("10.0.0.4_9000", &["* -> outbound|80||http"]),
                ("10.0.0.3_9000", &["* -> outbound|9000||tcp"]),
            ],
        ),
    ];
    for (what, scope, want) in cases {
        check(what, &scope, &class(), want);
    }
    let bound = sidecar_listeners(
        &with((3128, Protocol::HttpProxy), "127.0.0.1", CaptureMode::None),
        &class(),
    );
    let listener = bound.iter().find(|l| &*l.name == "127.0.0.1_3128").unwrap();
    assert_eq!(listener.kind, ListenerKind::Outbound { bind_to_port: true });
}

#[test]
fn the_catch_all_listener_adds_nothing_to_those_before_it() {
    let base = scope(vec![
        service("a.example.com", &[(80, Protocol::Tcp)]),
        service("b", &[(81, Protocol::Tcp)]),
    ]);
    let mut scope = base.clone();
    scope.egress.insert(
        0,
        egress(&base, Some((80, Protocol::Http)), "", CaptureMode::Default),
    );
    let want: [(&str, &[&str]); 2] = [
        ("0.0.0.0_80", &[HTTP_80]),
        ("10.0.0.1_81", &["* -> outbound|81||b"]),
    ];
    check("locked", &scope, &class(), &want);
}

#[test]
fn without_redirection_listeners_bind_the_loopback() {
    let scope = scope(vec![
        service("http", &[(80, Protocol::Http)]),
        service("tcp", &[(81, Protocol::Tcp)]),
    ]);
    let mut class = class();
    class.interception = InterceptionMode::None;
    let listeners = sidecar_listeners(&scope, &class);
    let names: Vec<&str> = listeners.iter().map(|l| &*l.name).collect();
    assert_eq!(names, ["127.0.0.1_80", "127.0.0.1_81"]);
    assert!(
        listeners
            .iter()
            .all(|l| l.kind == ListenerKind::Outbound { bind_to_port: true })
    );
}

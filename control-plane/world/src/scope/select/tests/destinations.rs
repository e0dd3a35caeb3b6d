//! VirtualServices that a listener shows, and what they route to.

use meltemi_model::routing::{HeaderOperations, HttpMatch};
use meltemi_model::testing::http_route;

use super::*;

fn forward(port: Option<u16>) -> HttpRoute {
    let destination = destination("far.other.svc.cluster.local", port);
    http_route(HttpAction::Forward(vec![HttpDestination {
        destination,
        weight: 1,
        headers: HeaderOperations::default(),
    }]))
}

/// Routes calls of `a.default`.
fn routing(http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        http,
        ..virtual_service("default", "vs", "a.default.svc.cluster.local")
    }
}

fn from_namespaces(namespaces: &[&str]) -> HttpRoute {
    let from = |namespace: &&str| HttpMatch {
        source_namespace: (*namespace).to_owned(),
        ..HttpMatch::default()
    };
    HttpRoute {
        matches: namespaces.iter().map(from).collect(),
        ..forward(None)
    }
}

#[test]
fn what_a_virtual_service_routes_to_gets_clusters_though_no_listener_shows_it() {
    let far = kube_service(
        "other",
        "far",
        &[(80, Protocol::Http), (81, Protocol::Http)],
    );
    let mirrored = HttpRoute {
        mirrors: vec![Mirror {
            destination: destination("far.other.svc.cluster.local", None),
            share: None,
        }],
        ..http_route(HttpAction::Nothing)
    };
    let tcp = VirtualService {
        tcp: vec![TcpRoute {
            matches: Vec::new(),
            destinations: vec![(destination("far.other.svc.cluster.local", Some(81)), 1)],
        }],
        ..routing(Vec::new())
    };
    let elsewhere = VirtualService {
        hosts: vec![Hostname::new("b.default.svc.cluster.local")],
        ..routing(vec![forward(None)])
    };
    let own = &["default/a.default.svc.cluster.local"];
    let any = || egress(own);
    let at_81 = || at_port(81, Protocol::Http, &["default/*"]);
    let at_82 = || at_port(82, Protocol::Http, &["default/*"]);
    let all = Some("far.other:80,81");
    for (name, vs, listener, want) in [
        ("all ports", routing(vec![forward(None)]), any(), all),
        (
            "the port that is routed to",
            routing(vec![forward(Some(81))]),
            any(),
            Some("far.other:81"),
        ),
        (
            "all ports, where one route names none",
            routing(vec![forward(Some(81)), forward(None)]),
            any(),
            all,
        ),
        (
            "a port that it does not have",
            routing(vec![forward(Some(82))]),
            any(),
            None,
        ),
        (
            "the listener's port",
            routing(vec![forward(None)]),
            at_81(),
            Some("far.other:81"),
        ),
        (
            "not the listener's port",
            routing(vec![forward(None)]),
            at_82(),
            None,
        ),
        ("a mirror", routing(vec![mirrored]), any(), all),
        ("TCP", tcp, any(), Some("far.other:81")),
        (
            "callers of this namespace",
            routing(vec![from_namespaces(&["x", "default"])]),
            any(),
            all,
        ),
        (
            "callers of others",
            routing(vec![from_namespaces(&["x", "y"])]),
            any(),
            None,
        ),
        ("a host that is not shown", elsewhere, any(), None),
    ] {
        let world = world([
            kube("default", "a"),
            far.clone().into(),
            vs.into(),
            with_egress(vec![listener]),
        ]);
        let scope = in_default(&world);
        let mut found = shown(&scope.services);
        found.retain(|s| s.starts_with("far"));
        assert_eq!(found, Vec::from_iter(want), "{name}");
        let listed = shown(&scope.egress[0].services);
        assert!(
            listed.iter().all(|s| !s.starts_with("far")),
            "{name}: {listed:?}"
        );
    }
}

#[test]
fn which_owner_of_a_host_is_routed_to() {
    let host = "far.other.svc.cluster.local";
    let entry = |namespace: &str, created, to: &str| {
        let entry = service_entry(namespace, host, HTTP);
        Object::from(ServiceEntry {
            meta: later(created, entry.meta.clone()),
            export_to: export_to(to),
            ..entry
        })
    };
    for (name, objects, want) in [
        (
            "the oldest",
            vec![entry("n1", 2, ""), entry("n2", 1, "")],
            Some("n2"),
        ),
        (
            "the caller's own",
            vec![entry("n1", 1, ""), entry("default", 2, "")],
            Some("default"),
        ),
        (
            "Kubernetes",
            vec![entry("n1", -1, ""), kube("other", "far")],
            Some("other"),
        ),
        (
            "one that is visible",
            vec![entry("n1", 2, ""), entry("n2", 1, "n3")],
            Some("n1"),
        ),
        ("none is visible", vec![entry("n2", 1, "n3")], None),
    ] {
        let rest = [
            kube("default", "a"),
            routing(vec![forward(None)]).into(),
            sidecar("default", "s", &["default/a.default.svc.cluster.local"]).into(),
        ];
        let scope = in_default(&world(objects.into_iter().chain(rest)));
        let found = scope
            .service(&Hostname::new(host))
            .map(|row| &*row.service.key.namespace);
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn virtual_services_of_a_listener() {
    let vs = |namespace: &str, name: &str, host: &str| {
        Object::from(virtual_service(namespace, name, host))
    };
    let objects = || {
        [
            vs("default", "exact", "a.com"),
            vs("default", "wild", "*.b.com"),
            vs("other", "theirs", "a.com"),
            VirtualService {
                gateways: vec!["default/gw".into()],
                ..virtual_service("default", "gateway", "a.com")
            }
            .into(),
        ]
    };
    for (hosts, want) in [
        (&[][..], "exact theirs wild"),
        (&["*/*"], "exact theirs wild"),
        (&["./*"], "exact wild"),
        (&["*/a.com"], "exact theirs"),
        (&["other/a.com"], "theirs"),
        (&["*/x.b.com"], "wild"),
        (&["*/*", "~other/a.com"], "exact wild"),
        (&["*/*", "~/*.b.com"], "exact theirs"),
        (&["~/*"], ""),
    ] {
        let world = world(
            objects()
                .into_iter()
                .chain([sidecar("default", "s", hosts).into()]),
        );
        let scope = in_default(&world);
        let names: Vec<_> = scope.egress[0]
            .virtual_services
            .iter()
            .map(|vs| &*vs.meta.key.name)
            .collect();
        assert_eq!(names.join(" "), want, "{hosts:?}");
    }
}

use meltemi_model::routing::{HttpDestination, Mirror, PerMillion};
use meltemi_model::testing::{destination, export_to, http_route, virtual_service};
use meltemi_model::{Hostname, Object};

use super::*;
use crate::World;
use crate::fixtures::world;

fn uri(kind: fn(Str) -> StringMatch, text: &str) -> HttpMatch {
    HttpMatch {
        uri: Some(kind(text.into())),
        ..HttpMatch::default()
    }
}

fn forward(matches: Vec<HttpMatch>) -> HttpRoute {
    HttpRoute {
        matches,
        ..http_route(HttpAction::Forward(vec![HttpDestination {
            destination: destination("leaf.com", None),
            weight: 0,
            headers: HeaderOperations::default(),
        }]))
    }
}

fn to(name: &str, matches: Vec<HttpMatch>) -> HttpRoute {
    HttpRoute {
        matches,
        delegate: Some(Delegate {
            namespace: "ns".into(),
            name: name.into(),
        }),
        ..http_route(HttpAction::Nothing)
    }
}

fn delegate(export: &str, http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        hosts: Vec::new(),
        export_to: export_to(export),
        http,
        ..virtual_service("ns", "leaf", "a.com")
    }
}

fn root(namespace: &str, http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        http,
        ..virtual_service(namespace, "root", "a.com")
    }
}

fn seen(world: &World) -> (Vec<Shared<VirtualService>>, String) {
    let all = &world.virtual_services;
    let findings: Vec<String> = all.findings.iter().map(ToString::to_string).collect();
    (
        all.all_visible("anywhere", &world.mesh),
        findings.join("\n"),
    )
}

#[test]
fn the_delegates_routes_stand_in_the_roots_place() {
    let first = forward(vec![uri(StringMatch::Exact, "/first")]);
    let last = forward(Vec::new());
    let rows = [
        root(
            "ns",
            vec![first.clone(), to("leaf", Vec::new()), last.clone()],
        ),
        delegate("", vec![forward(vec![uri(StringMatch::Prefix, "/leaf")])]),
    ];
    let (all, findings) = seen(&world(rows.map(Object::from)));
    assert_eq!(findings, "");
    assert_eq!(all.len(), 1, "a delegate is nothing by itself");
    assert_eq!(
        all[0].http,
        [
            first,
            forward(vec![uri(StringMatch::Prefix, "/leaf")]),
            last
        ]
    );
}

#[test]
fn delegates_that_are_missing_hidden_or_whole_leave_the_route_out() {
    for (leaf, from, want) in [
        (None, "ns", "there is no VirtualService ns/leaf"),
        (
            Some(delegate(".", vec![forward(Vec::new())])),
            "other",
            "not exported to other",
        ),
        (
            Some(delegate("x", vec![forward(Vec::new())])),
            "ns",
            "not exported to ns",
        ),
        (
            Some(VirtualService {
                hosts: vec![Hostname::new("b.com")],
                ..delegate("", vec![forward(Vec::new())])
            }),
            "ns",
            "has hosts and cannot be a delegate",
        ),
    ] {
        let rows = [Some(root(from, vec![to("leaf", Vec::new())])), leaf];
        let (all, findings) = seen(&world(rows.into_iter().flatten().map(Object::from)));
        let root = all.iter().find(|vs| *vs.meta.key.name == *"root");
        assert!(root.expect("the root").http.is_empty());
        assert!(findings.contains(want), "{findings}");
        assert!(findings.contains("spec.http[0].delegate"), "{findings}");
    }
    for (export, from) in [
        ("ns", "ns"),
        ("other", "other"),
        ("*", "other"),
        ("", "other"),
    ] {
        let rows = [
            root(from, vec![to("leaf", Vec::new())]),
            delegate(export, vec![forward(Vec::new())]),
        ];
        let (all, findings) = seen(&world(rows.map(Object::from)));
        assert_eq!((all[0].http.len(), &*findings), (1, ""), "{export} {from}");
    }
}

#[test]
fn conditions_of_a_delegate_must_be_within_the_roots() {
    use StringMatch::{Exact, Prefix, Regex};
    for (root, leaf, fits) in [
        (uri(Prefix, "/a"), uri(Prefix, "/a/b"), true),
        (uri(Prefix, "/a/b"), uri(Prefix, "/a"), false),
        (uri(Prefix, "/a"), uri(Exact, "/a/b"), true),
        (uri(Prefix, "/a"), uri(Exact, "/b"), false),
        (uri(Exact, "/a"), uri(Exact, "/a"), true),
        (uri(Exact, "/a"), uri(Exact, "/b"), false),
        (uri(Exact, "/a"), uri(Prefix, "/a"), false),
        (uri(Regex, "/a"), uri(Regex, "/a"), false),
        (uri(Prefix, "/a"), uri(Regex, "/a.*"), false),
        (uri(Regex, "/a"), HttpMatch::default(), true),
        (HttpMatch::default(), uri(Regex, "/a"), true),
    ] {
        assert_eq!(!conflict(&root, &leaf), fits, "{root:?} {leaf:?}");
    }
    let port = |port| HttpMatch {
        port,
        ..HttpMatch::default()
    };
    let namespace = |name: &str| HttpMatch {
        source_namespace: name.into(),
        ..HttpMatch::default()
    };
    let labels = |value: &str| HttpMatch {
        source_labels: [("app", value)].into_iter().collect(),
        ..HttpMatch::default()
    };
    let gateways = |names: &[&str]| HttpMatch {
        gateways: names.iter().map(|name| Str::from(*name)).collect(),
        ..HttpMatch::default()
    };
    let header = |value: Option<StringMatch>| HttpMatch {
        headers: vec![("h".into(), value)],
        ..HttpMatch::default()
    };
    let without = |value: Option<StringMatch>| HttpMatch {
        without_headers: vec![("h".into(), value)],
        ..HttpMatch::default()
    };
    let query = |value: Option<StringMatch>| HttpMatch {
        query_params: vec![("q".into(), value)],
        ..HttpMatch::default()
    };
    let no_case = HttpMatch {
        ignore_uri_case: true,
        ..HttpMatch::default()
    };
    let exact = |text: &str| Some(Exact(text.into()));
    for (root, leaf, fits) in [
        (port(80), port(0), true),
        (port(80), port(81), false),
        (namespace("a"), namespace("a"), true),
        (namespace("a"), namespace(""), false),
        (namespace(""), namespace("a"), true),
        (labels("a"), labels("b"), false),
        (labels("a"), HttpMatch::default(), true),
        (gateways(&["g", "h"]), gateways(&["g"]), true),
        (gateways(&["g"]), gateways(&["h"]), false),
        (gateways(&[]), gateways(&["h"]), true),
        (header(exact("x")), header(exact("x")), true),
        (header(exact("x")), header(exact("y")), false),
        (header(None), header(exact("y")), false),
        (header(exact("x")), without(exact("y")), true),
        (without(exact("x")), without(exact("y")), false),
        (query(exact("x")), query(exact("y")), false),
        (no_case, HttpMatch::default(), false),
    ] {
        assert_eq!(!conflict(&root, &leaf), fits, "{root:?} {leaf:?}");
    }
}

#[test]
fn every_pair_of_conditions_that_fits_is_kept_and_one_that_fits_nothing_voids_the_route() {
    use StringMatch::{Exact, Prefix};
    let root = [
        HttpMatch {
            name: "r".into(),
            port: 80,
            ..uri(Prefix, "/a")
        },
        HttpMatch {
            headers: vec![("h".into(), None)],
            ..HttpMatch::default()
        },
    ];
    let leaf = [HttpMatch {
        name: "l".into(),
        headers: vec![("g".into(), None)],
        ..uri(Exact, "/a/1")
    }];
    let both = merged_matches(&root, &leaf).expect("they fit");
    let want = [
        HttpMatch {
            name: "r-l".into(),
            port: 80,
            headers: vec![("g".into(), None)],
            ..uri(Exact, "/a/1")
        },
        HttpMatch {
            name: "l".into(),
            headers: vec![("g".into(), None), ("h".into(), None)],
            ..uri(Exact, "/a/1")
        },
    ];
    assert_eq!(both, want);
    let other = [leaf[0].clone(), uri(Exact, "/b")];
    assert_eq!(merged_matches(&root[..1], &other), None);
    let leaf = delegate(
        "",
        vec![forward(vec![uri(Exact, "/b")]), forward(Vec::new())],
    );
    let (routes, why) = merged(&to("leaf", root.to_vec()), &leaf);
    assert_eq!(routes.len(), 2);
    assert_eq!(why, Vec::<String>::new());
    let (routes, why) = merged(&to("leaf", root[..1].to_vec()), &leaf);
    assert_eq!((routes.len(), why.len()), (1, 1));
    assert!(why[0].contains("spec.http[0] of VirtualService ns/leaf"));
}

#[test]
fn what_a_delegate_does_not_say_comes_from_the_root() {
    let said = HttpRoute {
        name: "root".into(),
        timeout: Some(std::time::Duration::from_secs(1)),
        mirror: SingleMirror {
            to: Some(destination("m.com", None)),
            percentage: Some(PerMillion(7)),
            percent: None,
        },
        mirrors: vec![Mirror {
            destination: destination("n.com", None),
            share: None,
        }],
        ..to("leaf", Vec::new())
    };
    let silent = merged_route(&said, &forward(Vec::new())).expect("they fit");
    let want = HttpRoute {
        action: forward(Vec::new()).action,
        delegate: None,
        ..said.clone()
    };
    assert_eq!(silent, want);
    let own = HttpRoute {
        name: "leaf".into(),
        timeout: Some(std::time::Duration::from_secs(2)),
        mirror: SingleMirror {
            to: Some(destination("own.com", None)),
            ..SingleMirror::default()
        },
        ..forward(Vec::new())
    };
    let merged = merged_route(&said, &own).expect("they fit");
    assert_eq!((&*merged.name, merged.timeout), ("root-leaf", own.timeout));
    let copies: Vec<_> = merged
        .copies()
        .into_iter()
        .map(|m| (m.destination.host.to_string(), m.share))
        .collect();
    assert_eq!(
        copies,
        [
            ("own.com".to_owned(), Some(PerMillion(7))),
            ("n.com".to_owned(), None)
        ]
    );
}

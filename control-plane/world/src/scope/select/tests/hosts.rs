//! Which services a listener shows.

use super::*;

fn everything() -> Vec<Object> {
    vec![
        kube("default", "a"),
        kube("default", "b"),
        kube("other", "c"),
        service_entry("default", "x.com", HTTP).into(),
        service_entry("other", "y.com", HTTP).into(),
    ]
}

#[test]
fn hosts_of_a_listener() {
    let all = [
        "a.default:80",
        "b.default:80",
        "c.other:80",
        "x.com@default:80",
        "y.com@other:80",
    ];
    let some = |wanted: &[usize]| wanted.iter().map(|i| all[*i]).collect::<Vec<_>>();
    for (hosts, want) in [
        (&[][..], all.to_vec()),
        (&["*/*"], all.to_vec()),
        (&["default/*"], some(&[0, 1, 3])),
        (&["./*"], some(&[0, 1, 3])),
        (&["other/*"], some(&[2, 4])),
        (&["nowhere/*"], vec![]),
        (&["*/*.com"], some(&[3, 4])),
        (&["default/*.com"], some(&[3])),
        (&["*/*.cluster.local"], some(&[0, 1, 2])),
        (&["*/x.com"], some(&[3])),
        (&["other/x.com"], vec![]),
        (
            &["default/a.default.svc.cluster.local", "other/y.com"],
            some(&[0, 4]),
        ),
        (
            &["default/x.com", "*/c.other.svc.cluster.local"],
            some(&[2, 3]),
        ),
        (&["~/*"], vec![]),
        (&["*/*", "~other/*"], some(&[0, 1, 3])),
        (&["*/*", "~./*"], some(&[2, 4])),
        (&["*/*", "~/*.com"], some(&[0, 1, 2])),
        (&["*/*", "~other/x.com"], all.to_vec()),
    ] {
        let world = world(
            everything()
                .into_iter()
                .chain([sidecar("default", "s", hosts).into()]),
        );
        let scope = in_default(&world);
        assert_eq!(shown(&scope.egress[0].services), want, "{hosts:?}");
        assert_eq!(shown(&scope.services), want, "{hosts:?}");
        assert_eq!(scope.by_host.len(), want.len(), "{hosts:?}");
    }
}

#[test]
fn a_dot_means_the_clients_namespace_also_where_the_sidecar_stands_in_the_root_namespace() {
    let root = sidecar("istio-system", "s", &["./*"]);
    let world = world(everything().into_iter().chain([root.into()]));
    for (namespace, want) in [
        (
            "default",
            vec!["a.default:80", "b.default:80", "x.com@default:80"],
        ),
        ("other", vec!["c.other:80", "y.com@other:80"]),
    ] {
        assert_eq!(
            shown(&scope_in(&world, namespace).services),
            want,
            "{namespace}"
        );
    }
}

#[test]
fn a_listener_with_a_port_shows_that_port() {
    let two = kube_service(
        "default",
        "two",
        &[(80, Protocol::Http), (81, Protocol::Http)],
    );
    let objects = || [two.clone().into(), kube("default", "a")];
    let hosts = &["*/*"];
    for (name, listeners, first, all) in [
        (
            "80",
            vec![at_port(80, Protocol::Http, hosts)],
            vec!["a.default:80", "two.default:80"],
            vec!["a.default:80", "two.default:80"],
        ),
        (
            "81",
            vec![at_port(81, Protocol::Tcp, hosts)],
            vec!["two.default:81"],
            vec!["two.default:81"],
        ),
        (
            "82",
            vec![at_port(82, Protocol::Http, hosts)],
            vec![],
            vec![],
        ),
        (
            "an HTTP proxy is at no service's port",
            vec![at_port(82, Protocol::HttpProxy, hosts)],
            vec!["a.default:80", "two.default:80,81"],
            vec!["a.default:80", "two.default:80,81"],
        ),
        (
            "ports of several listeners come together",
            vec![
                at_port(81, Protocol::Http, hosts),
                at_port(80, Protocol::Http, hosts),
            ],
            vec!["two.default:81"],
            vec!["two.default:81,80", "a.default:80"],
        ),
    ] {
        let world = world(objects().into_iter().chain([with_egress(listeners)]));
        let scope = in_default(&world);
        assert_eq!(shown(scope.services_of(&scope.egress[0])), first, "{name}");
        assert_eq!(shown(&scope.services), all, "{name}");
    }
}

#[test]
fn each_listener_shows_its_own() {
    let listeners = vec![
        at_port(80, Protocol::Http, &["default/*"]),
        egress(&["other/*"]),
    ];
    let world = world(everything().into_iter().chain([with_egress(listeners)]));
    let scope = in_default(&world);
    let found: Vec<_> = scope.egress.iter().map(|e| shown(&e.services)).collect();
    let want = [
        vec!["a.default:80", "b.default:80", "x.com@default:80"],
        vec!["c.other:80", "y.com@other:80"],
    ];
    assert_eq!(found, want);
    assert_eq!(shown(&scope.services), want.concat());
}

#[test]
fn one_namespace_is_chosen_for_a_host() {
    let host = "a.default.svc.cluster.local";
    let entry = |namespace: &str, created| {
        let entry = service_entry(namespace, host, HTTP);
        Object::from(ServiceEntry {
            meta: later(created, entry.meta.clone()),
            ..entry
        })
    };
    let young_kube = || {
        let service = kube_service("default", "a", HTTP);
        Object::from(KubeService {
            meta: later(9, service.meta.clone()),
            ..service
        })
    };
    for (name, objects, namespace, want) in [
        (
            "the oldest",
            vec![entry("n1", 2), entry("n2", 1)],
            "client",
            "n2",
        ),
        (
            "the client's own",
            vec![entry("n1", 1), entry("client", 2)],
            "client",
            "client",
        ),
        (
            "Kubernetes",
            vec![entry("n1", 1), young_kube()],
            "client",
            "default",
        ),
        (
            "the client's own before Kubernetes",
            vec![entry("client", 1), young_kube()],
            "client",
            "client",
        ),
    ] {
        for hosts in [&[][..], &["*/*"]] {
            let objects = objects.iter().cloned();
            let world = world(objects.chain([sidecar(namespace, "s", hosts).into()]));
            let scope = scope_in(&world, namespace);
            let found = scope.service(&Hostname::new(host)).unwrap();
            assert_eq!(&*found.service.key.namespace, want, "{name} {hosts:?}");
            assert_eq!(scope.services.len(), 1, "{name} {hosts:?}");
        }
    }
}

#[test]
fn a_gateway_sees_every_service_and_no_sidecar() {
    let world = world(everything().into_iter().chain([
        sidecar("default", "s", &["nowhere/*"]).into(),
        service_entry("third", "x.com", HTTP).into(),
    ]));
    let scope = gateway_in(&world, "default");
    let want = [
        "a.default:80",
        "b.default:80",
        "c.other:80",
        "x.com@default:80",
        "x.com@third:80",
        "y.com@other:80",
    ];
    assert_eq!(shown(&scope.egress[0].services), want);
    assert!(scope.sidecar.is_none());
}

#[test]
fn exported_services() {
    let exported = |name: &str, to: &str| {
        Object::from(KubeService {
            export_to: export_to(to),
            ..kube_service("default", name, HTTP)
        })
    };
    let objects = || {
        [
            exported("everybody", "*"),
            exported("nobody", "~"),
            exported("said-nothing", ""),
            exported("to-other", "other"),
            exported("to-own", "default"),
        ]
    };
    let names = |scope: &Scope| {
        let names: Vec<_> = scope.services.iter().map(|s| &*s.service.name).collect();
        names.join(" ")
    };
    for (default, own, other, third) in [
        (
            "*",
            "to-own everybody said-nothing",
            "to-other everybody said-nothing",
            "everybody said-nothing",
        ),
        (
            ".",
            "said-nothing to-own everybody",
            "to-other everybody",
            "everybody",
        ),
    ] {
        let mesh = meltemi_model::mesh::Mesh {
            service_export_to: export_to(default),
            ..Default::default()
        };
        let world = world(objects().into_iter().chain([mesh.into()]));
        let found = ["default", "other", "third"].map(|ns| names(&scope_in(&world, ns)));
        assert_eq!(found, [own, other, third], "default {default}");
    }
}

#[test]
fn only_aliases_that_a_listener_names_are_shown() {
    let alias = |name: &str| {
        Object::from(KubeService {
            external_name: Some(Hostname::new("a.default.svc.cluster.local")),
            ..kube_service("default", name, HTTP)
        })
    };
    let a = "default/a.default.svc.cluster.local";
    let x = "default/x.default.svc.cluster.local";
    for (hosts, want) in [
        (&["*/*"][..], vec!["x", "y"]),
        (&[a], vec![]),
        (&[a, x], vec!["x"]),
    ] {
        let sidecar = sidecar("default", "s", hosts);
        let world = world([kube("default", "a"), alias("x"), alias("y"), sidecar.into()]);
        let scope = in_default(&world);
        let target = Hostname::new("a.default.svc.cluster.local");
        let aliases = &scope.service(&target).unwrap().service.aliases;
        let found: Vec<_> = aliases
            .iter()
            .map(|k| k.host.as_str().split('.').next().unwrap())
            .collect();
        assert_eq!(found, want, "{hosts:?}");
    }
}

use meltemi_model::object::{Meta, Object};
use meltemi_model::service::{KubeServicePort, TRAFFIC_DISTRIBUTION, TargetPort};
use meltemi_model::testing::{kube_service, labels, meta, service_entry};
use meltemi_model::{Kind, Labels};

use super::*;
use crate::fixtures::{later, world};

const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

/// The only service of a world with one object.
fn only(object: impl Into<Object>) -> Service {
    let world = world([object.into()]);
    let [service] = world.services.sorted.as_slice() else {
        panic!("{} services", world.services.sorted.len());
    };
    (**service).clone()
}

#[test]
fn a_kubernetes_service_in_the_joined_form() {
    let plain = || kube_service("ns", "a", HTTP);
    for (name, service, resolution, external) in [
        ("cluster IP", plain(), Resolution::ClientSideLb, false),
        (
            "headless",
            KubeService {
                headless: true,
                cluster_ips: Vec::new(),
                ..plain()
            },
            Resolution::Passthrough,
            false,
        ),
        (
            "external name",
            KubeService {
                external_name: Some(Hostname::new("b.com")),
                ..plain()
            },
            Resolution::Alias,
            true,
        ),
    ] {
        let found = only(service.clone());
        assert_eq!(found.key.host.as_str(), "a.ns.svc.cluster.local", "{name}");
        assert_eq!((&*found.key.namespace, &*found.name), ("ns", "a"), "{name}");
        assert_eq!(found.object, service.meta.key, "{name}");
        assert_eq!(found.addresses, service.cluster_ips, "{name}");
        assert_eq!(
            (found.resolution, found.mesh_external, found.headless),
            (resolution, external, service.headless),
            "{name}"
        );
        assert!(found.kubernetes, "{name}");
    }
}

#[test]
fn udp_ports_are_left_out() {
    let udp = KubeServicePort {
        name: "dns".into(),
        number: 53,
        target: TargetPort::Number(53),
        node_port: 0,
        protocol: Protocol::Udp,
    };
    let mut service = kube_service("ns", "a", &[(80, Protocol::Http), (81, Protocol::Tcp)]);
    service.ports.insert(1, udp);
    let entry = service_entry("ns", "b.com", &[(53, Protocol::Udp), (80, Protocol::Http)]);
    let numbers = |s: Service| s.ports.iter().map(|p| p.number).collect::<Vec<_>>();
    assert_eq!(numbers(only(service)), [80, 81]);
    assert_eq!(numbers(only(entry)), [80]);
}

#[test]
fn addresses_of_a_service_entry() {
    for (declared, want) in [
        (&[][..], &[][..]),
        (&["10.0.0.1", "fd00::1"], &["10.0.0.1", "fd00::1"]),
        (&["10.0.0.0/8"], &["10.0.0.0/8"]),
        (&["10.0.0.1/32", "fd00::1/128"], &["10.0.0.1", "fd00::1"]),
        (&["nonsense", "10.0.0.1"], &["10.0.0.1"]),
    ] {
        let found = only(ServiceEntry {
            addresses: declared.iter().map(|a| Str::from(*a)).collect(),
            ..service_entry("ns", "b.com", HTTP)
        });
        let found: Vec<&str> = found.addresses.iter().map(|a| &**a).collect();
        assert_eq!(found, want, "{declared:?}");
    }
}

#[test]
fn a_service_entry_is_one_service_for_each_host() {
    let [b, c] = ["b.com", "c.com"].map(Hostname::new);
    let world = world([ServiceEntry {
        hosts: vec![b.clone(), c.clone()],
        allocated: vec![(c.clone(), "240.240.0.1".into())],
        mesh_internal: true,
        ..service_entry("ns", "b.com", HTTP)
    }
    .into()]);
    let found: Vec<_> = world
        .services
        .sorted
        .iter()
        .map(|s| (&s.key.host, &*s.name, s.allocated.len(), s.mesh_external))
        .collect();
    assert_eq!(found, [(&b, "b.com", 0, false), (&c, "c.com", 1, false)]);
}

#[test]
fn only_an_unresolved_service_entry_sends_its_clients_to_another_port() {
    for (resolution, want) in [
        (Resolution::Passthrough, vec![(80, 8080)]),
        (Resolution::ClientSideLb, vec![]),
        (Resolution::Dns, vec![]),
    ] {
        let mut entry = service_entry("ns", "b.com", &[(80, Protocol::Http), (81, Protocol::Tcp)]);
        entry.resolution = resolution;
        entry.ports[0].target = 8080;
        assert_eq!(only(entry).passthrough_targets, want, "{resolution:?}");
    }
}

#[test]
fn who_says_that_near_endpoints_are_preferred() {
    use TrafficDistribution::{Any, PreferSameNode, PreferSameZone};
    let annotated = |meta: Meta, value: Option<&str>| Meta {
        annotations: value
            .map(|v| (TRAFFIC_DISTRIBUTION, v))
            .into_iter()
            .collect(),
        ..meta
    };
    // (the Service's field, the ServiceEntry's annotation, the namespace's annotation, both services').
    for (field, own, namespace, want) in [
        (None, None, None, Any),
        (None, None, Some("PreferClose"), PreferSameZone),
        (
            Some(PreferSameNode),
            Some("PreferSameNode"),
            None,
            PreferSameNode,
        ),
        (
            Some(PreferSameNode),
            Some("prefersamenode"),
            Some("PreferClose"),
            PreferSameNode,
        ),
        (Some(Any), Some("nonsense"), Some("PreferClose"), Any),
    ] {
        let kube = KubeService {
            traffic_distribution: field,
            ..kube_service("ns", "a", HTTP)
        };
        let mut entry = service_entry("ns", "b.com", HTTP);
        entry.meta = annotated(entry.meta, own);
        let namespace_object = Namespace {
            meta: annotated(meta(Kind::Namespace, "", "ns"), namespace),
        };
        let world = world([kube.into(), entry.into(), namespace_object.into()]);
        let found: Vec<_> = world
            .services
            .sorted
            .iter()
            .map(|s| s.traffic_distribution)
            .collect();
        assert_eq!(found, [want, want], "{field:?} {own:?} {namespace:?}");
    }
}

#[test]
fn the_oldest_come_first_then_by_name_and_namespace() {
    let kube = |namespace, name, created| {
        let service = kube_service(namespace, name, HTTP);
        Object::from(KubeService {
            meta: later(created, service.meta.clone()),
            ..service
        })
    };
    let world = world([
        kube("n1", "c", 1),
        kube("n2", "a", 2),
        kube("n1", "a", 2),
        kube("n1", "b", 2),
        kube("n1", "d", 0),
    ]);
    let hosts: Vec<_> = world
        .services
        .sorted
        .iter()
        .map(|s| format!("{}.{}", s.name, s.key.namespace))
        .collect();
    assert_eq!(hosts, ["d.n1", "c.n1", "a.n1", "a.n2", "b.n1"]);
}

#[test]
fn kubernetes_then_the_oldest_owns_a_host() {
    let host = "a.ns.svc.cluster.local";
    let entry = |name: &str, created| {
        let entry = service_entry("ns", host, HTTP);
        let named = meta(Kind::ServiceEntry, "ns", name);
        Object::from(ServiceEntry {
            meta: later(created, named),
            ..entry
        })
    };
    let kube = || {
        let service = kube_service("ns", "a", HTTP);
        Object::from(KubeService {
            meta: later(9, service.meta.clone()),
            ..service
        })
    };
    for (name, objects, owner, sharing) in [
        (
            "the older entry",
            vec![entry("x", 2), entry("y", 1)],
            "y",
            vec!["y", "x"],
        ),
        (
            "Kubernetes, though younger",
            vec![entry("x", 2), kube(), entry("y", 1)],
            "a",
            vec!["y", "x", "a"],
        ),
    ] {
        let world = world(objects);
        let host = Hostname::new(host);
        let found = world.services.owner(&host, "ns").unwrap();
        let owners: Vec<_> = world.services.owners(&host).collect();
        assert_eq!(owners, [found], "{name}");
        assert_eq!(&*found.object.name, owner, "{name}");
        let all: Vec<_> = world
            .services
            .sharing(&found.key)
            .iter()
            .map(|place| &*world.services.sorted[*place].object.name)
            .collect();
        assert_eq!(all, sharing, "{name}");
    }
}

#[test]
fn external_names_stand_for_their_last_target() {
    let alias = |name: &str, target: &str| {
        let full = if target.contains('.') {
            target.to_owned()
        } else {
            format!("{target}.ns.svc.cluster.local")
        };
        Object::from(KubeService {
            external_name: Some(Hostname::new(&full)),
            ..kube_service("ns", name, HTTP)
        })
    };
    let plain = |name: &str| Object::from(kube_service("ns", name, HTTP));
    for (name, objects, want) in [
        (
            "direct",
            vec![plain("a"), alias("x", "a")],
            vec![("a", vec!["x"])],
        ),
        (
            "through others",
            vec![
                plain("a"),
                alias("x", "y"),
                alias("y", "z"),
                alias("z", "a"),
            ],
            vec![("a", vec!["x", "y", "z"])],
        ),
        ("of itself", vec![plain("a"), alias("x", "x")], vec![]),
        (
            "a loop",
            vec![
                plain("a"),
                alias("x", "y"),
                alias("y", "x"),
                alias("z", "a"),
            ],
            vec![("a", vec!["z"])],
        ),
        (
            "into a loop",
            vec![alias("w", "x"), alias("x", "y"), alias("y", "x")],
            vec![],
        ),
        (
            "of nobody known",
            vec![plain("a"), alias("x", "elsewhere.com")],
            vec![],
        ),
        (
            "of a ServiceEntry",
            vec![
                service_entry("ns", "b.com", HTTP).into(),
                alias("x", "b.com"),
            ],
            vec![("b.com", vec!["x"])],
        ),
    ] {
        let world = world(objects);
        let short = |host: &Hostname| host.as_str().replace(".ns.svc.cluster.local", "");
        let found: Vec<_> = world
            .services
            .sorted
            .iter()
            .filter(|s| !s.aliases.is_empty())
            .map(|s| {
                let aliases = s.aliases.iter().map(|a| short(&a.host));
                (short(&s.key.host), aliases.collect::<Vec<_>>())
            })
            .collect();
        let want: Vec<(String, Vec<String>)> = want
            .into_iter()
            .map(|(host, aliases)| {
                (
                    host.to_owned(),
                    aliases.into_iter().map(str::to_owned).collect(),
                )
            })
            .collect();
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn selectors_are_told() {
    assert_eq!(
        only(kube_service("ns", "a", HTTP)).selector,
        labels("app=a")
    );
    let entry = |workload_selector| ServiceEntry {
        workload_selector,
        ..service_entry("ns", "b.com", HTTP)
    };
    assert_eq!(only(entry(Some(labels("app=b")))).selector, labels("app=b"));
    assert_eq!(only(entry(None)).selector, Labels::default());
}

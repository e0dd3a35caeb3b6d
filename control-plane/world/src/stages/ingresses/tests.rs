use meltemi_model::ingress::{IngressRule, IngressTls};
use meltemi_model::testing::{self, kube_service};
use meltemi_model::{Object, ObjectKey};

use super::*;
use crate::World;
use crate::fixtures::{after, later, world};
use crate::store::Change;

/// A path of a type, to a Service's port: `Prefix /a s:80`.
fn path(text: &str) -> IngressPath {
    let mut words = text.split(' ');
    let mut next = || words.next().expect("type, path, service:port");
    let (kind, path) = (next(), next());
    let (service, port) = next().split_once(':').expect("service:port");
    IngressPath {
        path: path.into(),
        path_type: match kind {
            "Exact" => PathType::Exact,
            "Prefix" => PathType::Prefix,
            _ => PathType::ImplementationSpecific,
        },
        backend: Some(IngressBackend {
            service: service.into(),
            port: match port.parse() {
                Ok(number) => BackendPort::Number(number),
                Err(_) => BackendPort::Name(port.into()),
            },
        }),
    }
}

/// An Ingress without a class, with one rule.
fn ingress(namespace: &str, name: &str, host: &str, paths: &[&str]) -> Ingress {
    Ingress {
        rules: vec![IngressRule {
            host: Hostname::new(host),
            paths: Some(paths.iter().map(|text| path(text)).collect()),
        }],
        ..testing::ingress(namespace, name)
    }
}

fn mesh(change: impl FnOnce(&mut IngressSettings)) -> Mesh {
    let mut mesh = Mesh::default();
    mesh.ingress.mode = IngressMode::Default;
    change(&mut mesh.ingress);
    mesh
}

/// A world that serves Ingresses without a class.
fn lenient(objects: impl IntoIterator<Item = Object>) -> World {
    let mesh = [Object::from(mesh(|_| {}))];
    world(mesh.into_iter().chain(objects))
}

/// What a VirtualService's routes match, and the port they go to.
fn routes(world: &World) -> Vec<String> {
    let made = world.ingresses.virtual_services.iter();
    made.flat_map(|vs| &vs.http)
        .map(|route| {
            let HttpAction::Forward(to) = &route.action else {
                panic!("{route:?}");
            };
            let matched = match route.matches.first().and_then(|m| m.uri.as_ref()) {
                Some(StringMatch::Exact(path)) => format!("={path}"),
                Some(StringMatch::Prefix(path)) => format!("{path}*"),
                _ => "any".to_owned(),
            };
            format!("{matched} {}", to[0].destination.port.expect("a port"))
        })
        .collect()
}

#[test]
fn classes_decide_who_is_served() {
    let annotated = |value: &str| {
        let mut ingress = ingress("ns", "x", "a.com", &["Prefix / s:80"]);
        ingress.meta.annotations = [(CLASS_ANNOTATION, value)].into_iter().collect();
        ingress
    };
    let of_class = |name: &str| Ingress {
        class_name: Some(name.into()),
        ..ingress("ns", "x", "a.com", &["Prefix / s:80"])
    };
    let none = ingress("ns", "x", "a.com", &["Prefix / s:80"]);
    let also_other = Ingress {
        class_name: Some("other".into()),
        ..annotated("istio")
    };
    // (Ingress; served in the modes OFF, DEFAULT, STRICT)
    let cases = [
        ("none", none, [false, true, false]),
        ("annotated istio", annotated("istio"), [false, true, true]),
        ("annotated other", annotated("nginx"), [false, false, false]),
        ("ours", of_class("ours"), [false, true, true]),
        ("other", of_class("other"), [false, false, false]),
        ("missing", of_class("missing"), [false, true, false]),
        ("the annotation wins", also_other, [false, true, true]),
    ];
    let modes = [IngressMode::Off, IngressMode::Default, IngressMode::Strict];
    for (name, ingress, wanted) in cases {
        for (mode, served) in modes.into_iter().zip(wanted) {
            let world = world([
                Object::from(mesh(|settings| settings.mode = mode)),
                testing::ingress_class("ours", CONTROLLER).into(),
                testing::ingress_class("other", "k8s.io/ingress-nginx").into(),
                ingress.clone().into(),
            ]);
            assert_eq!(
                !world.ingresses.served.is_empty(),
                served,
                "{name} {mode:?}"
            );
            assert_eq!(!world.gateways.is_empty(), served, "{name} {mode:?}");
        }
    }
}

#[test]
fn the_gateway_is_chosen_by_selector_then_by_service() {
    for (selector, service, wanted) in [
        ("", "istio-ingressgateway", "ingressgateway"),
        ("", "", "ingressgateway"),
        ("", "mine", "mine"),
        ("chosen", "mine", "chosen"),
    ] {
        let mesh = mesh(|settings| {
            settings.selector = selector.into();
            settings.service = service.into();
            settings.namespace = "edge".into();
        });
        let ingress = ingress("ns", "x", "a.com", &["Prefix / s:80"]);
        let world = world([Object::from(mesh), ingress.into()]);
        let gateway = &world.gateways[0];
        assert_eq!(
            gateway.meta.key.to_string(),
            "Gateway edge/x-istio-autogenerated-k8s-ingress-ns"
        );
        assert_eq!(gateway.selector.get("istio").map(|v| &**v), Some(wanted));
        let made = &world.ingresses.virtual_services[0];
        assert_eq!(
            made.meta.key.to_string(),
            "VirtualService ns/a-com-x-istio-autogenerated-k8s-ingress"
        );
        assert_eq!(
            &*made.gateways[0],
            "edge/x-istio-autogenerated-k8s-ingress-ns"
        );
    }
}

#[test]
fn paths_become_conditions_with_the_longest_first() {
    let world = lenient([ingress(
        "ns",
        "foo",
        "a.com",
        &[
            "ImplementationSpecific /path s:1",
            "ImplementationSpecific /long/path s:2",
            "ImplementationSpecific /regex1.* s:3",
            "ImplementationSpecific /regex2* s:4",
            "ImplementationSpecific /regex3/* s:5",
            "ImplementationSpecific /* s:6",
            "Exact /exact s:7",
            "Prefix /exact s:8",
            "Prefix / s:9",
        ],
    )
    .into()]);
    let wanted = [
        "=/long/path 2",
        "=/regex2* 4",
        "/regex1* 3",
        "/regex3* 5",
        "=/exact 7",
        "/exact* 8",
        "=/path 1",
        "/* 9",
        "any 6",
    ];
    let mut found = routes(&world);
    // Of equally long ones of one kind the order of the rules stays.
    assert_eq!(found.remove(0), wanted[0]);
    assert_eq!(found, wanted[1..]);
}

#[test]
fn rules_of_a_host_are_one_virtual_service_of_the_oldest() {
    let aged = |age, ingress: Ingress| Ingress {
        meta: later(age, ingress.meta.clone()),
        ..ingress
    };
    let world = lenient([
        aged(2, ingress("a", "young", "x.com", &["Prefix /young s:1"])).into(),
        aged(1, ingress("b", "old", "x.com", &["Prefix /older s:2"])).into(),
        aged(3, ingress("a", "other", "*", &["Prefix /other s:3"])).into(),
    ]);
    let names: Vec<String> = world
        .ingresses
        .virtual_services
        .iter()
        .map(|vs| vs.meta.key.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "VirtualService a/*-other-istio-autogenerated-k8s-ingress",
            "VirtualService b/x-com-old-istio-autogenerated-k8s-ingress"
        ]
    );
    assert_eq!(routes(&world), ["/other* 3", "/older* 2", "/young* 1"]);
    assert_eq!(world.gateways.len(), 3);
}

#[test]
fn certificates_have_servers_of_their_own() {
    let tls = |hosts: &[&str], secret: &str| IngressTls {
        hosts: hosts.iter().map(|h| Hostname::new(h)).collect(),
        secret: secret.into(),
    };
    let world = lenient([Ingress {
        tls: vec![tls(&["a.com"], "one"), tls(&["b.com"], ""), tls(&[], "two")],
        ..ingress("ns", "foo", "a.com", &["Prefix / s:80"])
    }
    .into()]);
    let servers: Vec<String> = world.gateways[0]
        .servers
        .iter()
        .map(|s| {
            let secret = s.tls.iter().flat_map(|tls| &tls.credential_names);
            let secrets: Vec<&str> = secret.map(|name| &**name).collect();
            format!("{} {} {}", s.port_name, s.hosts[0].host, secrets.join(","))
        })
        .collect();
    assert_eq!(
        servers,
        [
            "https-443-ingress-foo-ns-0 a.com one",
            "https-443-ingress-foo-ns-2 * two",
            "http-80-ingress-foo-ns * ",
        ]
    );
}

#[test]
fn ports_are_found_by_name_also_when_the_service_comes_later() {
    let without = lenient([ingress("ns", "x", "a.com", &["Prefix / s:p8080"]).into()]);
    assert_eq!(routes(&without), Vec::<String>::new());
    let said: Vec<String> = without
        .ingresses
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "warning: Ingress ns/x: spec.rules[0].http.paths[0].backend.service.port.name: there is no Service ns/s, so its port \"p8080\" is not known and the path is not served"
        ]
    );
    let service = kube_service("ns", "s", &[(8080, Protocol::Http)]);
    let with = after(&without, [Change::Apply(service.into())]);
    assert_eq!(routes(&with), ["/* 8080"]);
    assert!(with.ingresses.diagnostics.is_empty());
    let key = ObjectKey::new(Kind::Ingress, "ns", "x");
    let gone = after(&with, [Change::Delete(key)]);
    assert!(gone.gateways.is_empty());
}

#[test]
fn what_was_made_of_ingresses_is_told_by_their_names() {
    let world = lenient([
        ingress("ns", "a", "x.com", &["Prefix / s:80"]).into(),
        ingress("ns", "b", "x.com", &["Prefix /b s:80"]).into(),
    ]);
    let key = |name: &str| ObjectKey::new(Kind::Ingress, "ns", name);
    let own = ObjectKey::new(Kind::Service, "ns", "s");
    let route = world.ingresses.virtual_services[0].meta.key.clone();
    let gateways = world.ingresses.gateways.iter();
    let mut keys: Vec<ObjectKey> = gateways.map(|gateway| gateway.meta.key.clone()).collect();
    assert_eq!(world.written(&keys), [&key("a"), &key("b")]);
    keys.insert(0, own.clone());
    keys.push(route);
    assert_eq!(world.written(&keys), [&own, &key("a"), &key("b")]);
}

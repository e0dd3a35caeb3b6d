//! The service ports at which a workload serves.

use super::*;

/// `service port>target` of each.
fn shown(class: &ProxyClass) -> Vec<String> {
    class
        .instances
        .iter()
        .map(|i| format!("{} {}>{}", i.service.name, i.port, i.target))
        .collect()
}

fn with_target(name: &str, ports: &[(u16, Protocol)], target: &TargetPort) -> KubeService {
    let mut service = kube_service("default", name, ports);
    service.selector = labels("app=a");
    service
        .ports
        .iter_mut()
        .for_each(|p| p.target = target.clone());
    service
}

fn aged(service: KubeService, created: i64) -> KubeService {
    KubeService {
        meta: Meta {
            created,
            ..service.meta.clone()
        },
        ..service
    }
}

fn a() -> Object {
    let pod = Pod {
        ports: vec![("web".into(), 8080)],
        ..a_1("app=a")
    };
    pod.into()
}

#[test]
fn services_that_select_the_workload() {
    let number = TargetPort::Number(9090);
    let two = &[(80, Protocol::Http), (81, Protocol::Http)];
    let mixed = &[(80, Protocol::Http), (81, Protocol::Tcp)];
    let own = |name: &str| with_target(name, HTTP, &number);
    let no_selector = KubeService {
        selector: Labels::default(),
        ..own("s")
    };
    let elsewhere = KubeService {
        meta: kube_service("other", "s", HTTP).meta,
        ..own("s")
    };
    for (name, services, want) in [
        ("by number", vec![own("s")], vec!["s 80>9090"]),
        (
            "by name",
            vec![with_target("s", HTTP, &TargetPort::Name("web".into()))],
            vec!["s 80>8080"],
        ),
        (
            "a name that the pod does not have",
            vec![with_target("s", HTTP, &TargetPort::Name("grpc".into()))],
            vec![],
        ),
        (
            "two ports with one target and protocol are one listener",
            vec![with_target("s", two, &number)],
            vec!["s 80>9090"],
        ),
        (
            "with two protocols they are two",
            vec![with_target("s", mixed, &number)],
            vec!["s 80>9090", "s 81>9090"],
        ),
        (
            "UDP is left out",
            vec![with_target("s", &[(53, Protocol::Udp)], &number)],
            vec![],
        ),
        (
            "the oldest first, then by host",
            vec![aged(own("x"), 2), aged(own("z"), 1), aged(own("y"), 1)],
            vec!["y 80>9090", "z 80>9090", "x 80>9090"],
        ),
        ("another namespace", vec![elsewhere], vec![]),
        ("no selector", vec![no_selector], vec![]),
    ] {
        let found = class(
            services.into_iter().map(Object::from).chain([a()]),
            &json!({}),
        );
        assert_eq!(shown(&found), want, "{name}");
    }
}

#[test]
fn a_proxy_without_a_pod_tells_its_labels_and_ports() {
    let metadata = json!({
        "LABELS": {"app": "a"}, "POD_PORTS": r#"[{"name": "web", "containerPort": 8443}]"#,
    });
    let service = with_target("s", HTTP, &TargetPort::Name("web".into()));
    assert_eq!(shown(&class([service.into()], &metadata)), ["s 80>8443"]);
}

#[test]
fn services_that_have_the_workloads_address() {
    let entry = |address: &str| {
        Object::from(ServiceEntry {
            resolution: Resolution::ClientSideLb,
            endpoints: vec![workload(address)],
            ..service_entry("default", "b.com", HTTP)
        })
    };
    let bare = |headless| {
        Object::from(KubeService {
            headless,
            selector: Labels::default(),
            ..kube_service("default", "bare", HTTP)
        })
    };
    let bare_slice = || {
        let endpoint = slice_endpoint("10.0.0.1", None);
        Object::from(slice("default", "bare", "x", vec![endpoint]))
    };
    let selecting = || Object::from(kube_service("default", "a", HTTP));
    let elsewhere = Object::from(ServiceEntry {
        meta: service_entry("other", "b.com", HTTP).meta,
        resolution: Resolution::ClientSideLb,
        endpoints: vec![workload("10.0.0.1")],
        ..service_entry("default", "b.com", HTTP)
    });
    for (name, objects, want) in [
        (
            "a ServiceEntry",
            vec![entry("10.0.0.1")],
            vec!["b.com 80>80"],
        ),
        ("of another address", vec![entry("10.0.0.2")], vec![]),
        ("of another namespace", vec![elsewhere], vec![]),
        (
            "besides services that select it",
            vec![entry("10.0.0.1"), selecting()],
            vec!["a 80>80", "b.com 80>80"],
        ),
        (
            "a headless service without selector",
            vec![bare(true), bare_slice()],
            vec!["bare 80>8080"],
        ),
        (
            "which counts only where none selects it",
            vec![bare(true), bare_slice(), selecting()],
            vec!["a 80>80"],
        ),
        (
            "a service without selector that is not headless",
            vec![bare(false), bare_slice()],
            vec![],
        ),
    ] {
        let found = class(objects.into_iter().chain([a()]), &json!({}));
        assert_eq!(shown(&found), want, "{name}");
    }
}

#[test]
fn ports_of_a_gateway() {
    let gateway = |label: Option<&str>| {
        let mut service = kube_service(
            "default",
            "gw",
            &[(80, Protocol::Http), (443, Protocol::Https)],
        );
        service.selector = labels("app=a");
        service.ports[0].target = TargetPort::Number(8080);
        service.ports[1].target = TargetPort::Number(8443);
        service.meta.labels = label.map(|l| (l, "true")).into_iter().collect();
        service
    };
    let second = with_target("second", HTTP, &TargetPort::Number(9090));
    let translated = BTreeMap::from([(80, vec![8080]), (443, vec![8443])]);
    let both = BTreeMap::from([(80, vec![8080, 9090]), (443, vec![8443])]);
    for (name, services, want) in [
        ("translated", vec![gateway(None)], translated),
        ("by two services", vec![gateway(None), second], both),
        (
            "not translated",
            vec![gateway(Some(NO_TRANSLATION))],
            BTreeMap::new(),
        ),
    ] {
        let world = world(services.into_iter().map(Object::from).chain([a()]));
        let found = classify(&world, &router("a-1", "10.0.0.1", &json!({})), None);
        assert_eq!(found.gateway_ports, want, "{name}");
        assert_eq!(
            (found.kind, found.instances.len()),
            (ProxyKind::Router, 0),
            "{name}"
        );
        assert!(
            class_of_a(&world).gateway_ports.is_empty(),
            "{name}: a sidecar has none"
        );
    }
}

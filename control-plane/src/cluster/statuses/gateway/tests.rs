use meltemi_model::mesh::Mesh;
use meltemi_model::{Object, Shared};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_world::{Change, Store};

use super::*;

/// A world of some objects; `service` is the mesh configuration's `ingressService`.
fn world(service: &str, objects: &[Value]) -> World {
    let mut store = Store::default();
    for object in objects {
        let lowered = lower(object, &LowerSettings::default());
        let object: Object = lowered.object.expect("it can be used");
        store.apply([Change::Apply(object)]);
    }
    let mut mesh = Mesh::default();
    mesh.ingress.service = service.into();
    let mesh = Shared::new(mesh);
    World::empty(mesh.clone()).next(&store, &mesh)
}

fn ingress(name: &str, class: &str, revision: &str) -> Value {
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "annotations": {"kubernetes.io/ingress.class": class}},
        "spec": {},
    });
    if !revision.is_empty() {
        object["metadata"]["labels"] = json!({"istio.io/rev": revision});
    }
    object
}

fn service(spec: &Value, ingress: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": spec, "status": {"loadBalancer": {"ingress": ingress}},
    })
}

#[test]
fn where_the_gateway_is_reached() {
    let balancer = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.9"],
        "ports": [{"port": 80}]});
    let given =
        json!([{"hostname": "b.example.com"}, {"ip": "192.0.2.10"}, {"hostname": "a.example.com"}]);
    let pod = |name: &str, phase: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "istio-system", "labels": {"istio": "ingressgateway"}},
            "spec": {"nodeName": node},
            "status": {"phase": phase, "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}]},
        })
    };
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "10.9.0.1"}, {"type": "ExternalIP", "address": "198.51.100.1"},
            {"type": "ExternalIP", "address": "198.51.100.1"},
        ]},
    });
    for (what, named, objects, want) in [
        (
            "all that the balancer and the Service say, in order",
            "istio-ingressgateway",
            vec![service(&balancer, &given)],
            json!([{"ip": "192.0.2.10"}, {"ip": "192.0.2.9"}, {"hostname": "a.example.com"},
                {"hostname": "b.example.com"}]),
        ),
        (
            "the name that it stands for",
            "istio-ingressgateway",
            vec![service(
                &json!({"type": "ExternalName", "externalName": "gw.example.com"}),
                &json!([]),
            )],
            json!([{"hostname": "gw.example.com"}]),
        ),
        (
            "no such Service",
            "istio-ingressgateway",
            vec![node.clone()],
            json!([]),
        ),
        (
            "without a Service, the node of a pod that runs",
            "",
            vec![
                pod("a", "Succeeded", "n"),
                pod("b", "Running", "unknown"),
                pod("c", "Running", "n"),
                node.clone(),
            ],
            json!([{"ip": "198.51.100.1"}]),
        ),
    ] {
        let points = Points::of(&world(named, &objects), "default", true);
        assert_eq!(Value::from(points.points), want, "{what}");
    }
}

#[test]
fn whose_ingresses_say_it() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio.io/rev": "canary"}}});
    let ingresses = [
        ingress("other", "nginx", ""),
        ingress("ours", "istio", ""),
        ingress("theirs", "istio", "canary"),
        ingress("default", "istio", "default"),
    ];
    let with_namespace = || ingresses.iter().cloned().chain([namespace.clone()]);
    for (what, objects, revision, is_default, want) in [
        (
            "no namespace is known",
            ingresses.to_vec(),
            "default",
            true,
            "default ours",
        ),
        (
            "the namespace says",
            with_namespace().collect(),
            "canary",
            false,
            "ours theirs",
        ),
        (
            "the object says",
            with_namespace().collect(),
            "default",
            true,
            "default",
        ),
        (
            "the default one",
            ingresses.to_vec(),
            "canary",
            true,
            "default ours theirs",
        ),
    ] {
        let points = Points::of(&world("", &objects), revision, is_default);
        let names: Vec<String> = points.ingresses.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names.join(" "), want, "{what}");
    }
}

#[test]
fn only_what_differs_is_written() {
    let mut ingresses = Ingresses::default();
    let mut see = |name: &str, status: Value| {
        let seen = Seen {
            created: 0,
            labels: &BTreeMap::new(),
            spec: &Value::Null,
            status: &status,
        };
        ingresses.seen(&("shop".into(), name.into()), seen)
    };
    assert!(see(
        "right",
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    ));
    assert!(!see(
        "right",
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    ));
    see("empty", json!({"loadBalancer": {}}));
    see(
        "foreign",
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}),
    );
    let ours = ["right", "empty"].map(|name| ("shop".to_owned(), name.to_owned()));
    let mut points = Points {
        points: vec![json!({"ip": "192.0.2.1"})],
        ingresses: ours.into(),
    };
    assert!(ingresses.wanted(&None).is_empty());
    let wanted = ingresses.wanted(&Some(points.clone()));
    let empty = ("shop".to_owned(), "empty".to_owned());
    let want = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    assert_eq!(wanted, [(empty, want)].into());
    points.points.clear();
    let wanted = ingresses.wanted(&Some(points));
    let right = ("shop".to_owned(), "right".to_owned());
    assert_eq!(
        wanted,
        [(right, json!({"loadBalancer": {"ingress": null}}))].into()
    );
}

use futures::FutureExt as _;
use meltemi_model::ingress::{
    BackendPort, Ingress, IngressBackend, IngressMode, IngressPath, IngressRule, PathType,
};
use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::testing::{self, kube_service};
use meltemi_model::{Hostname, Kind, Locality};
use serde_json::json;

use super::*;

fn engine() -> Engine {
    let engine = Engine::new(Mesh::default());
    engine.apply(vec![service("first")], Vec::new());
    engine
}

fn service(name: &str) -> Change {
    Change::Apply(Object::from(kube_service(
        "ns",
        name,
        &[(80, Protocol::Http)],
    )))
}

fn proxy(namespace: &str) -> Proxy {
    let id = format!("sidecar~10.0.0.1~a.{namespace}~{namespace}.svc.cluster.local");
    Proxy::parse(&id, "", Locality::default(), &json!({}), []).expect("a node")
}

/// Whether a proxy has been given its snapshot, and how many clusters are in it.
fn clusters(subscription: Subscription) -> Option<usize> {
    let receiver = subscription
        .filled()
        .now_or_never()?
        .expect("the engine is there");
    let snapshot = receiver.borrow().clone();
    Some(snapshot.set(ResourceType::Cluster).by_name.len())
}

#[test]
fn proxies_that_come_together_wait_for_one_compilation() {
    let engine = engine();
    let (first, job) = engine.open(&proxy("ns"));
    let job = job.expect("a new class");
    let others: Vec<_> = (0..1000).map(|_| engine.open(&proxy("ns"))).collect();
    assert!(others.iter().all(|(_, job)| job.is_none()));
    let (stranger, other_job) = engine.open(&proxy("other"));
    assert!(other_job.is_some(), "another class does not wait");
    engine.compile(job);
    let has = clusters(first).expect("a snapshot");
    for (other, _) in others {
        assert_eq!(clusters(other), Some(has));
    }
    assert_eq!(clusters(stranger), None);
    let (late, job) = engine.open(&proxy("ns"));
    assert!(job.is_none());
    assert_eq!(clusters(late), Some(has));
}

#[test]
fn a_new_world_serves_those_that_wait() {
    let engine = engine();
    let before = engine.subscribe(&proxy("other"));
    let few = before.borrow().set(ResourceType::Cluster).by_name.len();
    let (waiting, job) = engine.open(&proxy("ns"));
    engine.apply(vec![service("second")], Vec::new());
    assert_eq!(clusters(waiting), Some(few + 1));
    // The world of the job is gone, and so is the job: what it finds is nobody's.
    let (last, none) = engine.open(&proxy("ns"));
    engine.compile(job.expect("a new class"));
    assert!(none.is_none());
    assert_eq!(clusters(last), Some(few + 1));
}

#[test]
fn a_job_of_an_old_world_keeps_nobody_from_a_new_one() {
    let engine = engine();
    let (gone, old) = engine.open(&proxy("ns"));
    drop(gone);
    engine.apply(vec![service("second")], Vec::new());
    let (waiting, job) = engine.open(&proxy("ns"));
    engine.compile(old.expect("a new class"));
    let (other, none) = engine.open(&proxy("ns"));
    assert!(none.is_none(), "the new job is still there");
    engine.compile(job.expect("nobody has compiled it for this world"));
    assert_eq!(clusters(waiting), clusters(other));
}

#[test]
fn who_subscribes_at_once_has_a_snapshot_that_is_not_news() {
    let engine = engine();
    let (_waiting, _job) = engine.open(&proxy("ns"));
    let receiver = engine.subscribe(&proxy("ns"));
    assert!(
        !receiver
            .borrow()
            .set(ResourceType::Cluster)
            .by_name
            .is_empty()
    );
    assert!(!receiver.has_changed().expect("the engine is there"));
}

#[test]
fn an_ingress_is_held_back_by_its_own_name() {
    let mut mesh = Mesh::default();
    mesh.ingress.mode = IngressMode::Default;
    let engine = Engine::new(mesh);
    let ingress = |name: &str, host: &str| Ingress {
        rules: vec![IngressRule {
            host: Hostname::new(host),
            paths: Some(vec![IngressPath {
                path: "/".into(),
                path_type: PathType::Prefix,
                backend: Some(IngressBackend {
                    service: "first".into(),
                    port: BackendPort::Number(80),
                }),
            }]),
        }],
        ..testing::ingress("ns", name)
    };
    let objects = [
        Object::from(ingress("bad", "bad.com")),
        ingress("good", "good.com").into(),
    ];
    let changes = objects.into_iter().map(Change::Apply);
    engine.apply(changes.chain([service("first")]).collect(), Vec::new());
    let id = "router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local";
    let metadata = json!({"LABELS": {"istio": "ingressgateway"}});
    let proxy = Proxy::parse(id, "", Locality::default(), &metadata, []).expect("a node");
    let hosts = |snapshot: &ProxySnapshot| {
        let routes = &snapshot.set(ResourceType::Route).by_name["http.80"];
        let text = String::from_utf8_lossy(&routes.body).into_owned();
        ["bad.com", "good.com"].map(|host| text.contains(host))
    };
    let served = engine.subscribe(&proxy);
    let snapshot = served.borrow().clone();
    assert_eq!(hosts(&snapshot), [true, true]);

    let routes = &snapshot.set(ResourceType::Route).by_name["http.80"];
    let world = engine.world();
    let suspects = suspects(world.written(&routes.from));
    let key = |name: &str| ObjectKey::new(Kind::Ingress, "ns", name);
    assert_eq!(suspects, [key("bad"), key("good")].into());
    let bad = [key("bad")].into();
    assert_eq!(
        hosts(&engine.served_without(&proxy, &bad, false)),
        [false, true]
    );

    let refusal = Refusal {
        proxy: "gw.istio-system".into(),
        ty: ResourceType::Route,
        name: "http.80".into(),
        message: "no".into(),
    };
    engine.hold(&proxy, &bad, false, &refusal);
    assert_eq!(hosts(&served.borrow()), [false, true]);
    let said: Vec<String> = engine
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        said.iter().any(|text| text.contains("Ingress ns/bad")),
        "{said:?}"
    );
}

//! What the leader writes into the status of ServiceEntries and Ingresses, and what comes of it.

use meltemi_fake_api::{FakeApi, Fault, On, Type, Verb};
use serde_json::{Value, json};

use crate::site::{PATIENCE, SYSTEM, Site, api};

const ENTRIES: &str = "serviceentries.networking.istio.io";
const INGRESSES: &str = "ingresses.networking.k8s.io";

async fn with_entries() -> FakeApi {
    let api = api().await;
    let mut kind = Type::new(
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
        "serviceentries",
        "ServiceEntry",
        true,
    );
    kind.status = true;
    api.install(&kind);
    api
}

fn entry(name: &str, created: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"namespace": "default", "name": name, "creationTimestamp": created},
        "spec": {
            "hosts": [format!("{name}.example.com")],
            "resolution": "DNS",
            "ports": [{"number": 5432, "name": "tcp", "protocol": "TCP"}],
        },
    })
}

fn addresses(object: Option<&Value>) -> Vec<&str> {
    let list = object.and_then(|o| o["status"]["addresses"].as_array());
    let list = list.into_iter().flatten();
    list.filter_map(|address| address["value"].as_str())
        .collect()
}

/// Waits until a ServiceEntry has these addresses.
async fn has(api: &FakeApi, name: &str, want: &[&str]) {
    let wait = api.until(ENTRIES, "default", name, |found| addresses(found) == want);
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        let found = api.get(ENTRIES, "default", name);
        panic!("{name} has {:?}, not {want:?}", addresses(found.as_ref()));
    }
}

fn written(api: &FakeApi, resource: &str) -> usize {
    api.count(Verb::Patch, &format!("{resource}/status"))
}

#[tokio::test]
async fn addresses_are_given_kept_and_freed() {
    let api = with_entries().await;
    api.apply(entry("young", "2026-02-01T00:00:00Z"));
    let mut old = entry("old", "2026-01-01T00:00:00Z");
    old["status"] = json!({"conditions": [{"type": "Reconciled", "status": "True"}]});
    api.apply(old);
    let mut out = entry("out", "2026-01-01T00:00:00Z");
    out["metadata"]["labels"] = json!({"networking.istio.io/enable-autoallocate-ip": "false"});
    api.apply(out);
    // The first writes fail.
    api.fault(On::verb(Verb::Patch).of(ENTRIES), Fault::internal(), 3);
    let site = Site::ready(&api).await;
    has(&api, "old", &["240.240.0.1", "2001:2::1"]).await;
    has(&api, "young", &["240.240.0.2", "2001:2::2"]).await;
    let found = api.get(ENTRIES, "default", "old").unwrap();
    assert_eq!(found["status"]["conditions"][0]["type"], "Reconciled");
    assert_eq!(
        found["status"]["addresses"],
        json!([
            {"value": "240.240.0.1", "host": "old.example.com"},
            {"value": "2001:2::1", "host": "old.example.com"},
        ])
    );
    assert_eq!(
        addresses(api.get(ENTRIES, "default", "out").as_ref()),
        [""; 0]
    );
    assert_eq!(written(&api, ENTRIES), 5, "two, and three that failed");

    // Two hold one address, as after a restore of a backup: the younger moves.
    let mut twin = entry("twin", "2026-03-01T00:00:00Z");
    twin["status"] = json!({"addresses": [{"value": "240.240.0.1", "host": "twin.example.com"}]});
    api.apply(twin);
    has(&api, "twin", &["240.240.0.3", "2001:2::3"]).await;
    has(&api, "old", &["240.240.0.1", "2001:2::1"]).await;

    // Who takes no part any more loses them.
    let mut twin = api.get(ENTRIES, "default", "twin").unwrap();
    twin["spec"]["addresses"] = json!(["10.1.2.3"]);
    api.apply(twin);
    has(&api, "twin", &[]).await;
    let so_far = written(&api, ENTRIES);
    assert_eq!(so_far, 7);
    site.stop().await;

    // Another replica finds everything as it should be.
    api.delete(ENTRIES, "default", "old");
    let site = Site::start(&api, "istiod-2").await;
    site.becomes(200).await;
    api.apply(entry("new", "2026-04-01T00:00:00Z"));
    has(&api, "new", &["240.240.0.1", "2001:2::1"]).await;
    has(&api, "young", &["240.240.0.2", "2001:2::2"]).await;
    assert_eq!(written(&api, ENTRIES), so_far + 1);
    site.stop().await;
}

#[tokio::test]
async fn one_of_two_replicas_writes() {
    let api = with_entries().await;
    for i in 0..10 {
        api.apply(entry(&format!("e{i}"), "2026-01-01T00:00:00Z"));
    }
    let first = Site::ready(&api).await;
    let second = Site::start(&api, "istiod-2").await;
    second.becomes(200).await;
    has(&api, "e9", &["240.240.0.10", "2001:2::a"]).await;
    assert_eq!(written(&api, ENTRIES), 10);
    first.stop().await;
    api.apply(entry("late", "2026-05-01T00:00:00Z"));
    has(&api, "late", &["240.240.0.11", "2001:2::b"]).await;
    assert_eq!(written(&api, ENTRIES), 11);
    second.stop().await;
}

#[tokio::test]
async fn ingresses_say_where_their_gateway_is() {
    let api = api().await;
    let gateway = |points: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "istio-ingressgateway", "namespace": SYSTEM},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.8", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": points}},
        })
    };
    let ingress = |name: &str, class: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "namespace": "default", "annotations": {"kubernetes.io/ingress.class": class}},
            "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "echo", "port": {"number": 80}}}}]}}]},
        })
    };
    let has = async |want: Value| {
        let right = |found: Option<&Value>| {
            found.is_some_and(|o| {
                o["status"]["loadBalancer"]
                    .get("ingress")
                    .unwrap_or(&Value::Null)
                    == &want
            })
        };
        let wait = api.until(INGRESSES, "default", "ours", right);
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "{:?}",
            api.get(INGRESSES, "default", "ours")
        );
    };
    api.apply(gateway(
        json!([{"hostname": "gw.example.com"}, {"ip": "192.0.2.1"}]),
    ));
    api.apply(ingress("ours", "istio"));
    api.apply(ingress("other", "nginx"));
    let site = Site::ready(&api).await;
    has(json!([{"ip": "192.0.2.1"}, {"hostname": "gw.example.com"}])).await;
    api.apply(gateway(json!([{"ip": "192.0.2.2"}])));
    has(json!([{"ip": "192.0.2.2"}])).await;
    api.apply(gateway(json!([])));
    has(Value::Null).await;
    assert_eq!(written(&api, INGRESSES), 3);
    let other = api.get(INGRESSES, "default", "other").unwrap();
    assert_eq!(other.get("status"), None);
    site.stop().await;
}

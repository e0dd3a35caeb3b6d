//! Faults: whatever happens, what is served at last is what the API server has.

use meltemi_fake_api::{Fault, On, Refusal, Verb};
use serde_json::json;

use super::fixtures::*;

/// A fault, and what the test does to the server besides.
type Script = fn(&meltemi_fake_api::FakeApi);

#[tokio::test]
async fn faults_at_the_start_are_waited_out() {
    let cases: &[(&str, Script)] = &[
        ("500", |api| api.fault(On::all(), Fault::internal(), 60)),
        ("429", |api| {
            api.fault(On::all(), Fault::too_many_requests(1), 40)
        }),
        ("connections cut", |api| {
            api.fault(On::all(), Fault::CutOff, 60)
        }),
        ("410", |api| api.fault(On::all(), Fault::gone(), 60)),
        ("410 as an event", |api| {
            api.fault(On::verb(Verb::Watch), Fault::gone_event(), 60)
        }),
        ("stalls", |api| api.fault(On::all(), Fault::Stall, 10)),
        ("no streaming lists", |api| api.streaming_lists(false)),
        // What an API server says whose etcd cannot stream lists; every kind hears it, one after the other.
        ("500 as an event", |api| {
            let refusal = Refusal::new(500, "RequestWatchProgress is disabled");
            for kind in ["namespaces", "services", "virtualservices"] {
                api.fault(
                    On::verb(Verb::Watch).of(kind),
                    Fault::ErrorEvent(refusal.clone()),
                    1,
                );
            }
        }),
    ];
    for (name, script) in cases {
        let api = api().await;
        api.apply(namespace("shop"));
        api.apply(service("cart", 80));
        api.apply(virtual_service("cart", "cart"));
        script(&api);
        let mut source = Source::of(&api);
        source.until(|s| s.synced).await;
        source.converges(&api).await;
        assert_eq!(source.objects.len(), 3, "{name}");
        api.apply(service("cart", 81));
        source.converges(&api).await;
    }
}

#[tokio::test]
async fn faults_in_the_middle_lose_nothing() {
    let cases: &[(&str, Script)] = &[
        ("watches end", |api| api.end_watches(None)),
        ("watches break", |api| api.break_watches(None)),
        ("watches end, history gone", |api| {
            api.compact();
            api.end_watches(None);
        }),
        ("410 as status", |api| {
            api.fault(On::verb(Verb::Watch), Fault::gone(), 30);
            api.break_watches(None);
        }),
        ("410 as event", |api| {
            api.fault(On::verb(Verb::Watch), Fault::gone_event(), 30);
            api.break_watches(None);
        }),
        ("500", |api| {
            api.fault(On::all(), Fault::internal(), 100);
            api.break_watches(None);
        }),
        ("error event", |api| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "too old", "reason": "Expired", "code": 410});
            for resource in ["services", "virtualservices"] {
                api.send(resource, "ERROR", &status);
            }
        }),
        ("duplicates", |api| {
            api.repeat("services", 3);
            api.repeat("virtualservices", 3);
        }),
        ("an outage", |api| {
            api.go_down();
        }),
        ("an outage, history gone", |api| {
            api.go_down();
            api.compact();
        }),
    ];
    for streaming in [true, false] {
        for (name, script) in cases {
            let api = api().await;
            api.streaming_lists(streaming);
            api.apply(namespace("shop"));
            api.apply(service("cart", 80));
            api.apply(service("gone", 80));
            api.apply(virtual_service("cart", "cart"));
            let mut source = Source::synced(&api).await;
            script(&api);
            api.apply(service("cart", 81));
            api.apply(service("new", 80));
            api.delete("services", "shop", "gone");
            api.apply(virtual_service("cart", "other"));
            api.compact();
            api.come_back();
            source.converges(&api).await;
            assert_eq!(source.objects.len(), 4, "{name}");
            // Healthy again: what comes next is seen, too.
            api.heal();
            api.apply(service("cart", 82));
            source.converges(&api).await;
        }
    }
}

#[tokio::test]
async fn an_outage_keeps_the_last_good_state() {
    let api = api().await;
    api.apply(service("cart", 80));
    let mut source = Source::synced(&api).await;
    api.go_down();
    source.until(|s| !s.diagnostics.is_empty()).await;
    assert_eq!(
        source.said(),
        [
            "error: the Kubernetes API server does not answer, or not for every kind; what it said last is served"
        ]
    );
    assert_eq!(source.names(), ["Service shop/cart"]);
    assert!(source.synced);
    api.delete("services", "shop", "cart");
    api.come_back();
    source.converges(&api).await;
    assert_eq!(source.objects.len(), 0);
}

#[tokio::test]
async fn events_out_of_order_do_not_bring_old_states_back() {
    let api = api().await;
    api.apply(service("cart", 80));
    api.apply(service("gone", 80));
    let mut source = Source::synced(&api).await;
    api.watched("services", 1).await;
    api.hold("services");
    api.apply(service("cart", 81));
    api.apply(service("cart", 82));
    api.apply(service("gone", 81));
    api.delete("services", "shop", "gone");
    api.apply(service("again", 80));
    api.delete("services", "shop", "again");
    api.apply(service("again", 81));
    api.apply(service("never", 80));
    api.delete("services", "shop", "never");
    api.deliver_reversed("services");
    api.apply(service("mark", 80));
    source
        .until(|s| s.names().contains(&"Service shop/mark".to_owned()))
        .await;
    assert_eq!(source.objects, expected(&api));
}

#[tokio::test]
async fn a_relist_is_one_batch() {
    let api = api().await;
    for name in ["a", "b", "c"] {
        api.apply(service(name, 80));
    }
    let mut source = Source::synced(&api).await;
    api.go_down();
    for name in ["a", "b"] {
        api.delete("services", "shop", name);
    }
    for name in ["d", "e"] {
        api.apply(service(name, 80));
    }
    api.compact();
    api.come_back();
    let all = ["Service shop/a", "Service shop/b", "Service shop/c"];
    while source.names() == all {
        source.step().await;
    }
    assert_eq!(
        source.names(),
        ["Service shop/c", "Service shop/d", "Service shop/e"]
    );
}

#[tokio::test]
async fn a_refusal_is_said_and_forgotten() {
    let api = api().await;
    api.apply(service("cart", 80));
    api.fault(
        On::verb(Verb::Watch).of("services"),
        Fault::forbidden(),
        1_000_000,
    );
    let mut source = Source::of(&api);
    source.until(|s| !s.diagnostics.is_empty()).await;
    assert_eq!(
        source.said(),
        [
            "error: services cannot be read from the Kubernetes API server (forbidden); let Meltemi's service account get, list, watch them"
        ]
    );
    assert!(!source.synced);
    api.heal();
    source.until(|s| s.synced && s.diagnostics.is_empty()).await;
    source.converges(&api).await;
}

#[tokio::test]
async fn a_missing_page_is_no_reason_to_drop_objects() {
    let api = api().await;
    api.apply(virtual_service("cart", "cart"));
    let mut source = Source::synced(&api).await;
    // Some proxy in between knows nothing for a while; the definition is still there.
    let missing = Fault::Refuse(meltemi_fake_api::Refusal::new(404, "404 page not found"));
    api.fault(On::verb(Verb::Watch).of("virtualservices"), missing, 40);
    api.end_watches(Some("virtualservices"));
    api.apply(virtual_service("cart", "other"));
    while source.objects != expected(&api) {
        let batch = source.step().await;
        assert!(batch.changes.iter().all(|(_, object)| object.is_some()));
    }
}

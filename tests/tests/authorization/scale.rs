//! Many policies: a change does work for the proxies that it guards, and for nobody else.

use meltemi::engine::Engine;
use meltemi::offline::default_mesh;
use meltemi_model::proxy::Proxy;
use meltemi_model::{Locality, Object, ResourceType};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_world::Change;
use serde_json::{Value, json};

const NAMESPACES: usize = 100;
const POLICIES_EACH: usize = 100;

/// The policy `number` of a namespace. Each selects one workload; the first of them has a proxy.
fn policy(namespace: usize, number: usize, method: &str) -> Object {
    let action = ["ALLOW", "DENY"][number % 2];
    lowered(&json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": format!("p{number}"), "namespace": format!("ns{namespace}")},
        "spec": {
            "selector": {"matchLabels": {"app": format!("app{}", number / 2)}},
            "action": action,
            "rules": [{
                "from": [{"source": {"principals": [format!("cluster.local/ns/ns{namespace}/sa/client")]}}],
                "to": [{"operation": {"methods": [method], "paths": ["/api/*"]}}],
            }],
        },
    }))
}

fn lowered(object: &Value) -> Object {
    let lowered = lower(object, &LowerSettings::default());
    lowered.object.expect("a good policy")
}

fn proxy(namespace: usize, app: &str) -> Proxy {
    let namespace = format!("ns{namespace}");
    let id = format!("sidecar~10.0.0.1~{app}.{namespace}~{namespace}.svc.cluster.local");
    let metadata =
        json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": namespace, "LABELS": {"app": app}});
    Proxy::parse(&id, "c", Locality::default(), &metadata, []).expect("a node")
}

fn misses(engine: &Engine) -> [u64; 5] {
    let counts = engine.counts();
    let counts: Vec<u64> = counts.values().map(|counts| counts.misses).collect();
    counts.try_into().expect("five types have builders")
}

#[test]
fn a_policy_rebuilds_the_listeners_that_it_guards() {
    let engine = Engine::new(default_mesh(&LowerSettings::default()));
    let all = (0..NAMESPACES).flat_map(|ns| (0..POLICIES_EACH).map(move |n| policy(ns, n, "GET")));
    engine.apply(all.map(Change::Apply).collect(), Vec::new());
    // Of each namespace a proxy that two policies guard and one that none does.
    let apps = (0..NAMESPACES).flat_map(|ns| [(ns, "app0"), (ns, "free")]);
    let mut proxies: Vec<_> = apps
        .map(|(ns, app)| (ns, app, engine.subscribe(&proxy(ns, app))))
        .collect();
    let changes = [
        ("of another workload", policy(7, 50, "POST"), None),
        (
            "of a workload that is there",
            policy(7, 0, "POST"),
            Some((7, "app0")),
        ),
        ("of another action", policy(8, 1, "POST"), Some((8, "app0"))),
        ("without a difference", policy(8, 1, "POST"), None),
    ];
    for (what, change, concerned) in changes {
        for (_, _, served) in &mut proxies {
            served.mark_unchanged();
        }
        let before = misses(&engine);
        engine.apply(vec![Change::Apply(change)], Vec::new());
        let after = misses(&engine);
        let built: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        let listeners = u64::from(concerned.is_some());
        assert_eq!(built, [0, 0, listeners, 0, 0], "{what}");
        let sent: Vec<_> = proxies
            .iter()
            .filter(|(_, _, served)| served.has_changed().expect("an engine"))
            .map(|(ns, app, _)| (*ns, *app))
            .collect();
        assert_eq!(sent, concerned.into_iter().collect::<Vec<_>>(), "{what}");
    }
    let (_, _, served) = &proxies[2 * 7];
    let snapshot = served.borrow().clone();
    let listeners = &snapshot.set(ResourceType::Listener).by_name;
    let made: Vec<_> = listeners["virtualInbound"]
        .from
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        made,
        ["AuthorizationPolicy ns7/p0", "AuthorizationPolicy ns7/p1"]
    );
}

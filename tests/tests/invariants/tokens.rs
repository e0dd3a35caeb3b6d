//! Keys that an issuer exchanges concern the listeners of the workloads that take its tokens, and nothing else.

use meltemi_model::proxy::Proxy;
use meltemi_model::security::{FetchedKeys, KeySource};
use meltemi_model::{Locality, Object, ProxySnapshot, ResourceType, Shared};
use meltemi_world::Change;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::mesh::{engine, good};

const WORLD: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: one}, spec: {clusterIP: 10.96.0.1, selector: {app: x}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: two}, spec: {clusterIP: 10.96.0.2, selector: {app: x}, ports: [{name: http, port: 80}]}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: one}
spec:
  jwtRules:
  - {issuer: https://a, jwksUri: http://a.example.com/keys}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: b, namespace: two}
spec:
  jwtRules:
  - {issuer: https://b, jwksUri: http://b.example.com/keys}
";

fn proxy(ip: &str, namespace: &str) -> Proxy {
    let metadata =
        json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": namespace, "LABELS": {"app": "x"}});
    let id = format!("sidecar~{ip}~x-0.{namespace}~{namespace}.svc.cluster.local");
    Proxy::parse(&id, "c", Locality::default(), &metadata, []).expect("a node")
}

fn keys(host: &str, keys: Option<&str>, problem: &str) -> Change {
    let source = KeySource::Uri(format!("http://{host}.example.com/keys").into());
    let fetched = FetchedKeys {
        keys: keys.map(Into::into),
        problem: problem.into(),
    };
    Change::Apply(Object::Jwks(source.key(), Shared::new(fetched)))
}

/// The types of which something is new, and how many resources of them.
fn news(before: &ProxySnapshot, after: &ProxySnapshot) -> Vec<(ResourceType, usize)> {
    let count = |ty| {
        let old = &before.set(ty).by_name;
        let new = after.set(ty).by_name.iter();
        let new =
            new.filter(|(name, new)| old.get(*name).is_none_or(|old| old.version != new.version));
        (ty, new.count())
    };
    let counts = ResourceType::ALL.into_iter().map(count);
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn keys_that_change_concern_the_listeners_of_their_issuer_only() {
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(WORLD)
        .map(|document| Value::deserialize(document).expect("a document"))
        .collect();
    let engine = engine(good(&documents));
    let mut one = engine.subscribe(&proxy("10.1.0.1", "one"));
    let mut two = engine.subscribe(&proxy("10.1.0.2", "two"));
    let listener = [(ResourceType::Listener, 1)];
    for (change, of_one, of_two, what) in [
        (
            keys("a", Some("{1}"), ""),
            &listener[..],
            &[][..],
            "first keys",
        ),
        (keys("b", Some("{1}"), ""), &[], &listener, "another issuer"),
        (keys("a", Some("{2}"), ""), &listener, &[], "exchanged"),
        (keys("a", Some("{2}"), "late"), &[], &[], "only late"),
        (keys("c", Some("{1}"), ""), &[], &[], "nobody's"),
    ] {
        let before = (one.borrow().clone(), two.borrow().clone());
        one.mark_unchanged();
        two.mark_unchanged();
        let applied = engine.apply(vec![change], Vec::new());
        let woken = usize::from(!of_one.is_empty()) + usize::from(!of_two.is_empty());
        assert_eq!(applied.woken, woken, "{what}");
        assert_eq!(news(&before.0, &one.borrow()), of_one, "{what}");
        assert_eq!(news(&before.1, &two.borrow()), of_two, "{what}");
    }
}

//! What the tests share: lowering, proxies, and what a proxy gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi::engine::Engine;
use meltemi::offline::default_mesh;
use meltemi_model::proxy::Proxy;
use meltemi_model::{Locality, Object, ObjectKey, ProxySnapshot, ResourceType};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_world::Change;
use serde_json::{Value, json};

/// Everything that a proxy gets: type and name, version, bytes.
pub(crate) type Content = Vec<(String, String, Vec<u8>)>;

/// The objects that are good enough to be used.
pub(crate) fn good(values: &[Value]) -> Vec<Object> {
    let settings = LowerSettings::default();
    values
        .iter()
        .filter_map(|value| lower(value, &settings).object)
        .collect()
}

/// The objects that are there in the end: of those with one key the last.
pub(crate) fn last_of_each(objects: impl IntoIterator<Item = Object>) -> Vec<Object> {
    let last: BTreeMap<ObjectKey, Object> = objects
        .into_iter()
        .map(|object| (object.key().clone(), object))
        .collect();
    last.into_values().collect()
}

/// A sidecar of Istio's whose pod may be in the world and whose agent answers DNS queries, a plain Envoy, and a gateway.
pub(crate) fn proxies() -> Vec<Proxy> {
    let istio = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "a", "LABELS": {"app": "x", "version": "v1"}, "DNS_CAPTURE": "true"});
    let plain = json!({"MELTEMI_IDENTITY": "none", "NAMESPACE": "b", "LABELS": {"app": "y"}});
    let edge = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "a", "LABELS": {"istio": "edge"}, "NETWORK": "near"});
    let parse = |id: &str, metadata: &Value| {
        Proxy::parse(id, "c", Locality::default(), metadata, []).unwrap()
    };
    vec![
        parse("sidecar~10.1.0.1~p1.a~a.svc.cluster.local", &istio),
        parse("sidecar~10.1.1.1~p1.b~b.svc.cluster.local", &plain),
        parse("router~10.1.8.8~edge-0.a~a.svc.cluster.local", &edge),
    ]
}

/// An engine that has these objects.
pub(crate) fn engine(objects: impl IntoIterator<Item = Object>) -> Engine {
    let engine = Engine::new(default_mesh(&LowerSettings::default()));
    engine.apply(objects.into_iter().map(Change::Apply).collect(), Vec::new());
    engine
}

/// What each proxy gets from an engine.
pub(crate) fn snapshots(engine: &Engine) -> Vec<Arc<ProxySnapshot>> {
    proxies()
        .iter()
        .map(|proxy| engine.subscribe(proxy).borrow().clone())
        .collect()
}

/// The content of all snapshots.
pub(crate) fn contents(engine: &Engine) -> Vec<Content> {
    snapshots(engine)
        .iter()
        .map(|snapshot| content(snapshot))
        .collect()
}

/// The content of a snapshot.
pub(crate) fn content(snapshot: &ProxySnapshot) -> Content {
    let resources = ResourceType::ALL
        .into_iter()
        .flat_map(|ty| snapshot.set(ty).by_name.values());
    resources
        .map(|r| {
            (
                format!("{} {}", r.ty.short(), r.name),
                r.version.to_string(),
                r.body.to_vec(),
            )
        })
        .collect()
}

/// Names and versions of what differs, for the message of a failed test.
pub(crate) fn difference(one: &Content, other: &Content) -> Vec<String> {
    let only = |these: &Content, those: &Content, what: &str| -> Vec<String> {
        let missing = these.iter().filter(|resource| !those.contains(resource));
        missing
            .map(|(name, version, _)| format!("{what} {name} {version}"))
            .collect()
    };
    [
        only(one, other, "only first"),
        only(other, one, "only second"),
    ]
    .concat()
}

//! Small worlds and the proxies in them.

use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Proxy, ProxyClass};
use meltemi_model::{Locality, Shared};
use meltemi_world::scope::{scope, scope_key};
use meltemi_world::{Change, Scope, World};
use serde_json::{Value, json};

use crate::classify;

pub(crate) const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

/// The world of these objects, in the default mesh.
pub(crate) fn world(objects: impl IntoIterator<Item = Object>) -> World {
    after(&World::empty(Shared::default()), objects)
}

/// The world once these objects are applied to it.
pub(crate) fn after(world: &World, objects: impl IntoIterator<Item = Object>) -> World {
    let mut store = world.store.clone();
    store.apply(objects.into_iter().map(Change::Apply));
    world.next(&store, &Shared::default())
}

/// Istio's proxy beside the pod `name` of `default`, as its agent describes it; `metadata` is laid over that.
pub(crate) fn sidecar(name: &str, ip: &str, metadata: &Value) -> Proxy {
    proxy("sidecar", name, ip, metadata)
}

/// The same as a gateway.
pub(crate) fn router(name: &str, ip: &str, metadata: &Value) -> Proxy {
    proxy("router", name, ip, metadata)
}

fn proxy(kind: &str, name: &str, ip: &str, over: &Value) -> Proxy {
    let mut metadata = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "default"});
    let fields = metadata.as_object_mut().unwrap();
    fields.extend(over.as_object().unwrap().clone());
    let id = format!("{kind}~{ip}~{name}.default~default.svc.cluster.local");
    Proxy::parse(&id, "", Locality::parse("node/given"), &metadata, []).unwrap()
}

/// The class of the pod `a-1`, at 10.0.0.1.
pub(crate) fn class_of_a(world: &World) -> ProxyClass {
    classify(world, &sidecar("a-1", "10.0.0.1", &json!({})), None)
}

pub(crate) fn scope_of(world: &World, class: &ProxyClass) -> Scope {
    let gateway = class.kind == meltemi_model::proxy::ProxyKind::Router;
    let key = scope_key(world, gateway, &class.namespace, &class.labels);
    scope(world, &key)
}

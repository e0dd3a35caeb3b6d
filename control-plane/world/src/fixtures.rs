//! Small worlds.

use meltemi_model::object::{Meta, Object};
use meltemi_model::service::ServiceKey;
use meltemi_model::workload::Endpoint;
use meltemi_model::{Hostname, Shared};

use crate::{Change, World};

/// The world of these objects, in the default mesh.
pub(crate) fn world(objects: impl IntoIterator<Item = Object>) -> World {
    let empty = World::empty(Shared::default());
    after(&empty, objects.into_iter().map(Change::Apply))
}

/// The world after one batch of changes.
pub(crate) fn after(world: &World, changes: impl IntoIterator<Item = Change>) -> World {
    let mut store = world.store.clone();
    store.apply(changes);
    world.next(&store, &Shared::default())
}

/// The same, some time later than the others.
pub(crate) fn later(seconds: i64, meta: Meta) -> Meta {
    Meta {
        created: seconds,
        ..meta
    }
}

/// `a.ns` is the Kubernetes Service `a` in `ns`; another name is a ServiceEntry's in `default`.
pub(crate) fn key(name: &str) -> ServiceKey {
    match name.split_once('.') {
        Some((service, namespace)) if !namespace.contains('.') && namespace != "com" => {
            ServiceKey {
                host: Hostname::new(&format!("{service}.{namespace}.svc.cluster.local")),
                namespace: namespace.into(),
            }
        }
        _ => ServiceKey {
            host: Hostname::new(name),
            namespace: "default".into(),
        },
    }
}

/// Every endpoint of a service with its port's name, in the order in which they are served.
pub(crate) fn endpoints<'a>(world: &'a World, name: &str) -> Vec<(&'a str, &'a Endpoint)> {
    let row = world.endpoints.get(&key(name));
    row.into_iter()
        .flat_map(|row| &row.set.ports)
        .flat_map(|(port, list)| list.iter().map(move |e| (&**port, &**e)))
        .collect()
}

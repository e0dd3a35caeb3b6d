use meltemi_model::object::Object;
use meltemi_model::testing::{kube_service, meta, pod, virtual_service};
use meltemi_model::{Kind, LabelRequirement, LabelSelector, Shared};

use super::*;
use crate::{Change, World};

fn namespace(name: &str, mesh: &str) -> Object {
    let mut meta = meta(Kind::Namespace, "", name);
    meta.labels = [("mesh", mesh)].into_iter().collect();
    Namespace { meta }.into()
}

fn selecting(values: &[&str]) -> Mesh {
    let selector = |value: &&str| {
        LabelSelector(vec![LabelRequirement::In(
            "mesh".into(),
            vec![Str::from(*value)],
        )])
    };
    Mesh {
        discovery_selectors: values.iter().map(selector).collect(),
        ..Mesh::default()
    }
}

fn seen(world: &World) -> Vec<String> {
    let services = world
        .services
        .sorted
        .iter()
        .map(|s| s.key.host.0.to_string());
    let pods = world.store.pods.iter().map(|(key, _)| key.to_string());
    services.chain(pods).collect()
}

#[test]
fn only_chosen_namespaces_are_looked_at() {
    let mut store = Store::default();
    store.apply(
        [
            namespace("in", "yes"),
            namespace("out", "no"),
            kube_service("in", "a", &[]).into(),
            kube_service("out", "b", &[]).into(),
            kube_service("nowhere", "c", &[]).into(),
            pod("in", "a-1", "10.0.0.1").into(),
            pod("out", "b-1", "10.0.0.2").into(),
        ]
        .map(Change::Apply),
    );
    let all = [
        "a.in.svc.cluster.local",
        "c.nowhere.svc.cluster.local",
        "b.out.svc.cluster.local",
        "Pod in/a-1",
        "Pod out/b-1",
    ];
    let chosen = ["a.in.svc.cluster.local", "Pod in/a-1"];
    let both = [
        "a.in.svc.cluster.local",
        "b.out.svc.cluster.local",
        "Pod in/a-1",
        "Pod out/b-1",
    ];
    let mut world = World::empty(Shared::default());
    let mut step = |store: &Store, mesh: &Mesh| {
        world = world.next(store, &Shared::new(mesh.clone()));
        let mut found = seen(&world);
        found.sort();
        found
    };
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(step(&store, &Mesh::default()), sorted(&all));
    assert_eq!(step(&store, &selecting(&["yes"])), sorted(&chosen));
    assert_eq!(step(&store, &selecting(&["yes", "no"])), sorted(&both));
    assert_eq!(step(&store, &selecting(&["yes"])), sorted(&chosen));
    // A label brings a namespace in, and takes it out again.
    store.apply([Change::Apply(namespace("out", "yes"))]);
    assert_eq!(step(&store, &selecting(&["yes"])), sorted(&both));
    store.apply([Change::Apply(namespace("out", "no"))]);
    assert_eq!(step(&store, &selecting(&["yes"])), sorted(&chosen));
    assert_eq!(step(&store, &Mesh::default()), sorted(&all));
}

#[test]
fn what_is_not_looked_at_costs_nothing() {
    let mut store = Store::default();
    store.apply(
        [
            namespace("in", "yes"),
            namespace("out", "no"),
            kube_service("in", "a", &[]).into(),
        ]
        .map(Change::Apply),
    );
    let mesh = Shared::new(selecting(&["yes"]));
    let before = World::empty(Shared::default()).next(&store, &mesh);
    store.apply([Change::Apply(virtual_service("out", "x", "x.com").into())]);
    let after = before.next(&store, &mesh);
    assert!(std::sync::Arc::ptr_eq(&before.services, &after.services));
    assert!(after.store.services.same(&before.store.services));
    assert!(after.store.virtual_services.is_empty());
}

use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::routing::{HttpAction, VirtualService};
use meltemi_model::testing::{http_route, kube_service, pod, virtual_service};

use super::*;
use crate::fixtures::{HTTP, after, class_of_a, world};

fn before() -> World {
    world([
        kube_service("default", "a", HTTP).into(),
        pod("default", "a-1", "10.0.0.1").into(),
        kube_service("default", "b", &[(81, Protocol::Tcp)]).into(),
        pod("default", "b-1", "10.0.0.2").into(),
    ])
}

fn compiled(
    compiler: &Compiler,
    world: &World,
    previous: Option<&ProxySnapshot>,
) -> Arc<ProxySnapshot> {
    compiler
        .compile(world, &class_of_a(world), previous)
        .snapshot
}

/// The types that builders make.
const BUILT: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::Listener,
    ResourceType::Route,
];

fn misses(compiler: &Compiler) -> [u64; 4] {
    let counts = compiler.counts();
    BUILT.map(|ty| counts[&ty].misses)
}

/// The types whose set is another one.
fn changed(old: &ProxySnapshot, new: &ProxySnapshot) -> Vec<ResourceType> {
    ResourceType::ALL
        .into_iter()
        .filter(|ty| !Arc::ptr_eq(old.set(*ty), new.set(*ty)))
        .collect()
}

#[test]
fn every_resource_has_its_set_and_is_built_once() {
    let compiler = Compiler::default();
    let snapshot = compiled(&compiler, &before(), None);
    let sizes = BUILT.map(|ty| snapshot.set(ty).by_name.len() as u64);
    assert_eq!(misses(&compiler), sizes);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    assert_eq!(snapshot.revision, 1);
}

#[test]
fn an_equal_set_is_the_same_set() {
    let compiler = Compiler::default();
    let world = before();
    let first = compiled(&compiler, &world, None);
    let misses_before = misses(&compiler);
    let next = after(&world, [kube_service("default", "a", HTTP).into()]);
    let again = compiled(&compiler, &next, Some(&first));
    assert_eq!(changed(&first, &again), []);
    assert_eq!(misses(&compiler), misses_before);
    assert_eq!(again.revision, 2, "the snapshot is of the new world");
}

#[test]
fn a_change_rebuilds_what_it_shows_in() {
    use ResourceType::{Cluster, Endpoint, Listener, Route};
    let world = before();
    let routed = VirtualService {
        http: vec![http_route(HttpAction::Nothing)],
        ..virtual_service("default", "vs", "a.default.svc.cluster.local")
    };
    let moved = pod("default", "b-1", "10.0.0.9");
    // (name, change, types of which a set changes, resources built by type).
    for (name, object, types, built) in [
        (
            "I6: an endpoint",
            moved.into(),
            vec![Endpoint],
            [0, 1, 0, 0],
        ),
        (
            "a pod of no service",
            pod("default", "c-1", "10.0.0.3").into(),
            vec![],
            [0; 4],
        ),
        ("a VirtualService", routed.into(), vec![Route], [0, 0, 0, 1]),
        (
            "a service with a port of its own",
            Object::from(kube_service("default", "c", &[(82, Protocol::Tcp)])),
            vec![Cluster, Endpoint, Listener],
            [1, 1, 1, 0],
        ),
    ] {
        let compiler = Compiler::default();
        let first = compiled(&compiler, &world, None);
        let before = misses(&compiler);
        let next = compiled(&compiler, &after(&world, [object]), Some(&first));
        let now = misses(&compiler);
        let found: Vec<u64> = now
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        assert_eq!(changed(&first, &next), types, "{name}");
        assert_eq!(found, built, "{name}");
    }
}

#[test]
fn without_a_previous_snapshot_resources_are_shared_all_the_same() {
    let compiler = Compiler::default();
    let first = compiled(&compiler, &before(), None);
    let second = compiled(&compiler, &before(), None);
    for ty in ResourceType::ALL {
        let pairs = first
            .set(ty)
            .by_name
            .values()
            .zip(second.set(ty).by_name.values());
        for (a, b) in pairs {
            assert!(Arc::ptr_eq(a, b), "{}", a.name);
        }
        assert_eq!(first.set(ty).version, second.set(ty).version);
    }
}

#[test]
fn what_nobody_is_served_any_more_is_forgotten() {
    let compiler = Compiler::default();
    for _ in 0..3 {
        compiled(&compiler, &before(), None);
        compiler.sweep();
    }
    let all = misses(&compiler);
    compiled(&compiler, &before(), None);
    assert_eq!(misses(&compiler), all, "it is served at every revision");
    for _ in 0..2 {
        compiler.sweep();
    }
    compiled(&compiler, &before(), None);
    assert_eq!(misses(&compiler), all.map(|n| 2 * n));
}

#[test]
fn classes_of_equal_scope_share_it() {
    let world = before();
    let compiler = Compiler::default();
    let mut scopes = Scopes::default();
    let class = class_of_a(&world);
    let other = ProxyClass {
        has_identity: false,
        ..class.clone()
    };
    for class in [&class, &other] {
        let among = compiler.compile_among(&world, &mut scopes, class, None);
        let alone = Compiler::default().compile(&world, class, None);
        for ty in ResourceType::ALL {
            let versions = [&among, &alone].map(|c| c.snapshot.set(ty).version);
            assert_eq!(versions[0], versions[1], "{ty:?}");
        }
    }
    assert_eq!(scopes.0.len(), 1);
}

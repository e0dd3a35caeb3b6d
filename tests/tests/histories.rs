//! What holds for any history of changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi::{offline, render};
use meltemi_compile::{Compiler, classify};
use meltemi_model::proxy::Proxy;
use meltemi_model::{Locality, Object, ProxySnapshot, ResourceType, Shared};
use meltemi_sources::files::lower_bytes;
use meltemi_sources::lower::{LowerSettings, lower_proxy_config};
use meltemi_tests::bench::churn;
use meltemi_world::{Change, Store, World};
use proptest::prelude::*;
use serde_json::{Value, json};

fn objects(text: &str) -> Vec<Object> {
    let read = lower_bytes("objects.yaml", text.as_bytes(), &LowerSettings::default());
    assert!(read.complete, "{:?}", read.diagnostics);
    read.objects.into_iter().map(|(object, _)| object).collect()
}

fn pool() -> Vec<Object> {
    objects(include_str!("histories/objects.yaml"))
}

/// A sidecar, one in another namespace, and a gateway.
fn proxies() -> Vec<Proxy> {
    let nodes = [
        (
            "sidecar~10.1.0.10~web-0.default~default.svc.cluster.local",
            json!({"app": "web", "version": "v1"}),
        ),
        (
            "sidecar~10.1.9.9~client-0.other~other.svc.cluster.local",
            json!({"app": "client"}),
        ),
        (
            "router~10.1.8.8~edge-0.default~default.svc.cluster.local",
            json!({"istio": "edge"}),
        ),
    ];
    let parse = |(id, labels): (&str, Value)| {
        let namespace = if id.contains(".other~") {
            "other"
        } else {
            "default"
        };
        let metadata = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": namespace, "LABELS": labels});
        Proxy::parse(id, "c", Locality::default(), &metadata, []).expect("a valid node")
    };
    nodes.into_iter().map(parse).collect()
}

/// A world that follows changes, and what its proxies were given last.
struct Running {
    store: Store,
    world: World,
    compiler: Compiler,
    given: Vec<Option<Arc<ProxySnapshot>>>,
}

impl Running {
    fn new() -> Self {
        let world = World::empty(Shared::new(
            offline::default_mesh(&LowerSettings::default()),
        ));
        Self {
            store: Store::default(),
            world,
            compiler: Compiler::default(),
            given: vec![None; proxies().len()],
        }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.store.apply(changes);
        let mesh = Shared::new(offline::default_mesh(&LowerSettings::default()));
        self.world = self.world.next(&self.store, &mesh);
    }

    /// Compiles for all proxies, each from what it had.
    fn snapshots(&mut self) -> Vec<Arc<ProxySnapshot>> {
        let mut snapshots = Vec::new();
        for (proxy, given) in proxies().iter().zip(&mut self.given) {
            let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
            let class = classify(&self.world, proxy, config.as_ref());
            let snapshot = self
                .compiler
                .compile(&self.world, &class, given.as_deref())
                .snapshot;
            *given = Some(Arc::clone(&snapshot));
            snapshots.push(snapshot);
        }
        self.compiler.sweep();
        snapshots
    }

    fn misses(&self, ty: ResourceType) -> u64 {
        self.compiler.counts()[&ty].misses
    }
}

/// All names, versions and bytes.
fn content(snapshot: &ProxySnapshot) -> Vec<(String, String, Vec<u8>)> {
    let sets = ResourceType::ALL.into_iter().map(|ty| snapshot.set(ty));
    let resources = sets.flat_map(|set| set.by_name.values());
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

/// Applies the object at a place of the pool, or deletes it.
fn change(pool: &[Object], (position, delete): (usize, bool)) -> Change {
    let object = &pool[position % pool.len()];
    if delete {
        Change::Delete(object.key().clone())
    } else {
        Change::Apply(object.clone())
    }
}

/// Batches of changes; most of them apply.
fn history() -> impl Strategy<Value = Vec<Vec<(usize, bool)>>> {
    let step = (0..1000_usize, prop::bool::weighted(0.3));
    prop::collection::vec(prop::collection::vec(step, 1..6), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn i5_incremental_equals_from_scratch(history in history()) {
        let pool = pool();
        let mut running = Running::new();
        running.apply(pool.iter().cloned().map(Change::Apply));
        running.snapshots();
        for batch in history {
            running.apply(batch.into_iter().map(|step| change(&pool, step)));
            let incremental = running.snapshots();
            let mut scratch = Running::new();
            scratch.store = running.store.clone();
            scratch.apply([]);
            for (ours, theirs) in incremental.iter().zip(scratch.snapshots()) {
                prop_assert_eq!(content(ours), content(&theirs));
            }
        }
    }

    #[test]
    fn i4_versions_depend_on_bytes_only(order in Just((0..pool().len()).collect::<Vec<_>>()).prop_shuffle()) {
        // Of an object that stands in the pool twice the last one counts, in whatever order they arrive.
        let pool = pool();
        let last = |position: usize| pool.iter().rposition(|other| other.key() == pool[position].key());
        let chosen: Vec<usize> = order.into_iter().filter(|position| last(*position) == Some(*position)).collect();
        let (mut one, mut other) = (Running::new(), Running::new());
        one.apply(pool.iter().cloned().map(Change::Apply));
        for position in chosen {
            other.apply([Change::Apply(pool[position].clone())]);
        }
        for (ours, theirs) in one.snapshots().iter().zip(other.snapshots()) {
            prop_assert_eq!(content(ours), content(&theirs));
            for ty in ResourceType::ALL {
                prop_assert_eq!(ours.set(ty).version, theirs.set(ty).version);
            }
        }
    }

    #[test]
    fn i7_references_hold_within_a_snapshot(history in history()) {
        let pool = pool();
        let mut running = Running::new();
        for batch in history {
            running.apply(batch.into_iter().map(|step| change(&pool, step)));
            for snapshot in running.snapshots() {
                let dangling = dangling(&snapshot);
                prop_assert!(dangling.is_empty(), "{:?}", dangling);
            }
        }
    }
}

/// Names in EDS and RDS that CDS and LDS do not ask for, and names that they ask for in vain.
fn dangling(snapshot: &ProxySnapshot) -> Vec<String> {
    let json = render::snapshot(snapshot);
    let names = |ty| {
        snapshot
            .set(ty)
            .by_name
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<String>>()
    };
    let mut asked_eds = BTreeSet::new();
    for cluster in json["clusters"].as_array().expect("a list") {
        if cluster["type"] == "EDS" {
            let service = cluster
                .pointer("/eds_cluster_config/service_name")
                .unwrap_or(&cluster["name"]);
            asked_eds.insert(service.as_str().expect("a name").to_owned());
        }
    }
    let mut asked_rds = BTreeSet::new();
    route_names(&json["listeners"], &mut asked_rds);
    let compare = |what: &str, asked: &BTreeSet<String>, served: &BTreeSet<String>| {
        asked
            .symmetric_difference(served)
            .map(|name| format!("{what} {name}"))
            .collect::<Vec<_>>()
    };
    let mut found = compare("eds", &asked_eds, &names(ResourceType::Endpoint));
    found.extend(compare("rds", &asked_rds, &names(ResourceType::Route)));
    found
}

/// All `rds.route_config_name` in a message.
fn route_names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields
                .get("rds")
                .and_then(|rds| rds["route_config_name"].as_str())
            {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|field| route_names(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| route_names(item, found)),
        _ => {}
    }
}

#[test]
fn the_objects_make_resources_of_all_types() {
    let mut running = Running::new();
    running.apply(pool().into_iter().map(Change::Apply));
    for (snapshot, proxy) in running.snapshots().iter().zip(proxies()) {
        for ty in ResourceType::ALL {
            assert!(
                !snapshot.set(ty).by_name.is_empty(),
                "{} has no {}",
                proxy.id,
                ty.short()
            );
        }
    }
}

#[test]
fn i5_a_change_without_effect_sends_nothing() {
    let mut running = Running::new();
    running.apply(pool().into_iter().map(Change::Apply));
    let before = running.snapshots();
    let misses = ResourceType::ALL.map(|ty| running.misses(ty));
    running.apply(pool().into_iter().map(Change::Apply));
    for (old, new) in before.iter().zip(running.snapshots()) {
        for ty in ResourceType::ALL {
            assert!(
                Arc::ptr_eq(old.set(ty), new.set(ty)),
                "{} is another set",
                ty.short()
            );
        }
    }
    assert_eq!(ResourceType::ALL.map(|ty| running.misses(ty)), misses);
}

#[test]
fn i6_an_endpoint_change_rebuilds_only_endpoints() {
    let size = churn::Size {
        services: 20,
        endpoints: 10,
    };
    let mut running = Running::new();
    running.apply(objects(&churn::world(size)).into_iter().map(Change::Apply));
    running.snapshots();
    for step in 1..=20 {
        let before = ResourceType::ALL.map(|ty| running.misses(ty));
        let changed = objects(&churn::endpoints(size, 7, step));
        running.apply(changed.into_iter().map(Change::Apply));
        running.snapshots();
        let missed: Vec<_> = ResourceType::ALL
            .iter()
            .zip(before)
            .map(|(ty, n)| (*ty, running.misses(*ty) - n))
            .collect();
        let of = |ty| {
            missed
                .iter()
                .find(|(other, _)| *other == ty)
                .map(|(_, count)| *count)
        };
        assert_eq!(of(ResourceType::Cluster), Some(0), "step {step}");
        assert_eq!(of(ResourceType::Listener), Some(0), "step {step}");
        assert_eq!(of(ResourceType::Route), Some(0), "step {step}");
        // One service for each distinct view of it.
        assert!(
            of(ResourceType::Endpoint).is_some_and(|count| (1..=3).contains(&count)),
            "step {step}: {missed:?}"
        );
    }
}

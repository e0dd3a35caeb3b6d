//! I5: what changes make is what the objects make that are left in the end, and what changes nothing sends nothing.

use std::sync::Arc;

use meltemi::engine::Engine;
use meltemi::offline::default_mesh;
use meltemi_model::proxy::Proxy;
use meltemi_model::{Diagnostics, Locality, Object, ObjectKey, ProxySnapshot};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_tests::worlds::{Step, history, world};
use meltemi_world::Change;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use crate::mesh::{content, contents, difference, engine, good, last_of_each, proxies};

/// An engine that follows a history, with its proxies.
struct Running {
    engine: Engine,
    objects: Vec<Object>,
    receivers: Vec<watch::Receiver<Arc<ProxySnapshot>>>,
}

impl Running {
    fn new(first: Vec<Object>) -> Self {
        let objects = last_of_each(first);
        let engine = Engine::new(default_mesh(&LowerSettings::default()));
        engine.apply(
            objects.iter().cloned().map(Change::Apply).collect(),
            Vec::new(),
        );
        let receivers = proxies()
            .iter()
            .map(|proxy| engine.subscribe(proxy))
            .collect();
        Self {
            engine,
            objects,
            receivers,
        }
    }

    /// The change that a step is now; none for an object that is refused.
    fn change(&mut self, step: Step) -> Option<Change> {
        let gone = |objects: &mut Vec<Object>, key: &ObjectKey| {
            objects.retain(|object| object.key() != key)
        };
        match step {
            Step::Put(value) => {
                let object = lower(&value, &LowerSettings::default()).object?;
                gone(&mut self.objects, object.key());
                self.objects.push(object.clone());
                Some(Change::Apply(object))
            }
            Step::Remove(_) if self.objects.is_empty() => None,
            Step::Remove(index) => {
                let key = index.get(&self.objects).key().clone();
                gone(&mut self.objects, &key);
                Some(Change::Delete(key))
            }
        }
    }

    /// Applies a batch; says how many proxies were woken, and how many see something new.
    fn apply(&mut self, batch: Vec<Step>) -> (usize, usize) {
        let changes = batch
            .into_iter()
            .filter_map(|step| self.change(step))
            .collect();
        self.apply_changes(changes)
    }

    fn apply_changes(&mut self, changes: Vec<Change>) -> (usize, usize) {
        self.receivers
            .iter_mut()
            .for_each(|receiver| receiver.mark_unchanged());
        let applied = self.engine.apply(changes, Vec::new());
        let changed = self
            .receivers
            .iter()
            .filter(|receiver| receiver.has_changed().unwrap());
        (applied.woken, changed.count())
    }
}

fn found(engine: &Engine) -> Diagnostics {
    let mut found = engine.diagnostics();
    found.sort();
    found.dedup();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn i5_incremental_equals_from_scratch(first in world(0..25), history in history(1..6)) {
        let mut running = Running::new(good(&first));
        for batch in history {
            let before: Vec<_> = running.receivers.iter().map(|r| content(&r.borrow())).collect();
            let (woken, changed) = running.apply(batch);
            let now: Vec<_> = running.receivers.iter().map(|r| content(&r.borrow())).collect();
            let different = before.iter().zip(&now).filter(|(before, now)| before != now).count();
            prop_assert_eq!((woken, changed), (different, different), "woken, changed receivers; different contents");

            let scratch = engine(running.objects.clone());
            for (ours, theirs) in now.iter().zip(contents(&scratch)) {
                prop_assert!(*ours == theirs, "{:#?}", difference(ours, &theirs));
            }
            prop_assert_eq!(found(&running.engine), found(&scratch));
        }
    }

    #[test]
    fn i5_a_change_without_effect_wakes_nobody(first in world(0..25), again in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let mut running = Running::new(good(&first));
        let revision = running.engine.world().revision;
        let counts = running.engine.counts();
        prop_assume!(!running.objects.is_empty());
        // Objects as they are, and one that is not there.
        let mut changes: Vec<Change> = again.iter().map(|i| Change::Apply(i.get(&running.objects).clone())).collect();
        let missing = ObjectKey::new(meltemi_model::Kind::VirtualService, "a", "never-there");
        changes.push(Change::Delete(missing));
        prop_assert_eq!(running.apply_changes(changes), (0, 0));
        prop_assert_eq!(running.engine.world().revision, revision);
        prop_assert_eq!(running.engine.counts(), counts);
    }
}

#[test]
fn a_finding_of_two_classes_is_said_once() {
    let gateway = |name: &str, protocol: &str| {
        let port = json!({"number": 80, "name": name, "protocol": protocol});
        let spec =
            json!({"selector": {"istio": "edge"}, "servers": [{"port": port, "hosts": ["*"]}]});
        let metadata = json!({"name": name, "namespace": "a"});
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": spec})
    };
    let engine = engine(good(&[gateway("one", "HTTP"), gateway("two", "TCP")]));
    let metadata =
        json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "a", "LABELS": {"istio": "edge"}});
    let told = engine.told();
    let receivers: Vec<_> = ["r1/z1", "r1/z2"]
        .into_iter()
        .map(|locality| {
            let id = "router~10.1.8.8~edge-0.a~a.svc.cluster.local";
            let proxy = Proxy::parse(id, "c", Locality::parse(locality), &metadata, []).unwrap();
            engine.subscribe(&proxy)
        })
        .collect();
    assert_eq!(engine.connected(), (2, 2), "proxies and classes");
    assert!(
        told.has_changed().unwrap(),
        "what a new class finds is said at once"
    );
    let said = engine.diagnostics();
    assert_eq!(said.len(), 1, "{said:#?}");
    drop(receivers);
}

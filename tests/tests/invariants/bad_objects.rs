//! I3: whatever a user gets wrong is said, and hides nothing.

use meltemi_model::Severity;
use meltemi_sources::files::lower_bytes;
use meltemi_sources::lower::LowerSettings;
use meltemi_tests::worlds::world;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::mesh::{contents, difference, engine};

/// Ways to spoil any object. None of them gives a file that cannot be split into documents.
const SPOILS: [fn(&Value, usize) -> Value; 10] = [
    |object, _| with(object, "/metadata/name", json!(7)),
    |object, _| with(object, "/metadata/name", json!("Not A Name")),
    |object, _| with(object, "/metadata/labels", json!(["a"])),
    |object, _| with(object, "/metadata/creationTimestamp", json!("yesterday")),
    |object, _| with(object, "/kind", json!(["Service"])),
    |object, _| with(object, "/apiVersion", Value::Null),
    |_, n| {
        broken(
            "VirtualService",
            n,
            &json!({"hosts": ["s1"], "http": [{"route": [{"destination": {"host": "s1"}, "weight": "many"}]}]}),
        )
    },
    |_, n| {
        broken(
            "DestinationRule",
            n,
            &json!({"host": "*.*", "trafficPolicy": {"loadBalancer": {"simple": "SOMETIMES"}}}),
        )
    },
    |_, n| broken("Gateway", n, &json!({"servers": {"port": 80}})),
    |_, n| {
        let filter = broken(
            "EnvoyFilter",
            n,
            &json!({"configPatches": {"applyTo": "CLUSTER"}}),
        );
        with(
            &filter,
            "/apiVersion",
            json!("networking.istio.io/v1alpha3"),
        )
    },
];

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut spoiled = object.clone();
    if let Some((parent, field)) = pointer.rsplit_once('/')
        && let Some(parent) = spoiled.pointer_mut(parent)
    {
        parent[field] = value;
    }
    spoiled
}

fn broken(kind: &str, number: usize, spec: &Value) -> Value {
    let metadata = json!({"name": format!("broken-{number}"), "namespace": "a"});
    json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// A file with a document on each even line, counted from 1.
fn text(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("---\n{document}\n"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn i3_bad_objects_hide_no_good_ones(
        objects in world(5..25),
        spoiled in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let settings = LowerSettings::default();
        let before = lower_bytes("world.yaml", text(&objects).as_bytes(), &settings);
        let mut documents: Vec<(Value, bool)> = objects.iter().map(|object| (object.clone(), false)).collect();
        for (number, (place, how)) in spoiled.iter().enumerate() {
            let spoil = how.get(&SPOILS);
            let at = place.index(documents.len());
            documents.insert(at, (spoil(place.get(&objects), number), true));
        }
        let values: Vec<Value> = documents.iter().map(|(value, _)| value.clone()).collect();
        let after = lower_bytes("world.yaml", text(&values).as_bytes(), &settings);

        prop_assert!(!after.complete);
        let named = |line: u32| after.diagnostics.iter().any(|d| {
            d.severity == Severity::Error && d.place.as_ref().is_some_and(|place| place.line == line)
        });
        for (line, (value, _)) in (2..).step_by(2).zip(&documents).filter(|(_, (_, bad))| *bad) {
            prop_assert!(named(line), "line {}: nothing is said about {}", line, value);
        }

        let used = |text: meltemi_sources::files::Text| -> Vec<_> { text.objects.into_iter().map(|(object, _)| object).collect() };
        let (before, after) = (used(before), used(after));
        prop_assert!(before == after, "the good objects are others");
        for (one, other) in contents(&engine(before)).iter().zip(contents(&engine(after))) {
            prop_assert!(*one == other, "{:#?}", difference(one, &other));
        }
    }
}

//! Nothing that anybody writes makes validation fail.

use meltemi_validation::validate;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::{corpus, files, load};

#[derive(Debug, Clone, Deserialize)]
struct Case {
    object: Value,
}

/// What a mutation puts in the place of a value.
const INSTEAD: [&str; 12] = [
    "null",
    "[]",
    "{}",
    "\"\"",
    "\"*\"",
    "\"%\"",
    "\"a/b/c\"",
    "-1",
    "1e308",
    "true",
    "\"\\u00e9\\u0000[\"",
    "[[{}]]",
];

/// Goes down from a value by some steps, and changes what is there.
fn mutate(value: &mut Value, steps: &[usize], instead: usize) {
    let children = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    let (Some((step, rest)), 1..) = (steps.split_first(), children) else {
        let text = INSTEAD[instead % INSTEAD.len()];
        *value = match &*value {
            Value::String(text) if instead.is_multiple_of(3) => {
                let cut = text.chars().count() / 2;
                json!(
                    text.chars()
                        .skip(cut)
                        .chain(text.chars())
                        .collect::<String>()
                )
            }
            _ => serde_json::from_str(text).expect("the constants are JSON"),
        };
        return;
    };
    let child = match value {
        Value::Object(map) => map.values_mut().nth(step % children),
        Value::Array(list) => list.get_mut(step % children),
        _ => None,
    };
    mutate(child.expect("there are so many children"), rest, instead);
}

#[test]
fn no_mutation_of_an_object_makes_it_panic() {
    let Some(dir) = corpus() else { return };
    let cases: Vec<Case> = files(&dir.join("objects"))
        .iter()
        .flat_map(|path| load::<Case>(path))
        .collect();
    let steps = prop::collection::vec(0..8_usize, 1..10);
    let mutations = prop::collection::vec((steps, 0..1_000_usize), 1..4);
    proptest!(ProptestConfig::with_cases(4_000), |(which in 0..cases.len(), mutations in mutations)| {
        let mut object = cases[which].object.clone();
        for (steps, instead) in &mutations {
            mutate(&mut object, steps, *instead);
        }
        let first = validate(&object);
        prop_assert_eq!(first, validate(&object));
    });
}

//! `charts/base/files/crds.yaml` is what the types and rules say, and says what Istio's CRDs say.
//!
//! `MELTEMI_UPDATE_CRDS=1 cargo test -p meltemi-api --test crds` writes the file again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Keys in the order of the alphabet, whatever order serde_json's features keep.
fn sorted(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            serde_yaml::Value::Mapping(
                sorted
                    .into_iter()
                    .map(|(key, value)| {
                        (serde_yaml::Value::from(key.as_str()), self::sorted(value))
                    })
                    .collect(),
            )
        }
        Value::Array(elements) => elements.iter().map(sorted).collect(),
        Value::String(text) => text.as_str().into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Null => serde_yaml::Value::Null,
        Value::Number(number) => serde_yaml::to_value(number).expect("numbers are YAML"),
    }
}

fn written() -> String {
    let mut text =
        "# Made of the types and rules of control-plane/api by its test `crds`.\n".to_owned();
    for definition in meltemi_api::crd::definitions() {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&sorted(&definition)).expect("schemas are YAML"));
    }
    text
}

#[test]
fn the_chart_has_what_the_types_say() {
    let file = root().join("charts/base/files/crds.yaml");
    if std::env::var_os("MELTEMI_UPDATE_CRDS").is_some() {
        fs::write(&file, written()).expect("the chart can be written");
    }
    let have = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        have == written(),
        "{} is stale: MELTEMI_UPDATE_CRDS=1 cargo test -p meltemi-api --test crds",
        file.display()
    );
}

fn documents(text: &str) -> BTreeMap<String, Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("a YAML document"))
        .filter(|document| !document.is_null())
        .map(|document| {
            let name = document["metadata"]["name"].as_str().expect("a name");
            (name.to_owned(), document["spec"].clone())
        })
        .collect()
}

/// Descriptions are ours; lists whose order means nothing are sorted.
fn comparable(value: &mut Value, field: &str) {
    match value {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            for (field, value) in map.iter_mut() {
                comparable(value, field);
            }
        }
        Value::Array(elements) => {
            for element in elements.iter_mut() {
                comparable(element, "");
            }
            if [
                "required",
                "x-kubernetes-validations",
                "versions",
                "categories",
            ]
            .contains(&field)
            {
                elements.sort_by_key(Value::to_string);
            }
        }
        _ => {}
    }
}

fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut BTreeSet<String>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
            for key in keys {
                let (theirs, ours) = (theirs.get(key), ours.get(key));
                let none = Value::Null;
                differences(
                    &format!("{path}.{key}"),
                    theirs.unwrap_or(&none),
                    ours.unwrap_or(&none),
                    found,
                );
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (at, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                differences(&format!("{path}[{at}]"), theirs, ours, found);
            }
        }
        _ if theirs == ours => {}
        _ => {
            found.insert(format!("{path}: {theirs} became {ours}"));
        }
    }
}

/// The lines of the list of differences, without what follows `#`.
fn expected() -> BTreeSet<String> {
    include_str!("crds/expected-differences.txt")
        .lines()
        .map(|line| {
            line.split(" # ")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn the_definitions_are_istios() {
    let corpus = root().join("../shared/corpus/validation/crds/crd-all.gen.yaml");
    let Ok(theirs) = fs::read_to_string(&corpus) else {
        eprintln!("skipped: no corpus");
        return;
    };
    let (mut theirs, mut ours) = (documents(&theirs), documents(&written()));
    let names = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&theirs), names(&ours));
    let mut found = BTreeSet::new();
    for (name, theirs) in &mut theirs {
        let ours = ours.get_mut(name).expect("the names are equal");
        comparable(theirs, "");
        comparable(ours, "");
        differences(name, theirs, ours, &mut found);
    }
    assert_eq!(found, expected(), "what differs is listed with its reason");
}

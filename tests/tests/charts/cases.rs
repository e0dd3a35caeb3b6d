//! A case is a file `tests/charts/<chart>/<case>.yaml`: a release, values, and what they come to.

use std::fs;
use std::path::{Path, PathBuf};

use meltemi_tests::shared::repo_root;
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::helm::{CHARTS, Object, Release, helm, render};
use super::invariants;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it shows.
    #[allow(dead_code, reason = "for whoever reads the file")]
    about: String,
    #[serde(default)]
    pub(crate) release: Release,
    #[serde(default)]
    pub(crate) values: Mapping,
    /// Parts of objects by `Kind/name`: every field that is named must be so. A list's elements must be among those of
    /// the object's list; text is read as YAML where fields are expected; `null` means that it is not there.
    #[serde(default)]
    expect: Mapping,
    /// All objects by `Kind/name`, in the order of the alphabet, but for kinds.
    #[serde(default)]
    objects: Option<Vec<String>>,
    /// Part of what helm says when it refuses.
    #[serde(default)]
    fails: Option<String>,
}

/// Every case of a chart, by the name of its file.
pub(crate) fn cases(chart: &str) -> Vec<(String, Case)> {
    let folder = repo_root().join("tests/charts").join(chart);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("every chart has cases")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> (String, Case) {
    let text = fs::read_to_string(file).expect("a case can be read");
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut case: Case =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if case.release.name.is_empty() {
        case.release.name = "istiod".to_owned();
    }
    if case.release.namespace.is_empty() {
        case.release.namespace = "istio-system".to_owned();
    }
    (name, case)
}

#[test]
fn every_case_comes_to_what_it_says() {
    let Some(helm) = helm() else { return };
    let mut wrong = Vec::new();
    for chart in CHARTS {
        for (name, case) in cases(chart) {
            let values = Value::Mapping(case.values.clone());
            let rendered = render(&helm, chart, &case.release, &values);
            let found = match (&rendered, &case.fails) {
                (Ok(objects), None) => {
                    let mut found = invariants::violations(objects);
                    found.extend(unmet(&case, objects));
                    found
                }
                (Ok(_), Some(_)) => vec!["helm does not refuse it".to_owned()],
                (Err(error), Some(part)) if error.contains(part) => Vec::new(),
                (Err(error), _) => vec![error.clone()],
            };
            wrong.extend(
                found
                    .into_iter()
                    .map(|found| format!("{chart}/{name}: {found}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn unmet(case: &Case, objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = &case.objects {
        let mut have: Vec<&str> = objects
            .iter()
            .filter(|object| object.kind != "CustomResourceDefinition")
            .map(|object| object.id.as_str())
            .collect();
        have.sort_unstable();
        if have != expected.iter().map(String::as_str).collect::<Vec<_>>() {
            found.push(format!("the objects are\n  {}", have.join("\n  ")));
        }
    }
    for (id, expected) in &case.expect {
        let id = id.as_str().unwrap_or_default();
        let object = objects.iter().find(|object| object.id == id);
        match (object, expected) {
            (None, Value::Null) => {}
            (Some(_), Value::Null) => found.push(format!("{id} is there")),
            (None, _) => found.push(format!("{id} is not there")),
            (Some(object), expected) => contains(id, expected, &object.value, &mut found),
        }
    }
    found
}

fn contains(path: &str, expected: &Value, have: &Value, found: &mut Vec<String>) {
    match (expected, have) {
        (Value::Mapping(_), Value::String(text)) => match serde_yaml::from_str(text) {
            Ok(have) => contains(path, expected, &have, found),
            Err(error) => found.push(format!("{path} is no YAML: {error}")),
        },
        (Value::Mapping(expected), Value::Mapping(have)) => {
            for (key, expected) in expected {
                let path = format!("{path}.{}", key.as_str().unwrap_or_default());
                contains(
                    &path,
                    expected,
                    have.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Sequence(expected), Value::Sequence(have)) => {
            for (at, expected) in expected.iter().enumerate() {
                let met = have.iter().any(|have| {
                    let mut missing = Vec::new();
                    contains("", expected, have, &mut missing);
                    missing.is_empty()
                });
                if !met {
                    found.push(format!("{path}[{at}]: {expected:?} is not among {have:?}"));
                }
            }
        }
        _ if expected == have => {}
        _ => found.push(format!("{path} is {have:?} and not {expected:?}")),
    }
}

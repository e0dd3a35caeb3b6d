//! What `meltemi analyze` finds against what istioctl's analyzers found in their own test cases, recorded.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meltemi::analyze::{Objects, Surroundings, gather, run};
use meltemi_analysis::Options;
use meltemi_tests::shared::{shared_dir, skipped};
use serde::Deserialize;
use serde_json::Value;

/// As many lines as `tests/analyzers/expected-differences.txt` holds; the number only falls.
const MOST_EXPECTED: usize = 0;

/// Messages with another line. Istio 1.31 counts the lines of fields one too high in a file that begins with `---`.
const LINES_APART: usize = 1;

/// A recorded case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    analyzer: String,
    inputs: Vec<String>,
    mesh_config_file: Option<String>,
    mesh_networks_file: Option<String>,
    expected: Vec<Found>,
    messages: Vec<Found>,
}

/// A message, as far as it is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Found {
    code: String,
    origin: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    message: String,
}

fn cases() -> Vec<(PathBuf, Case)> {
    let corpus = shared_dir().map(|dir| dir.join("corpus/analyzers"));
    let Some(corpus) = corpus.filter(|dir| dir.is_dir()) else {
        skipped("no corpus");
        return Vec::new();
    };
    let entries = std::fs::read_dir(corpus).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path().join("case.yaml"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    let cases = files.into_iter().map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let dir = file.parent().unwrap().to_path_buf();
        (dir, serde_yaml::from_str(&text).unwrap())
    });
    cases.collect()
}

fn yaml(dir: &Path, file: Option<&String>) -> Value {
    file.map_or(Value::Null, |file| {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        serde_yaml::from_str(&text).unwrap()
    })
}

/// What we find, with names of files as the recording has them.
fn found(dir: &Path, case: &Case) -> Vec<Found> {
    let paths: Vec<_> = case.inputs.iter().map(|input| dir.join(input)).collect();
    let mut sources = gather(&paths).unwrap().sources;
    for (source, input) in sources.iter_mut().zip(&case.inputs) {
        source.name.clone_from(input);
    }
    let surroundings = Surroundings {
        mesh: yaml(dir, case.mesh_config_file.as_ref()),
        networks: yaml(dir, case.mesh_networks_file.as_ref()),
        istio_namespace: "istio-system".to_owned(),
    };
    let options = Options {
        analyzers: vec![case.analyzer.clone()],
        is_whole_mesh: true,
        ..Options::default()
    };
    run(
        &Objects::read(&sources, ""),
        &surroundings,
        &options,
        |report| {
            assert_eq!(report.executed, [&*case.analyzer]);
            let messages = report.messages.iter().map(|message| Found {
                code: message.kind.code.to_owned(),
                origin: message.object.origin(),
                reference: message.reference().unwrap_or_default(),
                message: message.text.clone(),
            });
            messages.collect()
        },
    )
}

/// How often each (code, origin) is there.
fn counted(found: &[Found]) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for one in found {
        *counts.entry((&*one.code, &*one.origin)).or_insert(0) += 1;
    }
    counts
}

/// How many of `expected` are among `found`, each used once.
fn shared_by(expected: &[Found], found: &[Found], same: fn(&Found, &Found) -> bool) -> usize {
    let mut left: Vec<_> = found.iter().collect();
    let is_there = |one: &&Found| {
        let at = left.iter().position(|other| same(one, other));
        at.map(|at| left.remove(at)).is_some()
    };
    expected.iter().filter(is_there).count()
}

#[test]
fn analyzers_find_what_istioctl_finds() {
    let allowed: BTreeMap<&str, &str> = include_str!("../analyzers/expected-differences.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(": ").expect("`CASE: why`"))
        .collect();
    assert_eq!(allowed.len(), MOST_EXPECTED);
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let (mut wrong, mut messages, mut texts, mut places) = (Vec::new(), 0, 0, 0);
    let mut told = String::new();
    for (dir, case) in &cases {
        let ours = found(dir, case);
        let is_equal = counted(&ours) == counted(&case.expected);
        match (is_equal, allowed.contains_key(case.name.as_str())) {
            (true, true) => wrong.push(format!("{}: equal now; take its line out", case.name)),
            (false, false) => wrong.push(format!(
                "{}\n  expected {:#?}\n  found {ours:#?}",
                case.name, case.messages
            )),
            _ => {}
        }
        let of_texts = |a: &Found, b: &Found| {
            (&a.code, &a.origin, &a.message) == (&b.code, &b.origin, &b.message)
        };
        messages += case.messages.len();
        let (same_texts, same_all) = (
            shared_by(&case.messages, &ours, of_texts),
            shared_by(&case.messages, &ours, |a, b| a == b),
        );
        texts += same_texts;
        places += same_all;
        if same_all < case.messages.len() {
            told += &format!("{}: {:#?}\n  ours: {ours:#?}\n", case.name, case.messages);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert_eq!(
        (texts, messages - places),
        (messages, LINES_APART),
        "{told}"
    );
}

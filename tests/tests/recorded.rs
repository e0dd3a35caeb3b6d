//! Listeners, clusters and routes of istiod 1.31's own unit tests.

use std::thread;

use meltemi_tests::corpus::{Verdict, in_parallel, report};
use meltemi_tests::recorded::{Case, Expected, cases, compare_case, recorded, violations};
use meltemi_tests::shared::{skipped, suite};

/// As many exceptions as `tests/recorded/expected-differences.txt` holds; the number only falls.
const MOST_EXPECTED: usize = 20;

fn all() -> Option<Vec<Case>> {
    let Some(dir) = suite("xds-recorded") else {
        skipped("no corpus");
        return None;
    };
    let files = cases(&dir).expect("the suite can be listed");
    let read = |file: &std::path::PathBuf| Case::read(file).expect("a case is well formed");
    Some(files.iter().map(read).collect())
}

#[test]
fn recorded_cases_are_equal() {
    let Some(cases) = all() else { return };
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let outcomes = in_parallel(&cases, jobs, compare_case);
    let expected = Expected::parse(include_str!("../recorded/expected-differences.txt")).unwrap();
    let wrong = violations(&outcomes, &expected, MOST_EXPECTED);
    let different: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict != Verdict::Equal)
        .filter(|outcome| !expected.0.contains_key(&outcome.id))
        .cloned()
        .collect();
    let first = report::first_differences(&different);
    assert!(
        wrong.is_empty(),
        "{first}\n{}\nthe program `recorded` says more",
        wrong.join("\n")
    );
}

#[test]
fn every_case_has_something_to_compare() {
    let Some(cases) = all() else { return };
    assert!(cases.len() > 200, "{} cases", cases.len());
    for case in cases {
        let answer = recorded(&case).unwrap();
        let resources = answer.cds.len() + answer.lds.len() + answer.rds.len();
        assert!(resources > 0, "{}", case.id);
    }
}

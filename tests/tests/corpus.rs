//! The recorded worlds of istiod 1.31.

use std::path::PathBuf;

use anyhow::Result;
use meltemi::{offline, render};
use meltemi_tests::corpus::{
    Allowed, Answer, Case, Compiler, Corpus, NodeSpec, Recorded, Selection, Verdict, report, run,
    unsupported_kinds, violations,
};
use meltemi_tests::features;
use meltemi_tests::shared::{skipped, xds_corpus};

fn corpus() -> Option<Corpus> {
    let Some(dir) = xds_corpus() else {
        skipped("no corpus");
        return None;
    };
    Some(Corpus::load(&dir).expect("the corpus is well formed"))
}

/// As many exceptions as `tests/corpus/expected-differences.txt` holds; the number only falls.
const MOST_EXPECTED: usize = 3;

/// Meltemi's library, asked without a server.
struct Library;

impl Compiler for Library {
    fn compile(&self, files: &[PathBuf], case: &Case, node: &NodeSpec) -> Result<Answer> {
        let input = offline::read(files, &features::settings(&case.istiod_env)?)?;
        let node = offline::Node {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            locality: node.locality.joined().unwrap_or_default(),
            metadata: node.metadata.clone(),
        };
        let compiled = offline::compile(&input, &node)?;
        let mut answer = Answer::from_json(&render::snapshot(&compiled.snapshot))?;
        answer.diagnostics = compiled
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(answer)
    }
}

#[test]
fn supported_worlds_are_equal() {
    let Some(corpus) = corpus() else { return };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let outcomes = run(&corpus, &Library, &Selection::default(), jobs).unwrap();
    let allowed = Allowed::parse(include_str!("../corpus/expected-differences.txt")).unwrap();
    let wrong = violations(&outcomes, &allowed, MOST_EXPECTED);
    let different: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Different)
        .cloned()
        .collect();
    let table = report::table(&outcomes) + &report::first_differences(&different);
    assert!(
        wrong.is_empty(),
        "{table}\n{}\n`cargo xtask corpus` says more",
        wrong.join("\n")
    );
}

#[test]
fn the_recording_is_equal_to_itself() {
    let Some(corpus) = corpus() else { return };
    let outcomes = run(&corpus, &Recorded, &Selection::default(), 2).unwrap();
    assert!(outcomes.len() > 200, "{} worlds", outcomes.len());
    for outcome in outcomes {
        assert_eq!(outcome.verdict, Verdict::Equal, "{}", outcome.id);
        assert!(
            outcome.expected() > 0 && outcome.equal() == outcome.expected(),
            "{}",
            outcome.id
        );
    }
}

/// The recording, damaged in the base and more in one world.
struct Damaged;

impl Compiler for Damaged {
    fn compile(&self, _files: &[PathBuf], case: &Case, node: &NodeSpec) -> Result<Answer> {
        let mut answer = case.expected(&node.name)?;
        answer.cds.remove("BlackHoleCluster");
        answer
            .lds
            .values_mut()
            .for_each(|listener| listener["traffic_direction"] = "INBOUND".into());
        if case.name == "cors" {
            answer.rds.clear();
        }
        Ok(answer)
    }
}

#[test]
fn a_world_is_not_blamed_for_what_differs_in_the_base() {
    let Some(corpus) = corpus() else { return };
    let selection = Selection {
        worlds: vec!["base".to_owned(), "virtualservice".to_owned()],
        node: None,
    };
    let outcomes = run(&corpus, &Damaged, &selection, 2).unwrap();
    let verdict = |id: &str| {
        outcomes
            .iter()
            .find(|outcome| outcome.id == id)
            .map(|outcome| outcome.verdict)
    };
    assert_eq!(verdict("base"), Some(Verdict::Different));
    assert_eq!(
        verdict("virtualservice/weights"),
        Some(Verdict::EqualButBase)
    );
    assert_eq!(verdict("virtualservice/cors"), Some(Verdict::Different));
    let base = outcomes
        .iter()
        .find(|outcome| outcome.id == "base")
        .unwrap();
    assert_eq!(
        base.names_that_differ().len(),
        7,
        "{:?}",
        base.names_that_differ()
    );
}

#[test]
fn worlds_are_told_apart_by_what_they_ask_for() {
    let Some(corpus) = corpus() else { return };
    let of = |id: &str| {
        let case = corpus.cases.iter().find(|case| case.id() == id).unwrap();
        unsupported_kinds(case).unwrap().join(",")
    };
    assert_eq!(of("virtualservice/cors"), "");
    assert_eq!(of("virtualservice/jwt-claim-routing"), "");
    assert_eq!(of("telemetry/access-log-custom-providers"), "Telemetry");
    assert_eq!(of("gateway/filter-clusters-flag"), "");
    assert_eq!(of("service/dual-stack-flag"), "");
}

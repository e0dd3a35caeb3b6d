//! Whole objects.

use meltemi_validation::kinds::envoy_filter::NOTICE;
use meltemi_validation::{Findings, validate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::{Decision, Tally, corpus, files, load};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default = "yes")]
    valid: bool,
    warning: Option<String>,
    object: Value,
}

fn yes() -> bool {
    true
}

/// What is found besides the notice that every EnvoyFilter gets: it was recorded without.
fn found(object: &Value) -> Findings {
    let mut findings = validate(object);
    findings
        .warnings
        .retain(|warning| warning.message != NOTICE);
    findings
}

#[test]
fn objects_are_decided_as_istio_decides() {
    let Some(dir) = corpus() else { return };
    let mut tally = Tally::default();
    for path in files(&dir.join("objects")) {
        for case in load::<Case>(&path) {
            let want = Decision {
                accepted: case.valid,
                warned: case.warning.is_some(),
            };
            tally.add(&case.name, want, &found(&case.object));
        }
    }
    tally.settle();
}

#[test]
fn the_control_planes_own_probe_is_refused() {
    let Some(dir) = corpus() else { return };
    let mut tally = Tally::default();
    let refused = Decision {
        accepted: false,
        warned: false,
    };
    for mut case in load::<Case>(&dir.join("objects/minimal-valid.yaml")) {
        case.object["metadata"]["annotations"][meltemi_validation::ALWAYS_REJECT] = json!("true");
        tally.add(&case.name, refused, &found(&case.object));
    }
    tally.settle();
}

//! Compares what a case's proxy is given with what was recorded.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Case, build, normal};
use crate::corpus::{Answer, NodeOutcome, TYPES, WorldOutcome, compare_answers};

/// The recorded lists, by our names of the types. Endpoints were not recorded.
const LISTS: [(&str, &str); 3] = [("cds", "clusters"), ("lds", "listeners"), ("rds", "routes")];

/// Kinds that Meltemi does not read yet, or not for this corpus. The list only shrinks.
const NOT_READ: [&str; 7] = [
    "AuthorizationPolicy",
    "EnvoyFilter",
    "HTTPRoute",
    "Ingress",
    "Telemetry",
    "TrafficExtension",
    "WasmPlugin",
];

/// What istiod gave. A type that the test did not ask for is empty.
pub fn recorded(case: &Case) -> Result<Answer> {
    let json = Value::Object(case.rest.clone());
    Answer::from_json(&json).with_context(|| case.id.clone())
}

/// Compiles a case and compares what was recorded of it.
pub fn compare_case(case: &Case) -> WorldOutcome {
    let node = compare(case).unwrap_or_else(|error| NodeOutcome {
        node: case.proxy.kind.clone(),
        failure: Some(format!("{error:#}")),
        ..NodeOutcome::default()
    });
    WorldOutcome::new(
        case.test().to_owned(),
        case.id.clone(),
        vec![node],
        unsupported_kinds(case),
    )
}

fn compare(case: &Case) -> Result<NodeOutcome> {
    let mut theirs = recorded(case)?;
    let mut ours = build(case)?.compile().answer()?;
    ours.eds.clear();
    for (kind, list) in LISTS {
        if !case.rest.contains_key(list) {
            ours.of_mut(kind).clear();
        }
    }
    for answer in [&mut ours, &mut theirs] {
        for kind in TYPES {
            for resource in answer.of_mut(kind).values_mut() {
                normal::normalise(case, resource);
            }
        }
    }
    Ok(compare_answers(&case.proxy.kind, &ours, &theirs, None))
}

/// The kinds among a case's objects that are not read yet.
fn unsupported_kinds(case: &Case) -> Vec<String> {
    let objects = case.kubernetes.values().flatten().chain(&case.configs);
    let kinds = objects.filter_map(|object| object.get("kind").and_then(Value::as_str));
    let found: BTreeSet<&str> = kinds.filter(|kind| NOT_READ.contains(kind)).collect();
    found.into_iter().map(str::to_owned).collect()
}

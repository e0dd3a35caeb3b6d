//! How much must be equal: what the suite asserts about a run over the whole corpus.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::{Verdict, WorldOutcome};

/// In these areas every world must be equal whose objects are supported.
const AREAS: [&str; 5] = [
    "destinationrule",
    "precedence",
    "service",
    "sidecar",
    "virtualservice",
];

/// Of the base world's resources, over all proxies, so many in a hundred are equal at least.
const BASE_PERCENT: usize = 95;

/// Worlds that may differ, with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(pub BTreeMap<String, String>);

impl Allowed {
    /// Reads `area/case: reason` lines; `#` begins a comment line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut worlds = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (world, reason) = line
                .split_once(": ")
                .with_context(|| format!("no reason in {line:?}"))?;
            let before = worlds.insert(world.to_owned(), reason.to_owned());
            ensure!(before.is_none(), "{world} stands there twice");
        }
        Ok(Self(worlds))
    }
}

/// What is worse than it may be, one line each; `most_allowed` bounds the list of exceptions.
pub fn violations(
    outcomes: &[WorldOutcome],
    allowed: &Allowed,
    most_allowed: usize,
) -> Vec<String> {
    let mut wrong = Vec::new();
    match outcomes.iter().find(|outcome| outcome.area == "base") {
        Some(base) => base_violations(base, &mut wrong),
        None => wrong.push("the base world was not run".to_owned()),
    }
    for outcome in outcomes
        .iter()
        .filter(|outcome| AREAS.contains(&outcome.area.as_str()))
    {
        if outcome.verdict == Verdict::Different && !allowed.0.contains_key(&outcome.id) {
            wrong.push(format!(
                "{} differs, and no reason is given in expected-differences.txt",
                outcome.id
            ));
        }
    }
    for world in allowed.0.keys() {
        match outcomes
            .iter()
            .find(|outcome| outcome.id == *world)
            .map(|outcome| outcome.verdict)
        {
            None => wrong.push(format!("{world} in expected-differences.txt is no world")),
            Some(Verdict::Equal | Verdict::EqualButBase) => {
                wrong.push(format!(
                    "{world} has become equal: take it off expected-differences.txt"
                ));
            }
            Some(Verdict::Different | Verdict::Unsupported) => {}
        }
    }
    if allowed.0.len() > most_allowed {
        wrong.push(format!(
            "{} exceptions, {most_allowed} are allowed",
            allowed.0.len()
        ));
    }
    wrong
}

fn base_violations(base: &WorldOutcome, wrong: &mut Vec<String>) {
    for node in &base.nodes {
        if let Some(failure) = &node.failure {
            wrong.push(format!("base, {}: {failure}", node.node));
        }
    }
    wrong.extend(
        base.names_that_differ()
            .into_iter()
            .map(|name| format!("base: {name}")),
    );
    let (equal, expected) = (base.equal(), base.expected());
    if equal * 100 < expected * BASE_PERCENT {
        wrong.push(format!(
            "base: {equal} of {expected} resources are equal, {BASE_PERCENT} % must be"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::NodeOutcome;
    use super::*;

    fn world(area: &str, case: &str, verdict: Verdict) -> WorldOutcome {
        let id = if case.is_empty() {
            area.to_owned()
        } else {
            format!("{area}/{case}")
        };
        WorldOutcome {
            area: area.to_owned(),
            id,
            nodes: Vec::new(),
            unsupported: Vec::new(),
            verdict,
        }
    }

    fn base(equal: usize) -> WorldOutcome {
        let node = NodeOutcome {
            expected: [100, 0, 0, 0],
            named: [100, 0, 0, 0],
            equal: [equal, 0, 0, 0],
            ..NodeOutcome::default()
        };
        WorldOutcome {
            nodes: vec![node],
            ..world("base", "", Verdict::Different)
        }
    }

    #[test]
    fn what_is_asserted() {
        let differs = |area| world(area, "a", Verdict::Different);
        for (outcomes, allowed, expected) in [
            (vec![base(95)], "", ""),
            (
                vec![base(94)],
                "",
                "base: 94 of 100 resources are equal, 95 % must be",
            ),
            (vec![], "", "the base world was not run"),
            (vec![base(100), differs("telemetry")], "", ""),
            (
                vec![base(100), world("sidecar", "a", Verdict::Unsupported)],
                "",
                "",
            ),
            (
                vec![base(100), differs("sidecar")],
                "",
                "sidecar/a differs, and no reason is given in expected-differences.txt",
            ),
            (
                vec![base(100), differs("sidecar")],
                "# why\nsidecar/a: versions",
                "",
            ),
            (
                vec![base(100), world("sidecar", "a", Verdict::Equal)],
                "sidecar/a: versions",
                "sidecar/a has become equal: take it off expected-differences.txt",
            ),
            (
                vec![base(100)],
                "sidecar/b: versions",
                "sidecar/b in expected-differences.txt is no world",
            ),
            (
                vec![base(100), differs("sidecar"), differs("service")],
                "sidecar/a: x\nservice/a: x",
                "2 exceptions, 1 are allowed",
            ),
        ] {
            let allowed = Allowed::parse(allowed).unwrap();
            assert_eq!(violations(&outcomes, &allowed, 1).join("; "), expected);
        }
    }

    #[test]
    fn an_exception_has_a_reason() {
        assert!(Allowed::parse("sidecar/a").is_err());
        assert!(Allowed::parse("sidecar/a: x\nsidecar/a: y").is_err());
    }
}

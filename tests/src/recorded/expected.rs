//! Which cases may differ: `tests/recorded/expected-differences.txt`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::corpus::{Verdict, WorldOutcome};

/// Cases that may differ, in classes with a reason for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected(pub BTreeMap<String, String>);

impl Expected {
    /// Reads `[reason]` lines, each followed by cases, one a line; `#` begins a comment line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut cases = BTreeMap::new();
        let mut class = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(reason) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                ensure!(!reason.is_empty(), "a class without a reason");
                class = Some(reason.to_owned());
                continue;
            }
            let reason = class
                .clone()
                .with_context(|| format!("{line} stands before the first [reason]"))?;
            if cases.insert(line.to_owned(), reason).is_some() {
                bail!("{line} stands there twice");
            }
        }
        Ok(Self(cases))
    }
}

/// What is worse than it may be, one line each; `most` bounds the list of exceptions.
pub fn violations(outcomes: &[WorldOutcome], expected: &Expected, most: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for outcome in outcomes {
        let excepted = expected.0.contains_key(&outcome.id);
        match (outcome.verdict == Verdict::Equal, excepted) {
            (true, true) => wrong.push(format!(
                "{} has become equal: take it off expected-differences.txt",
                outcome.id
            )),
            (false, false) => wrong.push(format!(
                "{} differs, and no reason is given in expected-differences.txt",
                outcome.id
            )),
            _ => {}
        }
    }
    for case in expected.0.keys() {
        if outcomes.iter().all(|outcome| outcome.id != *case) {
            wrong.push(format!("{case} in expected-differences.txt is no case"));
        }
    }
    if expected.0.len() > most {
        wrong.push(format!(
            "{} exceptions, {most} are allowed",
            expected.0.len()
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_has_a_reason_and_ends_when_the_case_is_equal() {
        let outcome = |verdict| WorldOutcome {
            area: "TestA".to_owned(),
            id: "TestA/a".to_owned(),
            nodes: Vec::new(),
            unsupported: Vec::new(),
            verdict,
        };
        for (verdict, list, want) in [
            (Verdict::Equal, "", ""),
            (
                Verdict::Unsupported,
                "",
                "TestA/a differs, and no reason is given in expected-differences.txt",
            ),
            (Verdict::Different, "# x\n[why]\nTestA/a", ""),
            (
                Verdict::Equal,
                "[why]\nTestA/a",
                "TestA/a has become equal: take it off expected-differences.txt",
            ),
            (
                Verdict::Equal,
                "[why]\nTestB/b",
                "TestB/b in expected-differences.txt is no case",
            ),
            (
                Verdict::Different,
                "[why]\nTestA/a\n[why else]\nTestA/b",
                "TestA/b in expected-differences.txt is no case; 2 exceptions, 1 are allowed",
            ),
        ] {
            let expected = Expected::parse(list).unwrap();
            let found = violations(&[outcome(verdict)], &expected, 1);
            assert_eq!(found.join("; "), want, "{list}");
        }
        for broken in ["TestA/a", "[]\nTestA/a", "[why]\nTestA/a\nTestA/a"] {
            assert!(Expected::parse(broken).is_err(), "{broken}");
        }
    }
}

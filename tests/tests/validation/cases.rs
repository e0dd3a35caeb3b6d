//! The recorded cases, and what Istio decided.

use std::fmt;
use std::path::{Path, PathBuf};

use meltemi_tests::shared::{shared_dir, skipped};
use meltemi_validation::Findings;
use serde::de::DeserializeOwned;

/// Where the cases lie, if they are there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let dir = shared_dir().map(|dir| dir.join("corpus/validation"));
    let found = dir.filter(|dir| dir.join("objects").is_dir());
    if found.is_none() {
        skipped("no corpus");
    }
    found
}

/// The cases of one file.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    #[derive(serde::Deserialize)]
    struct File<T> {
        cases: Vec<T>,
    }
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let file: File<T> = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    file.cases
}

/// The YAML files of a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Accepted or not, with warnings or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) accepted: bool,
    pub(crate) warned: bool,
}

impl Decision {
    pub(crate) fn of(findings: &Findings) -> Self {
        Self {
            accepted: findings.errors.is_empty(),
            warned: !findings.warnings.is_empty(),
        }
    }
}

/// Cases that were compared, and those that came out otherwise.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: usize,
    pub(crate) wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, name: &str, want: Decision, findings: &Findings) {
        self.total += 1;
        let got = Decision::of(findings);
        if got != want {
            let said: Vec<String> = findings
                .errors
                .iter()
                .chain(&findings.warnings)
                .map(ToString::to_string)
                .collect();
            self.wrong
                .push(format!("{name}: {got:?} instead of {want:?}: {said:?}"));
        }
    }

    /// Fails with every case that differs.
    pub(crate) fn settle(self) {
        assert!(self.total > 0, "there are cases");
        assert!(self.wrong.is_empty(), "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} cases differ", self.wrong.len(), self.total)?;
        self.wrong.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

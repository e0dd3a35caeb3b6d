//! Steps: each has the name that it has in the labs, an outcome, and evidence when it fails.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::say::say;

/// A step of a lab.
#[derive(Debug)]
pub(crate) struct Step {
    /// As in the labs, such as `L02.3`.
    pub(crate) name: &'static str,
    /// What must hold.
    pub(crate) what: &'static str,
    /// Whether the lab's later steps make no sense without it.
    pub(crate) needed: bool,
    /// What it found, in a few words.
    pub(crate) run: fn(&Cluster) -> Result<String>,
}

/// A step that later ones build on.
pub(crate) const fn needed(
    name: &'static str,
    what: &'static str,
    run: fn(&Cluster) -> Result<String>,
) -> Step {
    Step {
        name,
        what,
        needed: true,
        run,
    }
}

/// A step that stands for itself.
pub(crate) const fn step(
    name: &'static str,
    what: &'static str,
    run: fn(&Cluster) -> Result<String>,
) -> Step {
    Step {
        name,
        what,
        needed: false,
        run,
    }
}

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Totals {
    /// Runs the steps in order. After a needed step that failed the rest is skipped; false says so.
    pub(crate) fn run(&mut self, cluster: &Cluster, steps: &[Step]) -> bool {
        let mut broken: Option<&str> = None;
        for step in steps {
            if let Some(broken) = broken {
                say(&format!(
                    "skipped: {} {} (after {broken})",
                    step.name, step.what
                ));
                self.skipped += 1;
                continue;
            }
            let begun = Instant::now();
            let outcome = (step.run)(cluster);
            let time = begun.elapsed();
            if let Err(error) = outcome.map(|found| self.ok(step, &found, time)) {
                self.fail(cluster, step, &error, time);
                broken = step.needed.then_some(step.name);
            }
        }
        broken.is_none()
    }

    fn ok(&mut self, step: &Step, found: &str, time: Duration) {
        let space = if found.is_empty() { "" } else { ": " };
        say(&format!(
            "{} ok {}{space}{found} ({:.1} s)",
            step.name,
            step.what,
            time.as_secs_f32()
        ));
        self.passed += 1;
    }

    fn fail(&mut self, cluster: &Cluster, step: &Step, error: &anyhow::Error, time: Duration) {
        say(&format!(
            "{} FAILED {}: {error:#} ({:.1} s)",
            step.name,
            step.what,
            time.as_secs_f32()
        ));
        self.failed += 1;
        let file = cluster
            .folder()
            .join("log")
            .join(format!("{}.txt", step.name));
        match fs::write(&file, cluster.evidence()) {
            Ok(()) => say(&format!("    pods, events and logs: {}", file.display())),
            Err(error) => say(&format!("    the evidence cannot be written: {error}")),
        }
    }

    /// The last line, in the form that `cargo xtask` counts.
    pub(crate) fn print(&self) {
        let word = if self.failed == 0 { "ok" } else { "FAILED" };
        say(&format!(
            "test result: {word}. {} passed; {} failed; {} ignored",
            self.passed, self.failed, self.skipped
        ));
    }
}

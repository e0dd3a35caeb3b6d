//! The labs, in the order in which they build on each other.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::report::{Step, Totals};
use crate::say::say;
use crate::settings;

mod calls;
mod faults;
mod l01;
mod l02;
mod l03;
mod l04;
mod l05;
mod l06;
mod l07;
mod mesh;
mod platform;
mod pressure;
mod takeover;
mod uninstall;

/// A lab: its name, its steps, and the labs that must have run before.
struct Lab {
    name: &'static str,
    steps: &'static [Step],
    after: &'static [&'static str],
}

const LABS: [Lab; 11] = [
    Lab {
        name: "platform",
        steps: platform::STEPS,
        after: &[],
    },
    Lab {
        name: "L01",
        steps: l01::STEPS,
        after: &["platform"],
    },
    Lab {
        name: "L02",
        steps: l02::STEPS,
        after: &["platform", "L01"],
    },
    Lab {
        name: "L03",
        steps: l03::STEPS,
        after: &["platform", "L01", "L02"],
    },
    Lab {
        name: "L04",
        steps: l04::STEPS,
        after: &["platform", "L01", "L02"],
    },
    Lab {
        name: "L05",
        steps: l05::STEPS,
        after: &["platform", "L01", "L02"],
    },
    Lab {
        name: "L06",
        steps: l06::STEPS,
        after: &["platform", "L01", "L02"],
    },
    Lab {
        name: "L07",
        steps: l07::STEPS,
        after: &["platform", "L01", "L02"],
    },
    Lab {
        name: "faults",
        steps: faults::STEPS,
        after: &["platform", "L01"],
    },
    Lab {
        name: "uninstall",
        steps: uninstall::STEPS,
        after: &["platform", "L01"],
    },
    // It makes a mesh of its own, and removes one that is there.
    Lab {
        name: "takeover",
        steps: takeover::STEPS,
        after: &["platform"],
    },
];

/// Whether there is such a lab.
pub(crate) fn is_lab(name: &str) -> bool {
    LABS.iter().any(|lab| lab.name == name)
}

/// All names.
pub(crate) fn names() -> Vec<&'static str> {
    LABS.iter().map(|lab| lab.name).collect()
}

/// Runs the named labs, or all, with those that they build on.
pub(crate) fn run(cluster: &Cluster, wanted: &[String]) -> Totals {
    let mut totals = Totals::default();
    let mut broken: Vec<&str> = Vec::new();
    for lab in chosen(wanted) {
        say(&format!("--- {}", lab.name));
        if let Some(before) = lab.after.iter().find(|name| broken.contains(name)) {
            say(&format!("{} skipped, after {before}", lab.name));
            totals.skipped += u32::try_from(lab.steps.len()).unwrap_or(u32::MAX);
            broken.push(lab.name);
            continue;
        }
        if lab.name != "platform" && manifests().is_err() {
            say(&format!(
                "{} skipped: no corpus, since the labs' manifests are not beside the clone",
                lab.name
            ));
            totals.skipped += u32::try_from(lab.steps.len()).unwrap_or(u32::MAX);
            continue;
        }
        if !totals.run(cluster, lab.steps) {
            broken.push(lab.name);
        }
    }
    totals
}

fn chosen(wanted: &[String]) -> Vec<&'static Lab> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wish| wish == name);
    let builds_on = |name: &str| {
        LABS.iter()
            .any(|lab| is_wanted(lab.name) && lab.after.contains(&name))
    };
    LABS.iter()
        .filter(|lab| is_wanted(lab.name) || builds_on(lab.name))
        .collect()
}

/// The folder of the labs' manifests, beside the clone.
fn manifests() -> Result<PathBuf> {
    let folder = settings::root().join("../shared/labs");
    if !folder.is_dir() {
        bail!("there are no manifests: {}", folder.display());
    }
    Ok(folder)
}

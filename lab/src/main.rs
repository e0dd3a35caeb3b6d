//! Labs in a real Kubernetes, on one machine and without a container engine: `cargo xtask lab`.
//!
//! The cluster's programs come from package registries and are built once; the cluster lives in namespaces of its own and
//! ends with this program. It must never know how Meltemi works: to it the control plane is an image, charts and ports.
//! This program is also what plays the applications in their containers.
//!
//! Read first: `cluster.rs` (what a step can do), `node.rs` (how the cluster comes to be), `labs.rs` (the steps).

mod cgroups;
mod cluster;
mod debian;
mod golang;
mod images;
mod labs;
mod layer;
mod load;
mod machine;
mod node;
mod pki;
mod registry;
mod report;
mod run;
mod say;
mod settings;
mod stand_in;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::say::say;

const HELP: &str = "\
meltemi-lab [--keep] [--meltemi PATH] [--image FOLDER] [NAME]…   run labs, or all of them, in a cluster of their own
  --keep           wait for Ctrl-C before the cluster ends
  --meltemi PATH   the control plane's program; without it, `meltemi` beside this program
  --image FOLDER   the root file system of its image, as `cargo xtask image --root` writes it
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    dispatch(&words).unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::from(2)
    })
}

fn dispatch(words: &[String]) -> Result<ExitCode> {
    match words {
        [verb] if verb == "pause" => stand_in::pause().map(|()| ExitCode::SUCCESS),
        [verb, image, arguments @ ..] if verb == "stand-in" => {
            stand_in::run(image, arguments).map(|()| ExitCode::SUCCESS)
        }
        [verb, address, path, rate, seconds] if verb == "load" => {
            load::run(address, path, rate, seconds).map(|()| ExitCode::SUCCESS)
        }
        [verb, address, path] if verb == "hold" => {
            load::hold(address, path).map(|()| ExitCode::SUCCESS)
        }
        _ => machine::run(&choice(words)?),
    }
}

/// What a user chose.
#[derive(Debug, Default)]
struct Choice {
    keep: bool,
    meltemi: PathBuf,
    image: Option<PathBuf>,
    labs: Vec<String>,
}

fn choice(words: &[String]) -> Result<Choice> {
    let mut choice = Choice::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--keep" => choice.keep = true,
            "--meltemi" => {
                choice.meltemi = words.next().context("--meltemi needs a path")?.into();
            }
            "--image" => {
                choice.image = Some(words.next().context("--image needs a folder")?.into());
            }
            name if labs::is_lab(name) => choice.labs.push(name.to_owned()),
            other => bail!(
                "there is no lab {other}; there are {}\n{HELP}",
                labs::names().join(", ")
            ),
        }
    }
    if choice.meltemi.as_os_str().is_empty() {
        let own = std::env::current_exe().context("where this program is")?;
        choice.meltemi = own.with_file_name("meltemi");
    }
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_to_run() {
        let read = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            choice(&words).map(|choice| (choice.keep, choice.labs)).ok()
        };
        assert_eq!(read(""), Some((false, vec![])));
        assert_eq!(read("--keep L01"), Some((true, vec!["L01".to_owned()])));
        assert_eq!(read("L99"), None);
        assert_eq!(read("--meltemi"), None);
    }
}

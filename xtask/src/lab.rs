//! `cargo xtask lab`: labs in a real cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::image::image;
use crate::run::counted;
use crate::settings;
use crate::setup::lab_setup;
use crate::tally::Tally;

/// What is built: the control plane under test, and the program that runs the labs.
const BUILD: [&str; 6] = [
    "build",
    "--release",
    "--package",
    "meltemi",
    "--package",
    "meltemi-lab",
];

/// Runs the labs; output passes through. The program is started by itself and not by cargo, so that signals reach it.
pub(crate) fn lab(words: &[String]) -> Result<ExitCode> {
    Ok(match tally(words)?.0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs the labs and counts their steps.
pub(crate) fn tally(words: &[String]) -> Result<(bool, Tally)> {
    lab_setup()?;
    let mut build = Command::new(settings::cargo());
    build.args(BUILD).current_dir(settings::root());
    let built = counted(&mut build)?;
    if !built.0 {
        return Ok(built);
    }
    let release = settings::target().join("release");
    let mut labs = Command::new(release.join("meltemi-lab"));
    labs.args(words).current_dir(settings::root());
    match image_root(&release.join("meltemi")) {
        Ok(root) => {
            labs.arg("--image").arg(root);
        }
        // The labs can do without; that the image can be made is tested elsewhere.
        Err(error) => println!("the labs run with an image of their own: {error:#}"),
    }
    counted(&mut labs)
}

/// The root file system of the image that users get, with the program that was just built.
fn image_root(program: &Path) -> Result<PathBuf> {
    let root = settings::target().join("lab/root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    let (program, folder) = (program.to_string_lossy(), root.to_string_lossy());
    let words = ["--binary", &*program, "--root", &*folder].map(str::to_owned);
    image(&words)?;
    Ok(root)
}

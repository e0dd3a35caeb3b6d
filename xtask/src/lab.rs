//! `cargo xtask lab`: labs in a real cluster.

use std::process::{Command, ExitCode};

use anyhow::Result;

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
    let mut labs = Command::new(settings::target().join("release/meltemi-lab"));
    counted(labs.args(words).current_dir(settings::root()))
}

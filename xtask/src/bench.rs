//! `cargo xtask bench`: the benches, with their times.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::settings;

/// Runs the benches; the arguments are theirs.
pub(crate) fn bench(words: &[String]) -> Result<ExitCode> {
    let mut command = Command::new(settings::cargo());
    command
        .args([
            "bench",
            "--package",
            "meltemi-tests",
            "--bench",
            "generation",
            "--",
        ])
        .args(words)
        .current_dir(settings::root());
    let status = command.status().context("cargo does not start")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

//! `cargo xtask corpus`: builds Meltemi and compares it with the recordings of istiod.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::settings;

/// Runs the comparison; the arguments are those of `tests/src/bin/corpus.rs`.
pub(crate) fn corpus(words: &[String]) -> Result<ExitCode> {
    let own_program = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "--compile-cmd" | "--recorded" | "--help" | "-h"
        )
    });
    let mut command = Command::new(settings::cargo());
    command
        .args([
            "run",
            "--quiet",
            "--package",
            "meltemi-tests",
            "--bin",
            "corpus",
            "--",
        ])
        .args(words);
    if !own_program {
        let mut build = Command::new(settings::cargo());
        build
            .args(["build", "--quiet", "--package", "meltemi"])
            .current_dir(settings::root());
        if !build.status().context("cargo does not start")?.success() {
            bail!("Meltemi does not build");
        }
        command
            .arg("--compile-cmd")
            .arg(settings::target().join("debug/meltemi"));
    }
    let status = command
        .current_dir(settings::root())
        .status()
        .context("cargo does not start")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

//! How the comparing tools (`bin/corpus.rs`, `bin/recorded.rs`) say what they found, and end.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::corpus::{Verdict, WorldOutcome};

/// Writes to standard output. A reader that has seen enough (`| head`) is no error.
pub fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The end of a program; 2 when it could not compare.
pub fn ended(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}\n"));
        ExitCode::from(2)
    })
}

/// 1 when a world is different that asks for nothing unsupported.
pub fn verdict(outcomes: &[WorldOutcome]) -> ExitCode {
    let mut all = outcomes.iter();
    match all.any(|outcome| outcome.verdict == Verdict::Different) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

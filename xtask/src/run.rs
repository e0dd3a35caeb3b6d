//! Runs a program, shows what it says and counts the results in it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

use crate::tally::Tally;

/// Runs to the end; output passes through line by line. An error means that the program could not be started.
pub(crate) fn counted(command: &mut Command) -> Result<(bool, Tally)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let (output, complaints) = (child.stdout.take(), child.stderr.take());
    let (mut tally, other) = thread::scope(|scope| {
        let complaints = scope.spawn(|| {
            complaints
                .map(|stream| pass_on(stream, true))
                .unwrap_or_default()
        });
        let tally = output
            .map(|stream| pass_on(stream, false))
            .unwrap_or_default();
        (tally, complaints.join().unwrap_or_default())
    });
    tally.add(&other);
    tally.settle();
    let status = child
        .wait()
        .with_context(|| format!("waiting for {name}"))?;
    Ok((status.success(), tally))
}

fn pass_on(stream: impl Read, complaint: bool) -> Tally {
    let mut tally = Tally::default();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        tally.read(&String::from_utf8_lossy(&line));
        // A closed terminal is no reason to stop counting.
        let _ = if complaint {
            std::io::stderr().write_all(&line)
        } else {
            std::io::stdout().write_all(&line)
        };
        line.clear();
    }
    tally
}

/// Runs quietly; the error is what the program said.
pub(crate) fn quietly(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output();
    let output = output.with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("`{program} {}`: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

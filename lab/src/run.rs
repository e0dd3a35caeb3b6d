//! Runs programs; a failure is an error that says what the program said.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a condition is asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs to the end with an input; the standard output.
pub(crate) fn fed(command: &mut Command, input: &str) -> Result<String> {
    let line = words(command);
    let output = output(command, input)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        bail!(
            "`{line}` ({}): {} {}",
            output.status,
            said.trim(),
            printed.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end; the standard output.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    fed(command, "")
}

/// Runs to the end, whatever the result.
pub(crate) fn output(command: &mut Command, input: &str) -> Result<Output> {
    let line = words(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{line}` does not start"))?;
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A program that ends without reading its input says why in its result.
            stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
        });
        child
            .wait_with_output()
            .with_context(|| format!("waiting for `{line}`"))
    })
}

/// The command line, shortened, for messages.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let line = line.join(" ");
    match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// Asks until the answer is good; the last reason why it was not becomes the error.
pub(crate) fn eventually<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(error.context(format!("{what}: not within {} s", limit.as_secs())));
        }
        thread::sleep(PAUSE);
    }
}

/// The last lines of a file.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let mut text = Vec::new();
    // A log that is not there has no last lines.
    let _absent = File::open(file).and_then(|mut file| file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_the_program_said() {
        assert_eq!(fed(&mut Command::new("cat"), "x").unwrap(), "x");
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo no room >&2; exit 3"]);
        let error = said(&mut failing).unwrap_err().to_string();
        assert!(error.contains("no room") && error.contains('3'), "{error}");
    }

    #[test]
    fn eventually_gives_the_last_reason() {
        let mut left = 2;
        let found = eventually(Duration::from_secs(60), "three", || {
            if left == 0 {
                return Ok(left);
            }
            left -= 1;
            bail!("not yet")
        });
        assert_eq!(found.unwrap(), 0);
        let never = eventually(Duration::ZERO, "never", || -> Result<()> {
            bail!("because")
        });
        assert!(format!("{:#}", never.unwrap_err()).contains("because"));
    }
}

//! `cargo xtask test`: all tests, in parts whose durations are printed.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::lab;
use crate::run::counted;
use crate::settings;
use crate::setup::setup;
use crate::tally::Tally;

/// A part of a full run: a name and the arguments of cargo.
struct Part {
    name: &'static str,
    /// Whether it needs what `setup` installs.
    needs_setup: bool,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// Cheap ones first; the parts of the debug build before those of the release build.
const PARTS: [Part; 6] = [
    Part {
        name: "fmt",
        needs_setup: false,
        arguments: &["fmt", "--all", "--", "--check"],
        environment: &[],
    },
    Part {
        name: "clippy",
        needs_setup: false,
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        environment: &[],
    },
    Part {
        name: "test",
        needs_setup: true,
        arguments: &["test", "--workspace", "--no-fail-fast"],
        // The same random cases in every full run; `cargo test` by itself draws others each time.
        environment: &[("PROPTEST_RNG_SEED", "1")],
    },
    Part {
        name: "doc",
        needs_setup: false,
        arguments: &["doc", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Part {
        name: "demo",
        needs_setup: true,
        arguments: &["run", "--release", "--", "demo", "--check"],
        environment: &[],
    },
    Part {
        name: "bench",
        needs_setup: false,
        arguments: &[
            "bench",
            "--package",
            "meltemi-tests",
            "--bench",
            "generation",
            "--",
            "--counts",
        ],
        environment: &[],
    },
];

/// The last part: it sets itself up, and starts what cargo has built by itself.
const LAB: &str = "lab";

struct Finished {
    name: &'static str,
    duration: Duration,
    tally: Tally,
}

/// Runs all parts, or those that are named; a part that fails does not keep the others from running.
pub(crate) fn test(words: &[String]) -> Result<ExitCode> {
    let only = parse(words)?;
    let parts: Vec<&Part> = PARTS
        .iter()
        .filter(|part| only.is_empty() || only.contains(&part.name))
        .collect();
    let mut finished = Vec::new();
    if only.contains(&"setup") || parts.iter().any(|part| part.needs_setup) {
        finished.push(timed("setup", || {
            setup().map(|()| (true, Tally::default()))
        }));
    }
    for part in parts {
        finished.push(timed(part.name, || {
            let mut command = Command::new(settings::cargo());
            command
                .args(part.arguments)
                .envs(part.environment.iter().copied())
                .current_dir(settings::root());
            counted(&mut command)
        }));
    }
    if only.is_empty() || only.contains(&LAB) {
        finished.push(timed(LAB, || lab::tally(&[])));
    }
    Ok(summary(&finished))
}

fn parse(words: &[String]) -> Result<Vec<&'static str>> {
    let names: Vec<&'static str> = std::iter::once("setup")
        .chain(PARTS.iter().map(|part| part.name))
        .chain(std::iter::once(LAB))
        .collect();
    let mut only = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = match word.as_str() {
            "--only" => words.next().map(String::as_str),
            other => other.strip_prefix("--only="),
        };
        match names.iter().find(|known| Some(**known) == name) {
            Some(known) => only.push(*known),
            None => bail!(
                "`cargo xtask test` takes --only PART; the parts are {}",
                names.join(", ")
            ),
        }
    }
    Ok(only)
}

/// A part that reports no counts of its own counts as one test.
fn timed(name: &'static str, work: impl FnOnce() -> Result<(bool, Tally)>) -> Finished {
    println!("\n=== {name}");
    let start = Instant::now();
    let (passed, mut tally) = work().unwrap_or_else(|error| {
        println!("{error:#}");
        (false, Tally::default())
    });
    if !passed && tally.failed == 0 {
        tally.failed = 1;
    }
    if passed && tally.is_empty() {
        tally.passed = 1;
    }
    let finished = Finished {
        name,
        duration: start.elapsed(),
        tally,
    };
    println!(
        "=== {name}: {} in {}",
        verdict(&finished),
        clock(finished.duration)
    );
    finished
}

fn verdict(finished: &Finished) -> &'static str {
    if finished.tally.failed == 0 {
        "ok"
    } else {
        "FAILED"
    }
}

fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!(
        "{}:{:02}.{}",
        seconds / 60,
        seconds % 60,
        duration.subsec_millis() / 100
    )
}

/// The table of the parts, and as the last line the sum.
fn summary(finished: &[Finished]) -> ExitCode {
    let mut total = Tally::default();
    let mut time = Duration::ZERO;
    println!(
        "\n{:<8}{:>10}{:>9}{:>9}{:>9}",
        "part", "m:ss", "passed", "failed", "skipped"
    );
    for part in finished {
        let Tally {
            passed,
            failed,
            skipped,
            ..
        } = &part.tally;
        let mark = if *failed == 0 { "" } else { "  FAILED" };
        println!(
            "{:<8}{:>10}{passed:>9}{failed:>9}{skipped:>9}{mark}",
            part.name,
            clock(part.duration)
        );
        total.add(&part.tally);
        time += part.duration;
    }
    println!("{:<8}{:>10}\n", "all", clock(time));
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Vec<&'static str>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words).ok()
    }

    #[test]
    fn reads_which_parts_to_run() {
        assert_eq!(parsed(""), Some(vec![]));
        assert_eq!(parsed("--only fmt --only=test"), Some(vec!["fmt", "test"]));
        assert_eq!(parsed("--only nonsense"), None);
        assert_eq!(parsed("--only"), None);
        assert_eq!(parsed("fmt"), None);
    }

    #[test]
    fn a_part_counts_at_least_once() {
        let counts = |work: Result<(bool, Tally)>| {
            let tally = timed("x", || work).tally;
            (tally.passed, tally.failed, tally.skipped)
        };
        let some = Tally {
            passed: 3,
            skipped: 1,
            ..Tally::default()
        };
        assert_eq!(counts(Ok((true, Tally::default()))), (1, 0, 0));
        assert_eq!(counts(Ok((false, Tally::default()))), (0, 1, 0));
        assert_eq!(counts(Ok((true, some.clone()))), (3, 0, 1));
        assert_eq!(counts(Ok((false, some))), (3, 1, 1));
        assert_eq!(counts(Err(anyhow::anyhow!("no"))), (0, 1, 0));
    }
}

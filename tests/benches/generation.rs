//! Generation of CDS, EDS, LDS and RDS: time, bytes, allocations and misses for each of Istio's benchmark worlds and for
//! a world of 1,000 services × 10 endpoints in which endpoints change. Counts are asserted, times are reported.
#![expect(clippy::print_stdout, reason = "a command line")]

#[path = "generation/subject.rs"]
mod subject;

use std::alloc::System;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use meltemi_tests::bench::cases::{BenchCase, cases, proxy_of};
use meltemi_tests::bench::counts::{Counts, Table, parse, render, violations};
use meltemi_tests::bench::{Subject, churn};
use meltemi_tests::shared;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The types, and the whole way from a world to a snapshot.
const KINDS: [&str; 5] = ["cds", "eds", "lds", "rds", "all"];

/// Runs for the reported time; the median is shown.
const ROUNDS: usize = 5;

#[derive(Debug, Default)]
struct Options {
    /// Each generation once, no times, and the counts are compared with the table.
    counts: bool,
    /// Write the table.
    update: bool,
    /// Only cases whose names contain this.
    filter: Option<String>,
}

fn parse_options(words: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    for word in words {
        match word.as_str() {
            // Cargo passes it to every bench.
            "--bench" => {}
            "--counts" => options.counts = true,
            "--update" => options.update = true,
            flag if flag.starts_with('-') => {
                bail!("unknown option {flag}: --counts, --update or a part of a name")
            }
            name => options.filter = Some(name.to_owned()),
        }
    }
    Ok(options)
}

/// One line of the report.
struct Row {
    name: String,
    counts: Counts,
    allocated: u64,
    time: Option<Duration>,
}

fn measure(
    name: &str,
    kind: &str,
    subject: &mut dyn Subject,
    time: Option<Duration>,
) -> Result<Row> {
    let region = Region::new(ALLOCATOR);
    let generated = subject
        .generate(kind)
        .with_context(|| format!("{name} {kind}"))?;
    let change = region.change();
    let counts = Counts {
        resources: generated.resources,
        bytes: generated.bytes,
        misses: generated.misses,
        allocations: u64::try_from(change.allocations + change.reallocations)?,
    };
    let allocated = u64::try_from(change.bytes_allocated)?;
    Ok(Row {
        name: format!("{name} {kind}"),
        counts,
        allocated,
        time,
    })
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

/// Cold: a new world and an empty memo before every generation.
fn cold(
    case: &BenchCase,
    rounds: usize,
    subject: &mut dyn Subject,
    rows: &mut Vec<Row>,
) -> Result<()> {
    for kind in &case.types {
        let mut times = Vec::new();
        for _ in 0..rounds {
            subject.load(&case.files, &case.node)?;
            let start = Instant::now();
            subject.generate(kind)?;
            times.push(start.elapsed());
        }
        subject.load(&case.files, &case.node)?;
        rows.push(measure(&case.name, kind, subject, median(times))?);
    }
    Ok(())
}

/// Warm: everything was generated once, then one object changes.
fn churn_rows(rounds: usize, subject: &mut dyn Subject, rows: &mut Vec<Row>) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder for the world")?;
    let write = |name: &str, text: String| -> Result<PathBuf> {
        let path = folder.path().join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    let world = write("world.yaml", churn::world(churn::FULL))?;
    let case = BenchCase {
        name: "churn-cold".to_owned(),
        files: vec![world],
        node: proxy_of("sidecar", "1.1.1.1"),
        types: KINDS.to_vec(),
    };
    cold(&case, rounds.min(1), subject, rows)?;
    subject.load(&case.files, &case.node)?;
    for kind in KINDS {
        subject.generate(kind)?;
    }
    let endpoint = |step| churn::endpoints(churn::FULL, 17, step);
    let route = |step| churn::route(17, step);
    let changes: [(&str, &dyn Fn(usize) -> String); 2] =
        [("churn-endpoint", &endpoint), ("churn-route", &route)];
    for (name, text) in changes {
        for kind in KINDS {
            let mut times = Vec::new();
            for step in 1..=rounds {
                let file = write(name, text(step))?;
                subject.change(&[file])?;
                let start = Instant::now();
                subject.generate(kind)?;
                times.push(start.elapsed());
            }
            // Each type sees a change of its own that the others have not paid for.
            let file = write(name, text(rounds + 1))?;
            subject.change(&[file])?;
            rows.push(measure(name, kind, subject, median(times))?);
        }
    }
    Ok(())
}

fn show(rows: &[Row]) {
    println!(
        "{:<40}{:>10}{:>12}{:>8}{:>13}{:>14}{:>12}",
        "case type", "resources", "bytes", "misses", "allocations", "allocated B", "time us"
    );
    for Row {
        name,
        counts,
        allocated,
        time,
    } in rows
    {
        let Counts {
            resources,
            bytes,
            misses,
            allocations,
        } = counts;
        let time = time.map_or_else(|| "-".to_owned(), |time| time.as_micros().to_string());
        println!(
            "{name:<40}{resources:>10}{bytes:>12}{misses:>8}{allocations:>13}{allocated:>14}{time:>12}"
        );
    }
}

/// Libtest's closing line, which `cargo xtask test` counts.
fn conclude(passed: usize, wrong: &[String]) -> ExitCode {
    for line in wrong {
        println!("{line}");
    }
    let (verdict, code) = if wrong.is_empty() {
        ("ok", ExitCode::SUCCESS)
    } else {
        ("FAILED", ExitCode::FAILURE)
    };
    println!(
        "test result: {verdict}. {passed} passed; {} failed; 0 ignored",
        wrong.len()
    );
    code
}

fn main() -> Result<ExitCode> {
    let options = parse_options(std::env::args().skip(1))?;
    let mut subject = subject::Meltemi::default();
    let rounds = if options.counts || options.update {
        0
    } else {
        ROUNDS
    };
    let wanted = |name: &str| {
        options
            .filter
            .as_ref()
            .is_none_or(|part| name.contains(part))
    };
    let mut rows = Vec::new();
    match shared::bench_configs() {
        Some(dir) => {
            for case in cases(&dir)?.iter().filter(|case| wanted(&case.name)) {
                cold(case, rounds, &mut subject, &mut rows)?;
            }
        }
        None => shared::skipped("no corpus"),
    }
    if wanted("churn") {
        churn_rows(rounds, &mut subject, &mut rows)?;
    }
    show(&rows);
    let run: Table = rows.into_iter().map(|row| (row.name, row.counts)).collect();
    let path = shared::repo_root().join("tests/benches/generation/counts.txt");
    if options.update {
        fs::write(&path, render(&run)).with_context(|| format!("writing {}", path.display()))?;
    }
    if !options.counts {
        return Ok(ExitCode::SUCCESS);
    }
    let mut known =
        parse(&fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?)?;
    // Without the corpus only the worlds of our own run.
    if shared::bench_configs().is_none() || options.filter.is_some() {
        known.retain(|name, _| run.contains_key(name));
    }
    let wrong = violations(&run, &known);
    Ok(conclude(run.len(), &wrong))
}

//! Generation of CDS, EDS, LDS and RDS: time, bytes, allocations and misses for each of Istio's benchmark worlds and for
//! a world of 1,000 services × 10 endpoints in which endpoints change. Counts are asserted, times are reported.
#![expect(clippy::print_stdout, reason = "a command line")]

#[path = "generation/subject.rs"]
mod subject;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use meltemi_tests::bench::anchors::{self, Ours, table};
use meltemi_tests::bench::cases::{ALL, BenchCase, INIT, NEXT, NO_ENVOY_FILTERS, cases, proxy_of};
use meltemi_tests::bench::changed::{changed, objects};
use meltemi_tests::bench::counts::{Counts, Table, parse, render, violations};
use meltemi_tests::bench::patches::envoy_filter;
use meltemi_tests::bench::{Subject, churn};
use meltemi_tests::shared;
use mimalloc::MiMalloc;
use stats_alloc::{Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: StatsAlloc<MiMalloc> = StatsAlloc::new(MiMalloc);

/// The types, and the whole way from a world to a snapshot.
const KINDS: [&str; 5] = ["cds", "eds", "lds", "rds", ALL];

/// Runs for a reported time, at least and at most; they end between when [`ENOUGH`] has passed. Tables show the median,
/// and the comparison with istiod the least, as was taken of its runs.
const ROUNDS: usize = 5;
const MOST_ROUNDS: usize = 200;
const ENOUGH: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Options {
    /// Each generation once, no times, and the counts are compared with the table.
    counts: bool,
    /// Write the table.
    update: bool,
    /// Only cases whose names contain this.
    filter: Option<String>,
    /// Only this type.
    kind: Option<String>,
}

impl Options {
    fn wants(&self, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|wanted| wanted == kind)
    }
}

fn parse_options(mut words: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            // Cargo passes it to every bench.
            "--bench" => {}
            "--counts" => options.counts = true,
            "--update" => options.update = true,
            "--type" => options.kind = words.next(),
            flag if flag.starts_with('-') => {
                bail!("unknown option {flag}: --counts, --update, --type TYPE or a part of a name")
            }
            name => options.filter = Some(name.to_owned()),
        }
    }
    Ok(options)
}

/// What was found.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    /// By istiod's name of a case, and type.
    ours: BTreeMap<(String, String), Ours>,
}

impl Report {
    /// The entry of a case that istiod was measured with.
    fn beside(&mut self, case: &BenchCase, kind: &str) -> Option<&mut Ours> {
        let key = (case.measured?.to_owned(), kind.to_owned());
        Some(self.ours.entry(key).or_default())
    }
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
    let region = Region::new(&ALLOCATOR);
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

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

/// The times of so many runs; none for 0 rounds. `prepare` is not timed.
fn timed(
    rounds: usize,
    subject: &mut dyn Subject,
    kind: &str,
    mut prepare: impl FnMut(&mut dyn Subject, usize) -> Result<()>,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut sum = Duration::ZERO;
    while times.len() < rounds || (rounds == ROUNDS && times.len() < MOST_ROUNDS && sum < ENOUGH) {
        prepare(subject, times.len())?;
        let start = Instant::now();
        subject.generate(kind)?;
        let time = start.elapsed();
        sum += time;
        times.push(time);
    }
    Ok(times)
}

/// Cold: a new world and an empty memo before every generation.
fn cold(
    case: &BenchCase,
    rounds: usize,
    subject: &mut dyn Subject,
    report: &mut Report,
) -> Result<()> {
    subject.load(&case.files, &case.node)?;
    for kind in &case.types {
        let mut times = timed(rounds, subject, kind, |subject, _| subject.forget())?;
        subject.forget()?;
        let row = measure(&case.name, kind, subject, median(&mut times))?;
        if let Some(ours) = report.beside(case, kind) {
            ours.cold = times.first().copied();
            ours.bytes = row.counts.bytes;
        }
        report.rows.push(row);
    }
    Ok(())
}

/// Warm: everything was generated once, then one object changes that counts for the type.
fn warm(
    case: &BenchCase,
    folder: &Path,
    rounds: usize,
    subject: &mut dyn Subject,
    report: &mut Report,
) -> Result<()> {
    let file = &case.files[0];
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let objects = objects(&text)?;
    let router = case.node.id.starts_with("router");
    let name = format!("{}-warm", case.name);
    let file = folder.join("changed.yaml");
    for kind in &case.types {
        if changed(&objects, router, kind, 1).is_none() {
            continue;
        }
        let mut change = |subject: &mut dyn Subject, round: usize| -> Result<()> {
            if let Some(object) = changed(&objects, router, kind, round + 1) {
                let text = object.to_string();
                fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            }
            subject.change(std::slice::from_ref(&file))
        };
        subject.load(&case.files, &case.node)?;
        subject.generate(kind)?;
        let mut times = timed(rounds, subject, kind, &mut change)?;
        change(subject, times.len())?;
        let row = measure(&name, kind, subject, median(&mut times))?;
        if let Some(ours) = report.beside(case, kind) {
            ours.warm = times.first().copied();
        }
        report.rows.push(row);
    }
    Ok(())
}

/// The next world: one object changes, once for each type that it may count for. What is timed is all that makes a world
/// and a scope of the change.
fn next_rows(
    case: &BenchCase,
    folder: &Path,
    rounds: usize,
    subject: &mut dyn Subject,
    report: &mut Report,
) -> Result<()> {
    let file = &case.files[0];
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let objects = objects(&text)?;
    let router = case.node.id.starts_with("router");
    let file = folder.join("changed.yaml");
    for kind in KINDS {
        if changed(&objects, router, kind, 1).is_none() {
            continue;
        }
        let mut change = |subject: &mut dyn Subject, round: usize| -> Result<()> {
            if let Some(object) = changed(&objects, router, kind, round + 1) {
                let text = object.to_string();
                fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            }
            subject.announce(std::slice::from_ref(&file))
        };
        subject.load(&case.files, &case.node)?;
        let mut times = timed(rounds, subject, NEXT, &mut change)?;
        change(subject, times.len())?;
        let name = format!("{}-{kind}", case.name);
        report
            .rows
            .push(measure(&name, NEXT, subject, median(&mut times))?);
    }
    Ok(())
}

/// Warm: everything was generated once, then one object changes.
fn churn_rows(rounds: usize, subject: &mut dyn Subject, report: &mut Report) -> Result<()> {
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
        measured: None,
    };
    cold(&case, rounds.min(1), subject, report)?;
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
            // Each type sees a change of its own that the others have not paid for.
            let change = |subject: &mut dyn Subject, round: usize| {
                let file = write(name, text(round + 1))?;
                subject.change(&[file])
            };
            let mut times = timed(rounds.min(ROUNDS - 1), subject, kind, change)?;
            change(subject, times.len())?;
            let row = measure(name, kind, subject, median(&mut times))?;
            report.rows.push(row);
        }
    }
    Ok(())
}

/// EnvoyFilters: one of many changes, and such as select other workloads.
fn patch_rows(
    cases: &[BenchCase],
    folder: &Path,
    rounds: usize,
    subject: &mut dyn Subject,
    report: &mut Report,
) -> Result<()> {
    let Some(case) = cases.iter().find(|case| case.name == "envoyfilter-100") else {
        return Ok(());
    };
    let file = folder.join("envoyfilter.yaml");
    // One for each kind of patch that can change resources.
    for number in 90..100 {
        let change = |subject: &mut dyn Subject, round: usize| -> Result<()> {
            let text = envoy_filter(number, None, 100 + round);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            subject.change(std::slice::from_ref(&file))
        };
        subject.load(&case.files, &case.node)?;
        subject.generate(ALL)?;
        let mut times = timed(rounds, subject, ALL, change)?;
        change(subject, times.len())?;
        let name = format!("{}-warm-{number}", case.name);
        let row = measure(&name, ALL, subject, median(&mut times))?;
        report.rows.push(row);
    }
    Ok(())
}

/// A class that no EnvoyFilter selects does what it does without any.
fn unselected(run: &Table) -> Vec<String> {
    let [without, with] = NO_ENVOY_FILTERS.map(|name| run.get(&format!("{name} {ALL}")));
    let (Some(without), Some(with)) = (without, with) else {
        return Vec::new();
    };
    let same = Table::from([(NO_ENVOY_FILTERS[1].to_owned(), *without)]);
    violations(
        &Table::from([(NO_ENVOY_FILTERS[1].to_owned(), *with)]),
        &same,
    )
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
    let mut report = Report::default();
    let made = tempfile::tempdir().context("a folder for worlds")?;
    match shared::bench_configs() {
        Some(dir) => {
            let mut all = cases(&dir, made.path())?;
            for case in &mut all {
                let next = options.kind.as_deref() == Some(NEXT);
                case.types
                    .retain(|kind| options.wants(kind) || (next && *kind == INIT));
            }
            for case in all.iter().filter(|case| wanted(&case.name)) {
                cold(case, rounds, &mut subject, &mut report)?;
                if case.types.contains(&INIT) && options.wants(NEXT) {
                    next_rows(case, made.path(), rounds, &mut subject, &mut report)?;
                }
                if case.measured.is_some() {
                    warm(case, made.path(), rounds, &mut subject, &mut report)?;
                }
            }
            if wanted("envoyfilter-100-warm") && options.wants(ALL) {
                patch_rows(&all, made.path(), rounds, &mut subject, &mut report)?;
            }
        }
        None => shared::skipped("no corpus"),
    }
    if wanted("churn") && options.kind.is_none() {
        churn_rows(rounds, &mut subject, &mut report)?;
    }
    show(&report.rows);
    if rounds > 0 {
        let path = shared::repo_root().join("tests/benches/generation/istiod.txt");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        print!("{}", table(&anchors::parse(&text)?, &report.ours));
    }
    let rows = report.rows.into_iter();
    let run: Table = rows.map(|row| (row.name, row.counts)).collect();
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
    let part = options.filter.is_some() || options.kind.is_some();
    if shared::bench_configs().is_none() || part {
        known.retain(|name, _| run.contains_key(name));
    }
    let mut wrong = violations(&run, &known);
    wrong.extend(unselected(&run));
    Ok(conclude(run.len(), &wrong))
}

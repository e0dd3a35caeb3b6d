//! Compares what Meltemi serves with what istiod 1.31 served in its own unit tests.

use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use meltemi_tests::corpus::{Verdict, WorldOutcome, in_parallel, report};
use meltemi_tests::ending::{ended, say, verdict};
use meltemi_tests::recorded::{Case, build, cases, compare_case};
use meltemi_tests::shared;

const HELP: &str = "\
recorded [CASE…] [options]     CASE is a test (`TestInbound`), a case (`TestInbound/Strict`), or a part of one

Without a case: a table, the first difference of each case, the most frequent classes of differences.
With one case (or --detail): every difference, with its path; `-` is istiod, `+` is ours.

  --diff            a unified diff of whole resources
  --limit N         differences shown for each case (default 20)
  --detail          details for each case that differs, also with many cases
  --classes N       classes of differences shown (default 20)
  --show RESOURCE   this resource in full, both sides
  --said            what is said about the objects, too
  --list            only the names of the cases that differ
";

#[derive(Debug, Default)]
struct Options {
    words: Vec<String>,
    unified: bool,
    detail: bool,
    said: bool,
    list: bool,
    limit: usize,
    classes: usize,
    show: Option<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        limit: 20,
        classes: 20,
        ..Options::default()
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "-h" | "--help" => return Ok(None),
            "--diff" => options.unified = true,
            "--detail" => options.detail = true,
            "--said" => options.said = true,
            "--list" => options.list = true,
            "--limit" => options.limit = value()?.parse().context("--limit")?,
            "--classes" => options.classes = value()?.parse().context("--classes")?,
            "--show" => options.show = Some(value()?),
            flag if flag.starts_with('-') => bail!("unknown option {flag}; --help lists them"),
            _ => options.words.push(word),
        }
    }
    Ok(Some(options))
}

fn selected(options: &Options) -> Result<Vec<Case>> {
    let suite = shared::suite("xds-recorded").context("no corpus")?;
    let all: Vec<Case> = cases(&suite)?
        .iter()
        .map(|file| Case::read(file))
        .collect::<Result<_>>()?;
    let wanted = |case: &Case| {
        options.words.is_empty()
            || options.words.iter().any(|word| {
                let exact = all
                    .iter()
                    .any(|case| case.id == *word || case.test() == word);
                case.id == *word || case.test() == word || (!exact && case.id.contains(word))
            })
    };
    let found: Vec<Case> = all.iter().filter(|case| wanted(case)).cloned().collect();
    if found.is_empty() {
        bail!("no case fits {}", options.words.join(", "));
    }
    Ok(found)
}

fn shown(outcomes: &[WorldOutcome], options: &Options) -> String {
    let differing = |outcome: &&WorldOutcome| outcome.verdict != Verdict::Equal;
    if options.list {
        let names = outcomes.iter().filter(differing);
        return names.map(|outcome| outcome.id.clone() + "\n").collect();
    }
    if let Some(name) = &options.show {
        return outcomes
            .iter()
            .map(|outcome| report::both_sides(outcome, name))
            .collect();
    }
    let detail = report::Detail {
        limit: options.limit,
        unified: options.unified,
        inherited: true,
    };
    let mut text = String::new();
    if outcomes.len() == 1 || options.detail {
        for outcome in outcomes.iter().filter(differing) {
            text += &report::world(outcome, detail);
            text.push('\n');
        }
    } else {
        text += &report::first_differences(outcomes);
    }
    let equal = outcomes.len() - outcomes.iter().filter(differing).count();
    text + "\nclasses of differences:\n"
        + &report::classes(outcomes, options.classes)
        + "\n"
        + &report::table(outcomes)
        + &format!("{equal} of {} cases are equal\n", outcomes.len())
}

fn main() -> ExitCode {
    ended(compare())
}

fn compare() -> Result<ExitCode> {
    let Some(options) = parse(std::env::args().skip(1))? else {
        say(HELP);
        return Ok(ExitCode::SUCCESS);
    };
    if shared::suite("xds-recorded").is_none() {
        shared::skipped("no corpus");
        return Ok(ExitCode::SUCCESS);
    }
    let cases = selected(&options)?;
    if options.said {
        for case in &cases {
            // A case that cannot be built fails below.
            let built = build(case).ok();
            let said = built.map(|built| built.compile().diagnostics);
            for diagnostic in said.into_iter().flatten() {
                say(&format!("{}: {diagnostic}\n", case.id));
            }
        }
    }
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let outcomes = in_parallel(&cases, jobs, compare_case);
    say(&shown(&outcomes, &options));
    Ok(verdict(&outcomes))
}

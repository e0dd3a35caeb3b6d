//! Compares what Meltemi serves with what istiod 1.31 served: the tool of daily work.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use meltemi_tests::corpus::{
    Command, Compiler, Corpus, Recorded, Selection, Verdict, WorldOutcome, report, run,
};
use meltemi_tests::ending::{ended, say, verdict};
use meltemi_tests::shared;

const HELP: &str = "\
corpus [WORLD…] [options]      WORLD is `base`, an area (`virtualservice`) or a world (`virtualservice/cors`)

Without a world: a table for all areas, the first difference of each world, the most frequent classes of differences.
With one world (or --detail): every difference, with its path; `-` is istiod, `+` is ours.

  --compile-cmd PROGRAM   the program to ask (default: target/debug/meltemi)
  --node NAME             only this proxy
  --diff                  a unified diff of whole resources
  --limit N               differences shown for each world (default 20)
  --detail                details for each world that differs, also with many worlds
  --inherited             also details that the base world has as well
  --classes N             classes of differences shown (default 20)
  --show RESOURCE         this resource in full, both sides
  --jobs N                programs at a time (default: as many as there are cores)
  --recorded              compare the recording with itself (checks this tool)
  --corpus DIR            another corpus

`equal` is the whole answer; `but base`: what the world itself changes is right, what differs does so in the base too.
Exit code 1 when a world is different that asks for nothing unsupported.
";

#[derive(Debug)]
struct Options {
    selection: Selection,
    program: PathBuf,
    corpus: Option<PathBuf>,
    detail: report::Detail,
    all_details: bool,
    classes: usize,
    show: Option<String>,
    jobs: usize,
    recorded: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        selection: Selection::default(),
        program: shared::repo_root().join("target/debug/meltemi"),
        corpus: shared::xds_corpus(),
        detail: report::Detail {
            limit: 20,
            unified: false,
            inherited: false,
        },
        all_details: false,
        classes: 20,
        show: None,
        jobs: thread::available_parallelism().map_or(1, usize::from),
        recorded: false,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "-h" | "--help" => return Ok(None),
            "--compile-cmd" => options.program = value()?.into(),
            "--corpus" => options.corpus = Some(value()?.into()),
            "--node" => options.selection.node = Some(value()?),
            "--diff" => options.detail.unified = true,
            "--inherited" => options.detail.inherited = true,
            "--limit" => options.detail.limit = value()?.parse().context("--limit")?,
            "--detail" => options.all_details = true,
            "--classes" => options.classes = value()?.parse().context("--classes")?,
            "--show" => options.show = Some(value()?),
            "--jobs" => options.jobs = value()?.parse().context("--jobs")?,
            "--recorded" => options.recorded = true,
            flag if flag.starts_with('-') => bail!("unknown option {flag}; --help lists them"),
            _ => options
                .selection
                .worlds
                .push(word.trim_end_matches('/').to_owned()),
        }
    }
    Ok(Some(options))
}

fn shown(outcomes: &[WorldOutcome], options: &Options) -> String {
    if let Some(name) = &options.show {
        return outcomes
            .iter()
            .map(|outcome| report::both_sides(outcome, name))
            .collect();
    }
    let mut text = String::new();
    let single = outcomes.len() == 1;
    for outcome in outcomes {
        let inherited = options.detail.inherited || outcome.area == "base";
        if single || (options.all_details && outcome.verdict == Verdict::Different) {
            text += &report::world(
                outcome,
                report::Detail {
                    inherited,
                    ..options.detail
                },
            );
            text.push('\n');
        }
    }
    if !single {
        text += &report::first_differences(outcomes);
        if let Some(base) = outcomes.iter().find(|outcome| outcome.area == "base") {
            text += &format!("\n{}\n", report::per_type(base));
        }
    }
    text + "\nclasses of differences:\n"
        + &report::classes(outcomes, options.classes)
        + "\n"
        + &report::table(outcomes)
}

fn main() -> ExitCode {
    ended(compare())
}

fn compare() -> Result<ExitCode> {
    let Some(options) = parse(std::env::args().skip(1))? else {
        say(HELP);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(dir) = &options.corpus else {
        shared::skipped("no corpus");
        return Ok(ExitCode::SUCCESS);
    };
    let corpus = Corpus::load(dir)?;
    let command = Command {
        program: options.program.clone(),
    };
    let compiler: &dyn Compiler = if options.recorded {
        &Recorded
    } else {
        &command
    };
    if !options.recorded && !command.program.is_file() {
        bail!(
            "{} does not exist; `cargo build` makes it",
            command.program.display()
        );
    }
    let outcomes = run(&corpus, compiler, &options.selection, options.jobs)?;
    say(&shown(&outcomes, &options));
    Ok(verdict(&outcomes))
}

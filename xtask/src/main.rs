//! Repository chores: `cargo xtask test`, `bench`, `corpus`, `image`, `lab`.
//!
//! It must never know how Meltemi works: it starts programs and counts what they report. Read first: `test.rs` (the
//! parts of a full run), `setup.rs` (what they need), `tally.rs` (how results are counted).
#![expect(clippy::print_stdout, reason = "a command line")]

mod bench;
mod corpus;
mod image;
mod lab;
mod run;
mod settings;
mod setup;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask test [--only PART]…   install what the tests need and run all of them
cargo xtask bench [ARGUMENTS]     benches: a table of times, bytes, allocations and misses
cargo xtask corpus [ARGUMENTS]    compare with what istiod 1.31 served (--help says more)
cargo xtask image [ARGUMENTS]     an OCI image, without a container engine (--help says more)
cargo xtask lab [NAME]…           labs in a real Kubernetes on this machine (--keep leaves it running)
";

fn main() -> ExitCode {
    dispatch().unwrap_or_else(|error| {
        // Without a backtrace, whatever the environment says: the reader mends a command line, not this program.
        println!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn dispatch() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = match words.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", &[][..]),
    };
    match verb {
        "test" => test::test(rest),
        "bench" => bench::bench(rest),
        "corpus" => corpus::corpus(rest),
        "image" => image::image(rest),
        "lab" => lab::lab(rest),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no `cargo xtask {other}`\n{HELP}"),
    }
}

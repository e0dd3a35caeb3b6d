//! `meltemi`: the one binary. The verbs are in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    meltemi::cli::run(std::env::args_os())
}

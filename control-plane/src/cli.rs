//! The verbs, one file each. Facts of istiod's own flags are accepted under istiod's spelling.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod analyze;
mod bootstrap;
mod common;
mod compile;
mod demo;
mod discovery;
pub mod explain;
mod features;
mod inject;
mod log;
pub mod ps;
mod refusing_client;
mod serve;
mod validate;

/// An Istio control plane for any Envoy.
#[derive(Debug, Parser)]
#[command(name = "meltemi", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the control plane.
    Serve(Box<serve::Args>),
    /// Run a whole mesh on this machine: Bookinfo, a real Envoy for every pod, a gateway on localhost.
    Demo(demo::Args),
    /// Print the xDS that a proxy would be served, without a server.
    Compile(compile::Args),
    /// Explain what becomes of a request, and which objects decide.
    Explain(explain::Args),
    /// Check objects in files by the rules of Istio's webhook, without a cluster.
    Validate(validate::Args),
    /// Print an Envoy bootstrap for a plain Envoy.
    Bootstrap(bootstrap::Args),
    /// Say what is wrong with objects, also when seen together, in istioctl's words and with its codes.
    Analyze(Box<analyze::Args>),
    /// Print resources with a sidecar injected.
    #[command(alias = "kube-inject")]
    Inject(inject::Args),
    /// List connected proxies and whether they have what was sent.
    #[command(alias = "proxy-status")]
    Ps(ps::Args),
    /// A process of the demo (used by `demo` itself).
    #[command(hide = true)]
    DemoPart(demo::PartArgs),
    /// A client that refuses what it is sent (used by the checks of `demo`).
    #[command(hide = true)]
    DemoRefusingClient(refusing_client::Args),
}

/// Runs the verb that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = Cli::command();
    if let Some(serve) = command.find_subcommand("serve")
        && let Some((translated, ignored)) = discovery::translate(&arguments, serve)
    {
        arguments = translated;
        for flag in ignored {
            eprintln!("warning: {flag} is not known and has no effect");
        }
    }
    let result = match Cli::parse_from(arguments).verb {
        Verb::Serve(args) => serve::run(*args),
        Verb::Demo(args) => demo::run(args),
        Verb::Compile(args) => compile::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Bootstrap(args) => bootstrap::run(&args),
        Verb::Analyze(args) => analyze::run(&args),
        Verb::Inject(args) => inject::run(&args),
        Verb::Ps(args) => ps::run(&args),
        Verb::DemoPart(args) => demo::run_part(&args),
        Verb::DemoRefusingClient(args) => refusing_client::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

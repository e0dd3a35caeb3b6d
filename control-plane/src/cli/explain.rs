//! `meltemi explain`: why something is as it is.

mod live;
mod node;
mod origin;
mod question;
mod request;
mod text;

use std::process::ExitCode;

use clap::Subcommand;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Follow one request through the proxy of a pod: listener, filter chain, virtual host, route, cluster, endpoints,
    /// and the object that decided each step.
    Request(Box<request::Args>),
}

/// Runs it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Request(args) => request::run(args),
    }
}

/// What `meltemi explain request` prints about a proxy of a running control plane; `words` are its flags and the URL.
pub async fn request(words: &[&str]) -> anyhow::Result<String> {
    request::said(words).await
}

//! `meltemi bootstrap`: a bootstrap on which a plain `envoy -c` runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::common;
use crate::bootstrap::{Request, bootstrap};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The proxy: TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN.
    #[arg(long)]
    node: String,
    /// The node's cluster.
    #[arg(long, default_value = "")]
    cluster: String,
    /// A YAML or JSON file with metadata to send.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Host and port of the control plane's plain-text ADS.
    #[arg(long, default_value = "127.0.0.1:15010")]
    xds_address: String,
    /// The admin port on 127.0.0.1; 0 lets Envoy choose one.
    #[arg(long, default_value_t = 0)]
    admin_port: u16,
}

/// Prints it as JSON, which Envoy reads from a file that ends in `.json` or `.yaml`.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.node.split('~').count() == 4,
        "--node {:?}: want TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN, for example \
         sidecar~127.0.0.1~app.default~default.svc.cluster.local",
        args.node
    );
    let (host, port) = args
        .xds_address
        .rsplit_once(':')
        .context("--xds-address: want HOST:PORT")?;
    let request = Request {
        node: args.node.clone(),
        cluster: args.cluster.clone(),
        metadata: common::metadata(args.metadata.as_deref())?,
        xds_host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        xds_port: port
            .parse()
            .context("--xds-address: the port must be a number")?,
        admin_port: args.admin_port,
    };
    common::print(&(serde_json::to_string_pretty(&bootstrap(&request))? + "\n"));
    Ok(ExitCode::SUCCESS)
}

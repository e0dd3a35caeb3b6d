//! `meltemi serve`: the control plane.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::features;
use crate::app;
use crate::settings::Settings;

/// Arguments. istiod's own spellings are accepted too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of objects; it is watched.
    #[arg(long, value_name = "DIR")]
    config_dir: PathBuf,
    /// A file with the mesh configuration; the ConfigMap `istio` in the folder comes before it.
    #[arg(long, alias = "meshConfig", value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// Where ADS is served in plain text.
    #[arg(long, alias = "grpcAddr", default_value = "127.0.0.1:15010")]
    grpc_addr: SocketAddr,
    /// Where /ready and /debug are served.
    #[arg(long, alias = "httpAddr", default_value = "127.0.0.1:8080")]
    http_addr: SocketAddr,
    /// Where /metrics and /debug are served.
    #[arg(long, alias = "monitoringAddr", default_value = "127.0.0.1:15014")]
    monitoring_addr: SocketAddr,
    /// The DNS suffix of the cluster.
    #[arg(long, default_value = "cluster.local")]
    domain: String,
    /// The cluster's name.
    #[arg(long, alias = "clusterID", default_value = "Kubernetes")]
    cluster_id: String,
    /// How long changes are gathered after the first of a burst, in milliseconds.
    #[arg(long, default_value_t = 25)]
    debounce_ms: u64,
    /// How long open streams may take to end after SIGTERM, in seconds.
    #[arg(long, default_value_t = 5)]
    drain_seconds: u64,
    #[command(flatten)]
    features: features::FeatureArgs,
    /// What is logged: a level, or tracing's filter syntax.
    #[arg(long, default_value = "info")]
    log: String,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| format!("--log {:?}", args.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings {
        config_dir: args.config_dir,
        mesh_config: args.mesh_config,
        grpc: args.grpc_addr,
        http: args.http_addr,
        monitoring: args.monitoring_addr,
        domain: args.domain,
        cluster_id: args.cluster_id,
        features: args.features.lowered(),
        quiet: Duration::from_millis(args.debounce_ms),
        drain: Duration::from_secs(args.drain_seconds),
    };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let signalled = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            signalled.cancel();
        });
        app::serve(settings, stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

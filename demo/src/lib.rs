//! A whole mesh on one Linux machine: pods as network namespaces, a real Envoy in each, stand-in applications, and the
//! control plane beside them. No Kubernetes, no Docker.
//!
//! It must never know how configuration is compiled: to it the control plane is a program with a folder and ports, as a
//! cluster would see it. Nothing of a run touches the machine's own network, and everything ends with it: the node is
//! the first process of a PID namespace, and the pods' network namespaces have no names that could stay behind.
//!
//! Processes: `host` (what the user starts; relays) → `node` (namespaces, control plane, mesh) → `agent` (one per pod) →
//! application and Envoy. All are this executable, called as `meltemi demo-part …`, except Envoy.
//!
//! Read first: `host.rs`, `mesh.rs`, `pod.rs`.

mod address;
mod agent;
mod apps;
mod check;
mod cluster;
mod control_plane;
mod dns;
mod envoy;
mod examples;
mod gateway;
mod host;
mod http;
mod manifest;
mod mesh;
mod net;
mod node;
mod plan;
mod pod;
mod preflight;
mod relay;
mod say;
mod settings;
mod site;
mod wait;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub use apps::{AppConfig, AppKind, run_app};
pub use check::{Finding, MetricNames, Report, Section};
pub use dns::Resolver;
pub use envoy::{VERSION as ENVOY_VERSION, find_or_install as find_or_install_envoy};
pub use http::{Answer, Call, Connection, call, connect};
pub use preflight::{Rights, check as check_machine};

/// What a user can choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder with manifests; without one, a copy of the examples in the run's own folder.
    pub dir: Option<PathBuf>,
    /// The Envoy to use; without one, see [`find_or_install_envoy`].
    pub envoy: Option<PathBuf>,
    /// The executable that knows the verbs `serve`, `bootstrap` and `demo-part`; without one, this program itself.
    pub executable: Option<PathBuf>,
    /// The loopback port of the ingress gateway; without a wish 8080, or any free one.
    pub ingress_port: Option<u16>,
    /// The loopback port of the control plane's metrics and debug interface; without a wish 15014, or any free one.
    pub monitoring_port: Option<u16>,
    /// What checks read from the control plane's metrics.
    pub metrics: MetricNames,
    /// Leave the run's folder (logs, bootstraps, generated objects) in place at the end.
    pub keep: bool,
}

/// Runs the demo until Ctrl-C.
pub async fn run(options: Options) -> Result<()> {
    host::launch(options, site::Mode::Demo).await.map(drop)
}

/// Runs scripted checks on a mesh of their own, always on a copy of the manifests. Fails only when they cannot run to
/// their end; what they found is in the report.
pub async fn check(options: Options, sections: &[Section]) -> Result<Report> {
    let report = host::launch(options, site::Mode::Check(sections.to_vec())).await?;
    report.context("the checks were interrupted")
}

/// The hidden verb `demo-part`: what the demo's own processes do. `arguments` are those after the verb.
pub async fn part(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["node", config] => node::main(Path::new(config)).await,
        ["agent"] => agent::main().await,
        ["app", config] => {
            run_app(serde_json::from_str(config).context("the application's settings")?).await
        }
        _ => bail!("demo-part is for the demo's own processes"),
    }
}

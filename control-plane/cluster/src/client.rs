//! The connection to the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;

/// Why there is no client; the administrator has to act.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kubeconfig file cannot be used.
    #[error("kubeconfig {path}: {error}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong.
        error: String,
    },
    /// Not in a pod, and no kubeconfig was named.
    #[error("no kubeconfig is given, and this is no pod with a service account: {0}")]
    NotInCluster(String),
    /// The connection cannot be set up from what the configuration says.
    #[error("the connection to the API server cannot be set up: {0}")]
    Setup(String),
}

/// Watches end after 290 s at the latest, so a connection on which nothing comes for longer is dead.
const SILENCE: Duration = Duration::from_secs(310);

/// A client from a kubeconfig file, or with the pod's service account if there is none. It does not connect yet.
pub async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path, context).await?,
        None => Config::incluster().map_err(|e| ConnectError::NotInCluster(e.to_string()))?,
    };
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(SILENCE);
    // Who asks tries again by itself, within a limit; a request that hides its failures for minutes looks like a hang.
    config.default_retry = false;
    Client::try_from(config).map_err(|e| ConnectError::Setup(e.to_string()))
}

async fn from_file(path: &Path, context: Option<&str>) -> Result<Config, ConnectError> {
    let failed = |error: &dyn std::error::Error| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|e| failed(&e))?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| failed(&e))
}

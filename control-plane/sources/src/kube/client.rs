//! The client of the API server, the same for everything that asks it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// A connection takes no longer.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection that says nothing for so long is dead. Longer than a quiet watch lasts (290 s, and 5 s of grace).
const SILENCE: Duration = Duration::from_secs(300);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Who starts Meltemi must name another file or context.
    #[error("kubeconfig {}: {source}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// Meltemi runs in no pod, or its service account is not mounted.
    #[error("not in a cluster ({0}); name a kubeconfig to reach one from outside")]
    InCluster(#[from] InClusterError),
    /// The configuration names an API server that cannot be asked, such as one with a broken certificate.
    #[error("the client of the Kubernetes API server: {0}")]
    Client(#[from] kube::Error),
}

/// A client for the cluster of a kubeconfig (in one of its contexts; `None`: the current one), or for the cluster in
/// which this process runs. It connects when it is first used.
///
/// It does not limit how often it asks, and repeats nothing by itself: who asks knows better whether and when.
pub async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        None => Config::incluster()?,
        Some(path) => {
            let failed = |source| ConnectError::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let options = KubeConfigOptions {
                context: context.map(str::to_owned),
                ..KubeConfigOptions::default()
            };
            let read = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(read, &options)
                .await
                .map_err(failed)?
        }
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(concat!("meltemi/", env!("CARGO_PKG_VERSION"))),
    ));
    Ok(Client::try_from(config)?)
}

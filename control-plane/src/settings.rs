//! What the process is told from outside: flags and environment, parsed once and passed in (I8).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use meltemi_sources::lower::Features;

/// The settings of `meltemi serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of objects.
    pub config_dir: PathBuf,
    /// A file with the mesh configuration; the ConfigMap `istio`, if it is read, comes before it.
    pub mesh_config: Option<PathBuf>,
    /// Where ADS is served in plain text.
    pub grpc: SocketAddr,
    /// Where `/ready` and `/debug` are served.
    pub http: SocketAddr,
    /// Where `/metrics` and `/debug` are served.
    pub monitoring: SocketAddr,
    /// The DNS suffix of the cluster.
    pub domain: String,
    /// The cluster's name.
    pub cluster_id: String,
    /// istiod's feature flags.
    pub features: Features,
    /// How long changes are gathered after the first one of a burst was sent.
    pub quiet: Duration,
    /// How long open streams may finish after SIGTERM.
    pub drain: Duration,
}

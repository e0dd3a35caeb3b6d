//! What the process is told from outside: flags and environment, parsed once and passed in (I8).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use meltemi_sources::lower::Features;
use meltemi_xds::server::Limits;

mod address;
mod variables;

pub use address::{AddressError, parse_address};
pub use variables::{Mistake, Variables, parse_duration};

/// The settings of `meltemi serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where objects come from.
    pub objects: Objects,
    /// A file with the mesh configuration; the ConfigMap `istio`, if it is read, comes before it.
    pub mesh_config: Option<PathBuf>,
    /// A file with the networks of the mesh, followed; `meshNetworks` of the ConfigMap `istio` comes before it.
    pub networks_config: Option<PathBuf>,
    /// Where it listens.
    pub listen: Listen,
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
    /// What one client may take.
    pub limits: Limits,
    /// Whether a proxy must be of the namespace and account of its identity (PILOT_ENABLE_XDS_IDENTITY_CHECK).
    pub check_identity: bool,
    /// Who may read the debug pages from another machine.
    pub debug: DebugAccess,
}

/// Where objects come from.
#[derive(Debug, Clone)]
pub enum Objects {
    /// A directory of YAML, watched. There is nobody who knows identities: no CA, no TLS, no webhooks.
    Directory(PathBuf),
    /// A Kubernetes cluster.
    Cluster(Box<Cluster>),
}

/// Addresses; `None`: not served.
#[derive(Debug, Clone, Default)]
pub struct Listen {
    /// ADS in plain text.
    pub grpc: Option<SocketAddr>,
    /// ADS and the CA, over TLS. Served in a cluster only.
    pub secure_grpc: Option<SocketAddr>,
    /// `/ready` and `/debug`.
    pub http: Option<SocketAddr>,
    /// The webhooks, over TLS. Served in a cluster only.
    pub https: Option<SocketAddr>,
    /// `/metrics`, `/version` and `/debug`.
    pub monitoring: Option<SocketAddr>,
}

/// What runs in a cluster, or beside one with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Credentials; `None`: those of the pod, or the user's own.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the control plane (POD_NAMESPACE), Istio's root namespace.
    pub namespace: String,
    /// The name of this replica (POD_NAME).
    pub pod: String,
    /// The revision (REVISION).
    pub revision: String,
    /// Our own ports' certificate from files, instead of one that the CA issues.
    pub serving: Option<ServingFlags>,
    /// The environment, for the parts that name their own variables.
    pub variables: Variables,
}

/// A serving certificate in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingFlags {
    /// The certificate and its intermediates (`--tlsCertFile`).
    pub certificate: PathBuf,
    /// Its key (`--tlsKeyFile`).
    pub key: PathBuf,
    /// The roots of clients' certificates (`--caCertFile`); `None`: those of the mesh.
    pub roots: Option<PathBuf>,
}

impl ServingFlags {
    /// Where Istio's charts mount the Secret `istiod-tls`.
    pub fn mounted() -> Self {
        let folder = PathBuf::from("./var/run/secrets/istiod");
        let roots = [folder.join("ca/root-cert.pem"), folder.join("tls/ca.crt")];
        Self {
            certificate: folder.join("tls/tls.crt"),
            key: folder.join("tls/tls.key"),
            roots: roots.into_iter().find(|file| file.is_file()),
        }
    }
}

/// Who may read the debug pages from another machine. Istio 1.31: ENABLE_DEBUG_ENDPOINT_AUTH and
/// DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES; who asks from this machine may read all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebugAccess {
    /// Whether namespaces matter at all; without, every authenticated caller may read everything.
    pub open: bool,
    /// Namespaces whose identities may read everything, besides the root namespace.
    pub namespaces: Vec<String>,
}

/// Reads the environment of this process.
pub fn environment() -> Variables {
    Variables::new(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}

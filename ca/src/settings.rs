//! Everything that can be set, as plain structs; the binary reads the environment.
//!
//! | field | Istio's name | default |
//! |---|---|---|
//! | [`Lifetimes::default`](struct@Lifetimes) | `DEFAULT_WORKLOAD_CERT_TTL` | 24 h |
//! | [`Lifetimes::max`] | `MAX_WORKLOAD_CERT_TTL` | 2160 h (90 days) |
//! | [`Roots::dir`] | `ROOT_CA_DIR` | `./etc/cacerts` |
//! | [`Roots::root_lifetime`] | `CITADEL_SELF_SIGNED_CA_CERT_TTL` | 87600 h (10 years) |
//! | [`Roots::key`] | `CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE` | RSA 2048 |
//! | [`Roots::check_interval`] | `CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL` | 1 h; 0: never |
//! | [`Roots::grace_percent`] | `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE` | 20 |
//! | [`Roots::jitter`] | `CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR` | true |
//! | [`Roots::in_cacerts`] | `USE_CACERTS_FOR_SELF_SIGNED_CA` | false |
//! | [`Roots::multi_root`] | `ISTIO_MULTIROOT_MESH` | false |
//! | [`Roots::trust_domain`], [`Callers::trust_domain`] | MeshConfig.trustDomain | `cluster.local` |
//! | [`Callers::audiences`] | `TOKEN_AUDIENCES` | `istio-ca` |
//! | [`Callers::trusted_gateways`] | `TRUSTED_GATEWAY_CIDR` | none |
//! | [`Callers::xds_auth`] | `XDS_AUTH` | true |
//! | [`Callers::plaintext`] | `XDS_AUTH_PLAINTEXT` | false |
//! | [`Callers::node_accounts`] | `CA_TRUSTED_NODE_ACCOUNTS` | none (the charts: `istio-system/ztunnel`) |
//! | [`Serving::names`] | `discoveryAddress`, `ISTIOD_CUSTOM_HOST`, `REVISION`, namespace: [`serving_names`] | |
//! | [`Serving::files`] | `--tlsCertFile`, `--tlsKeyFile`, `--caCertFile`; `PILOT_CERT_PROVIDER=custom` | none |
//! | [`Serving::lifetime`] | `CITADEL_SELF_SIGNED_CA_CERT_TTL` | 10 years, never longer than the signer |
//! | [`Signing`], [`Handshakes`], [`Callers::review_memory`] | (ours) | see there |

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

const HOUR: Duration = Duration::from_secs(3600);
const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

/// How long certificates live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// When a request wishes none.
    pub default: Duration,
    /// A request for more is refused.
    pub max: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            default: 24 * HOUR,
            max: 2160 * HOUR,
        }
    }
}

/// The kind of key that a new root gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootKey {
    /// RSA with 2048 bits, Istio's default.
    #[default]
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// ECDSA on P-256: signing costs a tenth of RSA. (Istio makes RSA roots only.)
    P256,
    /// ECDSA on P-384.
    P384,
}

/// Where the signing key comes from.
#[derive(Debug, Clone)]
pub struct Roots {
    /// The folder of plugged-in keys; it may be absent.
    pub dir: PathBuf,
    /// The organisation of a new root.
    pub trust_domain: String,
    /// How long a new root lives.
    pub root_lifetime: Duration,
    /// The key of a new root.
    pub key: RootKey,
    /// Time between looks at the Secret; zero: the root is neither rotated nor read again.
    pub check_interval: Duration,
    /// The last part of a root's life, in percent, in which it is renewed.
    pub grace_percent: u32,
    /// Whether the first look waits for a random part of the interval, so that replicas do not collide.
    pub jitter: bool,
    /// Whether a new root goes into the Secret `cacerts`.
    pub in_cacerts: bool,
    /// Whether a change of the plugged-in roots may be taken over.
    pub multi_root: bool,
    /// Time between looks at the plugged-in files. Mounted Secrets are exchanged by symbolic links, and five small files
    /// are cheaper to read than to watch.
    pub poll_interval: Duration,
    /// How often reading the Secret is tried at start, with growing pauses, before giving up.
    pub attempts: u32,
    /// The first of these pauses; each is twice as long as the one before, up to 5 s.
    pub first_pause: Duration,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            dir: "./etc/cacerts".into(),
            trust_domain: "cluster.local".to_owned(),
            root_lifetime: TEN_YEARS,
            key: RootKey::default(),
            check_interval: HOUR,
            grace_percent: 20,
            jitter: true,
            in_cacerts: false,
            multi_root: false,
            poll_interval: Duration::from_secs(2),
            attempts: 12,
            first_pause: Duration::from_millis(100),
        }
    }
}

/// Who may call.
#[derive(Debug, Clone)]
pub struct Callers {
    /// The trust domain of the mesh; see [`crate::identity::trust_domain`].
    pub trust_domain: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// Peers whose `x-forwarded-client-cert` is believed. Empty: nobody's.
    pub trusted_gateways: Vec<IpNet>,
    /// Whether ADS asks who calls.
    pub xds_auth: bool,
    /// Whether callers without TLS are asked, too.
    pub plaintext: bool,
    /// Accounts (namespace, name) that may ask for the identities of the pods on their node.
    pub node_accounts: BTreeSet<(String, String)>,
    /// How long a good review of a token is remembered, at most; never longer than the token lives. Zero: never.
    pub review_memory: Duration,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            audiences: vec!["istio-ca".to_owned()],
            trusted_gateways: Vec::new(),
            xds_auth: true,
            plaintext: false,
            node_accounts: BTreeSet::new(),
            review_memory: Duration::from_secs(10),
        }
    }
}

/// Reads `CA_TRUSTED_NODE_ACCOUNTS`: `namespace/name`, separated by commas.
///
/// # Errors
/// An entry that is no account, with what was found.
pub fn node_accounts(text: &str) -> Result<BTreeSet<(String, String)>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once('/') {
            Some((ns, name)) if !ns.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok((ns.to_owned(), name.to_owned()))
            }
            _ => Err(format!(
                "CA_TRUSTED_NODE_ACCOUNTS: \"{entry}\" is not <namespace>/<service account>"
            )),
        })
        .collect()
}

/// The pool that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signing {
    /// Requests that are signed at once. Keep it below the number of cores, so that pushes always find one.
    pub threads: usize,
    /// Requests that may wait; more are refused with ResourceExhausted, which agents try again.
    pub queue: usize,
}

impl Default for Signing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: (cores - 1).max(1),
            queue: 4096,
        }
    }
}

/// The certificate that our own ports show.
#[derive(Debug, Clone)]
pub struct Serving {
    /// Its DNS names; see [`serving_names`].
    pub names: Vec<String>,
    /// How long it lives, at most.
    pub lifetime: Duration,
    /// Take it from files instead.
    pub files: Option<ServingFiles>,
    /// Time between looks at the files.
    pub poll_interval: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            lifetime: TEN_YEARS,
            files: None,
            poll_interval: Duration::from_secs(2),
        }
    }
}

/// A serving certificate in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingFiles {
    /// `--tlsCertFile`: the certificate and its intermediates.
    pub certificate: PathBuf,
    /// `--tlsKeyFile`.
    pub key: PathBuf,
    /// `--caCertFile`: the roots of client certificates; none: those of the mesh.
    pub roots: Option<PathBuf>,
}

/// The DNS names that agents and the API server check. Istio 1.31: the host of `discoveryAddress`, every
/// `ISTIOD_CUSTOM_HOST`, and `istiod`, `istiod-remote`, `istio-pilot` and `istiod-<revision>` in the namespace.
pub fn serving_names(
    discovery_address: &str,
    custom_hosts: &str,
    namespace: &str,
    revision: &str,
) -> Vec<String> {
    let host = discovery_address
        .rsplit_once(':')
        .map_or(discovery_address, |(host, _)| host)
        .trim_start_matches('[')
        .trim_end_matches(']');
    let mut services = vec!["istiod", "istiod-remote", "istio-pilot"];
    let revised = format!("istiod-{revision}");
    if !matches!(revision, "" | "default") {
        services.push(&revised);
    }
    let names: BTreeSet<String> = services
        .iter()
        .map(|service| format!("{service}.{namespace}.svc"))
        .chain(custom_hosts.split(',').map(|host| host.trim().to_owned()))
        .chain([host.to_owned()])
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter().collect()
}

/// Bounds of the TLS listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshakes {
    /// How long a handshake may take, from the first byte.
    pub timeout: Duration,
    /// Handshakes at once; further connections wait in the kernel's backlog.
    pub at_once: usize,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            at_once: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serving_names_are_those_that_agents_check() {
        let names = serving_names(
            "istiod.istio-system.svc:15012",
            "b.example, a.example",
            "istio-system",
            "canary",
        );
        assert_eq!(
            names,
            [
                "a.example",
                "b.example",
                "istio-pilot.istio-system.svc",
                "istiod-canary.istio-system.svc",
                "istiod-remote.istio-system.svc",
                "istiod.istio-system.svc",
            ]
        );
        assert_eq!(
            serving_names("[::1]:15012", "", "i", "default")
                .first()
                .unwrap(),
            "::1"
        );
        assert_eq!(serving_names("", "", "i", "").len(), 3);
    }

    #[test]
    fn node_accounts_are_namespace_and_name() {
        let read = node_accounts("istio-system/ztunnel, kube-system/ztunnel,").unwrap();
        assert!(read.contains(&("kube-system".to_owned(), "ztunnel".to_owned())));
        assert_eq!(read.len(), 2);
        for wrong in ["ztunnel", "a/b/c", "/b", "a/"] {
            assert!(node_accounts(wrong).unwrap_err().contains(wrong));
        }
    }
}

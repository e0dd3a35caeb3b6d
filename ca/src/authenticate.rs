//! Who calls. Istio 1.31: client certificate, token, `x-forwarded-client-cert` of a trusted gateway; the first that yields
//! an identity wins.

mod cache;
mod kube;
#[cfg(test)]
mod tests;
mod xfcc;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use tonic::metadata::MetadataMap;

pub use cache::TokenCache;
pub use kube::{Review, TokenReviewer};

use crate::Clock;
use crate::settings::Callers;
use crate::tls::Peer;

/// Somebody whose identity has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its identities, `spiffe://…`; never empty.
    pub identities: Vec<String>,
    /// What its token tells about its pod.
    pub pod: Option<CallerPod>,
    /// How it was found out.
    pub by: Source,
}

/// How a caller was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client certificate.
    Certificate,
    /// A token, reviewed by Kubernetes.
    Token,
    /// The header of a gateway that is trusted.
    Gateway,
}

/// The pod that a token is bound to. Empty texts where the token tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallerPod {
    /// Its cluster; empty: ours.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
}

/// Why one way to authenticate did not work. For logs: callers get one opaque answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{way}: {reason}")]
pub struct Failure {
    /// Which way.
    pub way: &'static str,
    /// Why not. Never holds a token.
    pub reason: String,
}

/// What a request brings along.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// The TLS connection; `None`: it is not encrypted.
    pub peer: Option<&'a Peer>,
    /// Where it comes from.
    pub remote: Option<SocketAddr>,
    /// Its metadata.
    pub metadata: &'a MetadataMap,
}

/// The clusters whose tokens are believed, each with its own API server.
#[derive(Clone)]
pub struct Clusters {
    local: Arc<dyn TokenReviewer>,
    /// `CLUSTER_ID`, and the aliases of our own cluster.
    local_names: Vec<String>,
    remote: Arc<RwLock<BTreeMap<String, Arc<dyn TokenReviewer>>>>,
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clusters")
            .field("local_names", &self.local_names)
            .field("remote", &self.remote.read().keys())
            .finish_non_exhaustive()
    }
}

impl Clusters {
    /// Our own cluster. Its names are `CLUSTER_ID` and the aliases for it (`CLUSTER_ALIASES`).
    pub fn new(local: Arc<dyn TokenReviewer>, local_names: Vec<String>) -> Self {
        Self {
            local,
            local_names,
            remote: Arc::default(),
        }
    }

    /// Adds or exchanges a remote cluster.
    pub fn set_remote(&self, id: &str, reviewer: Arc<dyn TokenReviewer>) {
        self.remote.write().insert(id.to_owned(), reviewer);
    }

    /// Forgets a remote cluster.
    pub fn remove_remote(&self, id: &str) {
        self.remote.write().remove(id);
    }

    /// The cluster that a caller names in `clusterid`, under its own name (empty: ours).
    fn named<'a>(&self, id: &'a str) -> Option<(&'a str, Arc<dyn TokenReviewer>)> {
        if id.is_empty() || self.local_names.iter().any(|name| name == id) {
            return Some(("", self.local.clone()));
        }
        let remote = self.remote.read().get(id).cloned()?;
        Some((id, remote))
    }
}

/// All ways to authenticate.
#[derive(Debug)]
pub struct Authenticators {
    settings: Callers,
    clusters: Option<Clusters>,
    cache: TokenCache,
}

impl Authenticators {
    /// Without clusters no token is believed.
    pub fn new(settings: Callers, clusters: Option<Clusters>, clock: Clock) -> Self {
        let cache = TokenCache::new(settings.review_memory, clock);
        Self {
            settings,
            clusters,
            cache,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Callers {
        &self.settings
    }

    /// Who calls.
    ///
    /// # Errors
    /// Why each way failed.
    pub async fn caller(&self, credentials: Credentials<'_>) -> Result<Caller, Vec<Failure>> {
        let mut failures = Vec::new();
        let mut failed = |way, reason: String| failures.push(Failure { way, reason });
        match credentials.peer {
            Some(peer) if !peer.identities.is_empty() => {
                return Ok(Caller {
                    identities: peer.identities.to_vec(),
                    pod: None,
                    by: Source::Certificate,
                });
            }
            _ => failed("client certificate", "none was presented".to_owned()),
        }
        match self.by_token(credentials.metadata).await {
            Ok(caller) => return Ok(caller),
            Err(reason) => failed("token", reason),
        }
        if !self.settings.trusted_gateways.is_empty() {
            match xfcc::caller(&self.settings, &credentials) {
                Ok(caller) => return Ok(caller),
                Err(reason) => failed("x-forwarded-client-cert", reason),
            }
        }
        Err(failures)
    }

    async fn by_token(&self, metadata: &MetadataMap) -> Result<Caller, String> {
        let token = bearer(metadata)?;
        let clusters = self
            .clusters
            .as_ref()
            .ok_or("there is no API server to review it")?;
        let id = metadata
            .get("clusterid")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (cluster, reviewer) = clusters
            .named(id)
            .ok_or_else(|| format!("could not get cluster {id:?}'s kube client"))?;
        if let Some(caller) = self.cache.get(cluster, token) {
            return Ok(caller);
        }
        let caller = kube::review(&self.settings, &*reviewer, cluster, token).await?;
        self.cache.put(cluster, token, &caller);
        Ok(caller)
    }
}

/// The longest token that is passed on, in bytes. Those of Kubernetes have about 1,000.
const MAX_TOKEN: usize = 16 << 10;

/// The first bearer token of a request.
fn bearer(metadata: &MetadataMap) -> Result<&str, String> {
    let mut values = metadata.get_all("authorization").iter().peekable();
    if values.peek().is_none() {
        return Err("no HTTP authorization header exists".to_owned());
    }
    let token = values
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| value.strip_prefix("Bearer "))
        .ok_or("no bearer token exists in HTTP authorization header")?;
    match token.len() {
        0 => Err("the bearer token is empty".to_owned()),
        len if len > MAX_TOKEN => Err(format!("the bearer token has {len} bytes")),
        _ => Ok(token),
    }
}

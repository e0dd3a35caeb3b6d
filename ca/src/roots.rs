//! Where the signing key comes from, and how it stays fresh.
//!
//! A plugged-in folder wins; else the Secret `istio-ca-secret` is used as it is; only when there is none a root is made,
//! once, by whichever replica is first. [`Live`] holds the authority of the moment, and all that is derived from it
//! follows its changes.

mod plugged;
mod root;
mod rotation;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::Clock;
use crate::authority::{Authority, Material, MaterialError};
use crate::settings::{Lifetimes, Roots};

pub use store::{MemoryStore, Secret, SecretStore, StoreError};

/// The Secret of a root that we or istiod made.
pub const SECRET: &str = "istio-ca-secret";
/// The Secret of plugged-in keys, where `USE_CACERTS_FOR_SELF_SIGNED_CA` puts a root, too.
pub const CACERTS: &str = "cacerts";
/// The type of [`SECRET`].
pub const SECRET_TYPE: &str = "istio.io/ca-root";
/// The key in [`CACERTS`] that tells a root which was made from keys that were plugged in.
pub const GENERATED: &str = "istio-generated";

pub(crate) const CA_CERT: &str = "ca-cert.pem";
pub(crate) const CA_KEY: &str = "ca-key.pem";
pub(crate) const CERT_CHAIN: &str = "cert-chain.pem";
pub(crate) const ROOT_CERT: &str = "root-cert.pem";

/// Why there is no authority, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// Files or a Secret hold something else than is needed; the operator must mend them.
    #[error("{place}: {error}")]
    Material {
        /// Where.
        place: String,
        /// What.
        error: MaterialError,
    },
    /// Files are missing or cannot be read.
    #[error("{0}")]
    Files(String),
    /// The plugged-in signer has ended.
    #[error("{0}: the signing certificate or its chain has expired")]
    Expired(String),
    /// Secrets cannot be read or written.
    #[error("the Secret {name}: {error}")]
    Store {
        /// Which.
        name: String,
        /// Why.
        error: StoreError,
    },
    /// No folder, and nothing to keep a Secret in.
    #[error("{0} holds no signing key, and without Kubernetes there is no Secret to keep one in")]
    Nowhere(String),
    /// A root could not be made.
    #[error("a root certificate could not be made: {0}")]
    Make(String),
}

/// The authority of the moment.
#[derive(Debug)]
pub struct Live {
    authority: watch::Sender<Arc<Authority>>,
    roots: watch::Sender<Arc<str>>,
}

impl Live {
    /// Begins with this one.
    pub fn new(authority: Authority) -> Arc<Self> {
        let roots = watch::Sender::new(authority.root_pem());
        let authority = watch::Sender::new(Arc::new(authority));
        Arc::new(Self { authority, roots })
    }

    /// The authority now.
    pub fn authority(&self) -> Arc<Authority> {
        self.authority.borrow().clone()
    }

    /// The authority now and whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Authority>> {
        self.authority.subscribe()
    }

    /// The root bundle in PEM, now and whenever it changes: for ConfigMaps and webhooks.
    pub fn root_bundle(&self) -> watch::Receiver<Arc<str>> {
        self.roots.subscribe()
    }

    /// Puts another one in its place.
    pub fn replace(&self, authority: Authority) {
        let roots = authority.root_pem();
        self.authority.send_replace(Arc::new(authority));
        self.roots.send_if_modified(|now| {
            let changed = **now != *roots;
            *now = roots;
            changed
        });
    }
}

/// Keeps an authority fresh.
pub struct Upkeep {
    live: Arc<Live>,
    settings: Roots,
    lifetimes: Lifetimes,
    source: Source,
    clock: Clock,
}

enum Source {
    /// What was seen last in the folder.
    Plugged(plugged::Seen),
    Stored {
        store: Arc<dyn SecretStore>,
        name: &'static str,
    },
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upkeep").finish_non_exhaustive()
    }
}

/// Finds the signing key, or makes one.
///
/// # Errors
/// See [`RootsError`]. An incomplete folder and a broken Secret are errors: to go on with a new root would cut every
/// running workload off.
pub async fn open(
    settings: Roots,
    lifetimes: Lifetimes,
    store: Option<Arc<dyn SecretStore>>,
    clock: Clock,
) -> Result<(Arc<Live>, Upkeep), RootsError> {
    let found = plugged::read(&settings.dir)?;
    let (authority, source) = if let Some(material) = found {
        let place = settings.dir.display().to_string();
        let seen = plugged::Seen::of(&material);
        let authority = accept(material, lifetimes, &place)?;
        if authority.expired(clock()) {
            return Err(RootsError::Expired(place));
        }
        info!(dir = %place, "signing with plugged-in keys");
        (authority, Source::Plugged(seen))
    } else {
        let store = store.ok_or_else(|| RootsError::Nowhere(settings.dir.display().to_string()))?;
        let (material, name) = stored(&settings, &store, &clock).await?;
        let authority = accept(material, lifetimes, &format!("the Secret {name}"))?;
        (authority, Source::Stored { store, name })
    };
    let live = Live::new(authority);
    let upkeep = Upkeep {
        live: live.clone(),
        settings,
        lifetimes,
        source,
        clock,
    };
    Ok((live, upkeep))
}

fn accept(material: Material, lifetimes: Lifetimes, place: &str) -> Result<Authority, RootsError> {
    Authority::new(material, lifetimes).map_err(|error| RootsError::Material {
        place: place.to_owned(),
        error,
    })
}

/// The Secret's key, or a new one. Istio 1.31: `istio-ca-secret` always comes first, even when new roots go to `cacerts`.
async fn stored(
    settings: &Roots,
    store: &Arc<dyn SecretStore>,
    clock: &Clock,
) -> Result<(Material, &'static str), RootsError> {
    let names: &[&'static str] = if settings.in_cacerts {
        &[SECRET, CACERTS]
    } else {
        &[SECRET]
    };
    let mut pause = settings.first_pause;
    let mut attempt = 1;
    loop {
        match find_or_make(settings, store, names, clock).await {
            Err(RootsError::Store { name, error }) if attempt < settings.attempts => {
                // A conflict is another replica that was faster; its Secret is read at once.
                if error != StoreError::Conflict {
                    warn!(secret = name, %error, attempt, "the Secret of the root cannot be used yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn find_or_make(
    settings: &Roots,
    store: &Arc<dyn SecretStore>,
    names: &[&'static str],
    clock: &Clock,
) -> Result<(Material, &'static str), RootsError> {
    for name in names {
        let read = store.read(name).await;
        if let Some(secret) = read.map_err(|error| store_error(name, error))? {
            info!(secret = name, "signing with the key of an existing Secret");
            return Ok((root::from_secret(&secret, name, settings)?, name));
        }
    }
    let name = names.last().copied().unwrap_or(SECRET);
    let secret = root::new_secret(settings, name, clock())?;
    let created = store.create(name, &secret).await;
    created.map_err(|error| store_error(name, error))?;
    info!(secret = name, "made a root and keep it in a Secret");
    Ok((root::from_secret(&secret, name, settings)?, name))
}

fn store_error(name: &str, error: StoreError) -> RootsError {
    RootsError::Store {
        name: name.to_owned(),
        error,
    }
}

impl Upkeep {
    /// Looks once: at the files, or at the Secret.
    pub async fn step(&mut self) {
        let now = (self.clock)();
        match &mut self.source {
            Source::Plugged(seen) => {
                plugged::reload(&self.live, &self.settings, self.lifetimes, seen, now);
            }
            Source::Stored { store, name } => {
                let done =
                    rotation::check(&self.live, &self.settings, self.lifetimes, store, name, now);
                if let Err(error) = done.await {
                    error!(%error, "the root certificate could not be checked or rotated");
                }
            }
        }
    }

    /// Looks again and again until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let (interval, mut wait) = match &self.source {
            Source::Plugged(_) => (self.settings.poll_interval, self.settings.poll_interval),
            Source::Stored { .. } if self.settings.jitter => {
                let interval = self.settings.check_interval;
                (interval, interval.mul_f64(random_part()))
            }
            Source::Stored { .. } => (self.settings.check_interval, self.settings.check_interval),
        };
        if interval.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.step().await;
            wait = interval;
        }
    }
}

/// A number from 0 to 1. Without random numbers: 1.
fn random_part() -> f64 {
    let mut bytes = [0xff; 4];
    // A jitter may fail: then all replicas wait for the whole interval.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

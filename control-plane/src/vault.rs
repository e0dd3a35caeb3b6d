//! The secrets that streams are served, built once for all who may have them, and counted where there are none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use meltemi_builders::Input as _;
use meltemi_builders::secret::SecretInput;
use meltemi_compile::secrets::{Reader, Refusal};
use meltemi_model::proxy::Proxy;
use meltemi_model::shared::Fingerprint;
use meltemi_model::{Resource, ResourceSet, ResourceType, Str};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing::{debug, warn};

use crate::engine::Engine;

/// Whether an account may list the Secrets of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Whether it may.
    pub granted: bool,
    /// When to ask again; `None`: a later look at it is early enough.
    pub again: Option<Duration>,
}

/// Who knows that. In a cluster it is the API server.
#[tonic::async_trait]
pub trait Permissions: Send + Sync {
    /// Whether `account` may list the Secrets of its `namespace`.
    async fn lists_secrets(&self, namespace: &str, account: &str) -> Permission;
}

/// What a built secret depends on. The fingerprint is a digest, so no key lies about here.
type Key = (Str, Fingerprint, bool);

/// The secrets that somebody is served, and a count of those that nobody could be.
#[derive(Debug, Default)]
pub struct Vault {
    built: Mutex<HashMap<Key, Weak<Resource>>>,
    errors: Counter,
}

impl Vault {
    /// A vault whose count is exported. The client adds `_total`.
    pub fn new(registry: &mut Registry) -> Self {
        let vault = Self::default();
        registry.register(
            "pilot_sds_certificate_errors",
            "Total number of failures to fetch SDS key and certificate",
            vault.errors.clone(),
        );
        vault
    }

    /// The secrets of these names that the reader may have. `asked`: somebody asks for them now, so that what is wrong
    /// is worth a line in the log; else it was said when the object changed.
    pub fn open(
        &self,
        engine: &Engine,
        proxy: &Proxy,
        reader: &Reader,
        names: &BTreeSet<Str>,
        asked: bool,
    ) -> Arc<ResourceSet> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
        let mut found = Vec::with_capacity(names.len());
        for (name, answer) in engine.secrets(proxy, reader, names) {
            match answer {
                Ok(input) => found.push(self.resource(&input, now)),
                Err(refusal) => self.refuse(proxy, &name, &refusal, asked),
            }
        }
        Arc::new(ResourceSet::new(ResourceType::Secret, found))
    }

    /// Counts, and says, that a proxy does not get a secret.
    pub fn refuse(&self, proxy: &Proxy, name: &str, reason: &Refusal, asked: bool) {
        if *reason == Refusal::Placeholder {
            return;
        }
        self.errors.inc();
        if asked {
            warn!(proxy = %proxy.id, %name, %reason, "a secret is not served");
        } else {
            debug!(proxy = %proxy.id, %name, %reason, "a secret is not served");
        }
    }

    /// Counts, and says, that a proxy gets no secret at all.
    pub fn refuse_all(&self, proxy: &Proxy, reason: &str) {
        self.errors.inc();
        warn!(proxy = %proxy.id, reason, "no secret is served");
    }

    fn resource(&self, input: &SecretInput, now: i64) -> Arc<Resource> {
        let key = (
            input.name.clone(),
            input.credential.fingerprint(),
            input.root,
        );
        let mut built = self.built.lock();
        if let Some(known) = built.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let pair = input.credential.pair.as_ref().filter(|_| !input.root);
        let root = input.credential.root.as_ref().filter(|_| input.root);
        let valid = pair.map(|p| p.valid).or_else(|| root.map(|r| r.valid));
        if valid.is_some_and(|valid| !valid.holds(now)) {
            // Istio 1.31 serves it all the same: clients may not care, and the clock may be ours that is wrong.
            self.errors.inc();
            let object = &input.credential.meta.key;
            warn!(%object, "a certificate is served that has expired or is not valid yet");
        }
        let made = input.build();
        let resource = Resource::new(SecretInput::TYPE, made.name, made.body, made.from.into());
        let resource = Arc::new(resource);
        built.retain(|_, resource| resource.strong_count() > 0);
        built.insert(key, Arc::downgrade(&resource));
        resource
    }
}

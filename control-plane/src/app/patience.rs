//! Policies wait for the keys of their issuers, so that no valid token is refused between the moment that a policy appears
//! and the moment that its keys are there. Everything else goes on meanwhile. They wait for one attempt, whatever comes of
//! it, and never long. Istio 1.31: the push itself waits for that attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meltemi_model::security::{JwksFetch, JwtRule, KeySource, RequestAuthentication};
use meltemi_model::{Object, ObjectKey};
use meltemi_world::{Change, Store};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::jwks::Ask;

/// How long a policy waits at most.
const LONGEST: Duration = Duration::from_secs(10);

/// The policies that wait.
#[derive(Debug)]
pub(super) struct Patience {
    fetch: JwksFetch,
    asks: mpsc::Sender<Ask>,
    waiting: BTreeMap<ObjectKey, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    object: Object,
    /// The rows that are not there yet.
    missing: BTreeSet<ObjectKey>,
    until: Instant,
}

impl Patience {
    /// Nobody waits. What is missing is asked for at `asks`.
    pub(super) fn new(fetch: JwksFetch, asks: mpsc::Sender<Ask>) -> Self {
        Self {
            fetch,
            asks,
            waiting: BTreeMap::new(),
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What may be applied of some changes; policies whose keys were never asked for wait. `store` is what was applied.
    pub(super) fn hold_back(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        store: &Store,
    ) -> Vec<Change> {
        let mut now = Vec::new();
        for change in changes {
            let key = match &change {
                Change::Apply(object) => object.key(),
                Change::Delete(key) => key,
            };
            // A later word on the same policy replaces the one that waits.
            self.waiting.remove(key);
            match change {
                Change::Apply(Object::RequestAuthentication(policy)) => {
                    let missing = self.missing(&policy, store);
                    let object = Object::RequestAuthentication(policy);
                    if missing.is_empty() {
                        now.push(Change::Apply(object));
                    } else {
                        let waiting = Waiting {
                            missing,
                            until: Instant::now() + LONGEST,
                            object,
                        };
                        self.waiting.insert(waiting.object.key().clone(), waiting);
                    }
                }
                other => now.push(other),
            }
        }
        now
    }

    /// Asks for the keys of a policy that are not there.
    fn missing(&self, policy: &RequestAuthentication, store: &Store) -> BTreeSet<ObjectKey> {
        let mut missing = BTreeSet::new();
        for rule in &policy.rules {
            let source = self.source(rule).map(|source| (source.key(), source));
            let Some((key, source)) =
                source.filter(|(key, _)| store.fetched_keys.get(key).is_none())
            else {
                continue;
            };
            let is_asked =
                missing.contains(&key) || self.waiting.values().any(|w| w.missing.contains(&key));
            // Where nobody hears it there is nothing to wait for: the keys come when the world wants them.
            if is_asked || self.asks.try_send((source, rule.timeout())).is_ok() {
                missing.insert(key);
            }
        }
        missing
    }

    fn source(&self, rule: &JwtRule) -> Option<KeySource> {
        let by_proxies = self.fetch == JwksFetch::Envoy && !rule.jwks_uri.is_empty();
        rule.source().filter(|_| !by_proxies)
    }

    /// The policies that wait for nothing more when these rows are there.
    pub(super) fn told<'a>(&mut self, keys: impl Iterator<Item = &'a ObjectKey>) -> Vec<Change> {
        for key in keys {
            for waiting in self.waiting.values_mut() {
                waiting.missing.remove(key);
            }
        }
        self.release(|waiting| waiting.missing.is_empty())
    }

    /// Waits until somebody has waited for too long.
    pub(super) async fn exhausted(&mut self) -> Vec<Change> {
        match self.waiting.values().map(|waiting| waiting.until).min() {
            Some(first) => tokio::time::sleep_until(first).await,
            None => std::future::pending().await,
        }
        self.overdue(Instant::now())
    }

    fn overdue(&mut self, now: Instant) -> Vec<Change> {
        self.release(|waiting| waiting.until <= now)
    }

    fn release(&mut self, is_ready: impl Fn(&Waiting) -> bool) -> Vec<Change> {
        let ready = self.waiting.extract_if(.., |_, waiting| is_ready(waiting));
        ready
            .map(|(_, waiting)| Change::Apply(waiting.object))
            .collect()
    }
}

#[cfg(test)]
mod tests;

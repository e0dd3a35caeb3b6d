//! Keys of tokens, fetched from the issuers that RequestAuthentications name. Istio 1.31: `JwksResolver`.
//!
//! What was fetched are rows beside the objects, so that the world stays pure. Each source has a clock of its own: one that
//! fails or hangs holds up no other, and what it gave before stays in use.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use meltemi_model::security::{FetchedKeys, KeySource};
use meltemi_model::{Object, ObjectKey, Shared, Str};
use meltemi_world::stages::request_authentications::RequestAuthentications;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use crate::networks::Facts;

pub mod document;
pub mod fetch;
pub mod http;
pub mod metrics;

/// How often the world is asked what it wants, and whether something is due.
const LOOK: Duration = Duration::from_secs(1);

/// What fails is tried again this many times at once, so to speak. Istio 1.31: `networkFetchRetryCountOnRefreshFlow`,
/// `JwtPubKeyRetryInterval`.
const QUICK_RETRIES: u32 = 7;
const QUICK: Duration = Duration::from_secs(1);

/// Then after this time, which doubles up to the limit. Istio 1.31: `JwtPubKeyRefreshIntervalOnFailure` and its threshold.
/// Where there are no keys at all it does not double: every token is refused until there are.
const SLOW: Duration = Duration::from_secs(60);
const SLOWEST: Duration = Duration::from_secs(60 * 60);

/// Keys that could not be fetched again for so long are used no more. Istio 1.31: `JwtPubKeyEvictionDuration`.
const USABLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What nobody wants is forgotten after this time: a policy that is on its way may be about to want it.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Requests that run at the same time.
const AT_ONCE: usize = 128;

/// A file with further roots of issuers' certificates. Istio 1.31: `jwksExtraRootCABundlePath`.
pub const EXTRA_ROOTS: &str = "/cacerts/extra.pem";

/// How keys are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long keys are used before they are fetched again (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL).
    pub refresh: Duration,
    /// Addresses that are never asked (BLOCKED_CIDRS_IN_JWKS_URIS).
    pub blocked: Vec<IpNet>,
    /// Take any certificate (JWKS_RESOLVER_INSECURE_SKIP_VERIFY).
    pub skip_verify: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(20 * 60),
            blocked: Vec::new(),
            skip_verify: false,
        }
    }
}

/// A source that somebody is about to want, and how long a request may take.
pub type Ask = (KeySource, Duration);

/// Fetches what the worlds that `world` tells want, and what is `asked` for, until nobody takes the answers.
pub async fn follow<R>(
    world: impl Fn() -> Arc<RequestAuthentications>,
    mut asked: mpsc::Receiver<Ask>,
    fetch: impl Fn(KeySource, Duration) -> R,
    refresh: Duration,
    out: mpsc::Sender<Facts>,
) where
    R: Future<Output = Result<String, String>> + Send + 'static,
{
    let mut known = Known::default();
    let mut running: JoinSet<(KeySource, Result<String, String>)> = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => known.look(&world(), Instant::now()),
            ask = asked.recv() => match ask {
                Some((source, timeout)) => known.ask(source, timeout, Instant::now()),
                None => return,
            },
            Some(done) = running.join_next() => {
                if let Ok((source, result)) = done {
                    known.done(&source, result, Instant::now(), refresh);
                }
            }
        }
        let free = AT_ONCE.saturating_sub(running.len());
        for (source, timeout) in known.due(Instant::now(), free) {
            let answer = fetch(source.clone(), timeout);
            running.spawn(async move { (source, answer.await) });
        }
        let changes = known.news();
        let facts = Facts {
            changes,
            diagnostics: None,
        };
        if !facts.changes.is_empty() && out.send(facts).await.is_err() {
            return;
        }
    }
}

/// What is known of the sources.
#[derive(Debug, Default)]
struct Known {
    sources: BTreeMap<KeySource, Source>,
    /// What the world wanted when it was last asked.
    wanted: Arc<RequestAuthentications>,
    forgotten: Vec<KeySource>,
}

/// One source.
#[derive(Debug)]
struct Source {
    timeout: Duration,
    now: FetchedKeys,
    /// When `now.keys` were fetched.
    fetched: Instant,
    /// Failures since then.
    failures: u32,
    /// When it is to be fetched; `None`: it is being fetched.
    due: Option<Instant>,
    is_wanted: bool,
    /// When somebody was about to want it.
    asked: Instant,
    told: Option<FetchedKeys>,
}

impl Known {
    fn source(&mut self, source: KeySource, timeout: Duration, now: Instant) -> &mut Source {
        let found = self.sources.entry(source).or_insert_with(|| Source {
            timeout,
            now: FetchedKeys::default(),
            fetched: now,
            failures: 0,
            due: Some(now),
            is_wanted: false,
            asked: now,
            told: None,
        });
        found.timeout = timeout;
        found
    }

    /// Hears what the world wants, and forgets what has not been wanted for a while.
    fn look(&mut self, wanted: &Arc<RequestAuthentications>, now: Instant) {
        if !Arc::ptr_eq(wanted, &self.wanted) {
            self.wanted = Arc::clone(wanted);
            for (source, found) in &mut self.sources {
                let is_wanted = wanted.wanted.contains_key(source);
                if found.is_wanted && !is_wanted {
                    found.asked = now;
                }
                found.is_wanted = is_wanted;
            }
            for (source, timeout) in &wanted.wanted {
                self.source(source.clone(), *timeout, now).is_wanted = true;
            }
        }
        let forgotten = self.sources.extract_if(.., |_, found| {
            !found.is_wanted && found.due.is_some() && now.duration_since(found.asked) >= FORGOTTEN
        });
        let forgotten = forgotten.filter(|(_, found)| found.told.is_some());
        self.forgotten.extend(forgotten.map(|(source, _)| source));
    }

    /// Somebody is about to want it and waits for the answer, also if it was given already.
    fn ask(&mut self, source: KeySource, timeout: Duration, now: Instant) {
        let found = self.source(source, timeout, now);
        found.asked = now;
        found.told = None;
    }

    /// What is to be fetched now, at most so many.
    fn due(&mut self, now: Instant, free: usize) -> Vec<Ask> {
        let all = self.sources.iter_mut();
        let due = all.filter(|(_, found)| found.due.is_some_and(|due| due <= now));
        due.take(free)
            .map(|(source, found)| {
                found.due = None;
                (source.clone(), found.timeout)
            })
            .collect()
    }

    fn done(
        &mut self,
        source: &KeySource,
        result: Result<String, String>,
        now: Instant,
        refresh: Duration,
    ) {
        let Some(found) = self.sources.get_mut(source) else {
            return;
        };
        let result = result.and_then(|text| document::check(&text).map(|()| text));
        match result {
            Ok(text) => {
                let before = found.now.keys.as_deref();
                if before.is_none_or(|before| document::differ(before, &text)) {
                    info!(%source, "keys of tokens changed");
                    found.now.keys = Some(text.as_str().into());
                }
                found.now.problem = "".into();
                found.fetched = now;
                found.failures = 0;
                found.due = Some(now + refresh);
            }
            Err(problem) => {
                if *found.now.problem != *problem {
                    warn!(%source, error = %problem, "keys of tokens not fetched");
                    found.now.problem = Str::from(problem);
                }
                if now.duration_since(found.fetched) >= USABLE {
                    found.now.keys = None;
                }
                found.failures = found.failures.saturating_add(1);
                found.due = Some(now + delay(found.failures, found.now.keys.is_some()));
            }
        }
    }

    /// What is to be told: of each source that was tried, what is new.
    fn news(&mut self) -> Vec<(ObjectKey, Option<Object>)> {
        let mut changes: Vec<_> = std::mem::take(&mut self.forgotten)
            .iter()
            .map(|source| (source.key(), None))
            .collect();
        for (source, found) in &mut self.sources {
            let was_tried = found.now != FetchedKeys::default();
            if was_tried && found.told.as_ref() != Some(&found.now) {
                found.told = Some(found.now.clone());
                let key = source.key();
                let object = Object::Jwks(key.clone(), Shared::new(found.now.clone()));
                changes.push((key, Some(object)));
            }
        }
        changes
    }
}

/// How long a source is left alone that failed so many times.
fn delay(failures: u32, has_keys: bool) -> Duration {
    let Some(more) = failures.checked_sub(QUICK_RETRIES + 1) else {
        return QUICK;
    };
    if !has_keys {
        return SLOW;
    }
    let doubled = 2_u32.saturating_pow(more);
    SLOW.saturating_mul(doubled).min(SLOWEST)
}

#[cfg(test)]
mod tests;

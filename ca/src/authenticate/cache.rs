//! Good reviews of tokens, remembered for some seconds.
//!
//! When a control plane comes back, every proxy calls at once, each with one token for ADS and for its certificate, and
//! again after each failure. Without a memory every call is a request to the API server, which clients limit to 80 a
//! second. What is remembered is short: a token that is withdrawn (its pod is deleted) works for at most ten seconds
//! more, and never longer than it would live. Refusals are not remembered: a token may become good.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::Caller;
use crate::{Clock, unix};

/// The most tokens that are remembered.
const CAPACITY: usize = 20_000;

/// Good reviews, by a hash of the token; the tokens themselves are not kept.
pub struct TokenCache {
    memory: Duration,
    clock: Clock,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

struct Entry {
    caller: Caller,
    until: SystemTime,
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache")
            .field("memory", &self.memory)
            .field("entries", &self.entries.lock().len())
            .finish_non_exhaustive()
    }
}

impl TokenCache {
    /// A memory of this length; zero: none.
    pub fn new(memory: Duration, clock: Clock) -> Self {
        Self {
            memory,
            clock,
            entries: Mutex::default(),
        }
    }

    /// Whose token it is, if that was found out a moment ago.
    pub(super) fn get(&self, cluster: &str, token: &str) -> Option<Caller> {
        if self.memory.is_zero() {
            return None;
        }
        let now = (self.clock)();
        let entries = self.entries.lock();
        let entry = entries.get(&hash(cluster, token))?;
        (now < entry.until).then(|| entry.caller.clone())
    }

    /// Remembers whose token it is. A token that does not tell when it ends is not remembered.
    pub(super) fn put(&self, cluster: &str, token: &str, caller: &Caller) {
        let now = (self.clock)();
        let Some(left) = expiry(token).and_then(|end| u64::try_from(end - unix(now)).ok()) else {
            return;
        };
        let until = now + self.memory.min(Duration::from_secs(left));
        if until <= now {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, entry| now < entry.until);
        }
        if entries.len() < CAPACITY {
            let caller = caller.clone();
            entries.insert(hash(cluster, token), Entry { caller, until });
        }
    }
}

fn hash(cluster: &str, token: &str) -> [u8; 32] {
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    let text = format!("{}:{cluster}{token}", cluster.len());
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

/// When a token ends, in seconds since 1970. It is believed only after the API server has found the token good.
fn expiry(token: &str) -> Option<i64> {
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    (claims.exp >= 0).then_some(claims.exp)
}

#[derive(serde::Deserialize)]
struct Claims {
    exp: i64,
}

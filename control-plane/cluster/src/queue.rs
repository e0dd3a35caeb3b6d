//! What is to be done, and when: a set of keys with their next attempt. It has no IO and no clock of its own.
//!
//! - A key is worked on by one attempt at a time; a key that is added meanwhile has another turn afterwards.
//! - A failed attempt comes back later and later ([`Backoff`]), for ever.
//! - A key that must be written again soon after we wrote it is fought over (two control planes with different roots):
//!   its attempts are spread out in the same way, so that the two do not write as fast as the API server can.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was as it should be.
    Kept,
    /// It was written.
    Written,
    /// Try again, later with every failure.
    Failed,
    /// Trying again helps only if somebody grants or mends something: try again after the longest wait.
    Refused,
}

/// A write that has to be repeated within this time counts as a fight. Longer than two of the longest waits, since the
/// other side may wait as we do.
const PEACE: Duration = Duration::from_secs(300);

/// The first writes against another writer come at once: an object that is edited twice is not a fight.
const PATIENCE: u32 = 3;

#[derive(Debug, Default)]
struct Entry {
    due: Option<Instant>,
    running: bool,
    failures: u32,
    fights: u32,
    written: Option<Instant>,
}

/// The keys that are to be worked on.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    backoff: Backoff,
    entries: BTreeMap<K, Entry>,
    due: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Asks for an attempt, at once unless the key is fought over.
    pub(crate) fn add(&mut self, key: K, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        let fought = entry.written.is_some_and(|at| now < at + PEACE);
        let wait = if fought {
            self.backoff.delay(entry.fights.saturating_sub(PATIENCE))
        } else {
            Duration::ZERO
        };
        self.at(key, now + wait);
    }

    /// Forgets a key; an attempt that runs is not stopped.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            if let Some(at) = entry.due.take() {
                self.due.remove(&(at, key.clone()));
            }
            if !entry.running {
                self.entries.remove(key);
            }
        }
    }

    /// A key whose time has come; its attempt must end in [`Queue::done`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.due.first()?.clone();
        if at > now {
            return None;
        }
        self.due.remove(&(at, key.clone()));
        let entry = self.entries.entry(key.clone()).or_default();
        entry.due = None;
        entry.running = true;
        Some(key)
    }

    /// Ends the attempt at a key.
    pub(crate) fn done(&mut self, key: &K, outcome: Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.running = false;
        let asked_again = entry.due.take();
        let wait = match outcome {
            Outcome::Kept => None,
            Outcome::Written => {
                let again = entry.written.is_some_and(|at| now < at + PEACE);
                entry.fights = if again {
                    entry.fights.saturating_add(1)
                } else {
                    0
                };
                entry.written = Some(now);
                None
            }
            Outcome::Failed => {
                entry.failures = entry.failures.saturating_add(1);
                Some(self.backoff.delay(entry.failures))
            }
            Outcome::Refused => Some(self.backoff.longest),
        };
        if wait.is_none() {
            entry.failures = 0;
        }
        let retry = wait.map(|wait| now + wait);
        let next = asked_again.into_iter().chain(retry).min();
        match next {
            Some(at) => self.at(key.clone(), at),
            None if entry.written.is_none() => {
                self.entries.remove(key);
            }
            None => {}
        }
    }

    /// When the next key is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How often in a row a key had to be written again soon after we wrote it.
    pub(crate) fn fights(&self, key: &K) -> u32 {
        self.entries.get(key).map_or(0, |entry| entry.fights)
    }

    /// Makes a key due; an earlier time stays. While an attempt runs the time is only noted.
    fn at(&mut self, key: K, at: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        let at = entry.due.map_or(at, |before| before.min(at));
        if let Some(before) = entry.due.replace(at) {
            self.due.remove(&(before, key.clone()));
        }
        if !entry.running {
            self.due.insert((at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(60),
    };

    #[test]
    fn a_key_is_taken_once() {
        let now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        queue.add("a", now);
        queue.add("a", now);
        assert_eq!(queue.next(), Some(now));
        assert_eq!(queue.take(now), Some("a"));
        assert_eq!(queue.take(now), None);
        queue.done(&"a", Outcome::Kept, now);
        assert_eq!(queue.next(), None);
        assert!(queue.entries.is_empty());
    }

    #[test]
    fn what_is_asked_during_an_attempt_is_not_lost() {
        let now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        queue.add("a", now);
        assert_eq!(queue.take(now), Some("a"));
        queue.add("a", now);
        assert_eq!(queue.take(now), None, "an attempt runs");
        queue.done(&"a", Outcome::Written, now);
        assert_eq!(queue.take(now), Some("a"));
    }

    #[test]
    fn failures_come_back_later_and_later_and_for_ever() {
        let mut now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        queue.add("a", now);
        let mut waits = Vec::new();
        for _ in 0..100 {
            assert_eq!(queue.take(now), Some("a"));
            queue.done(&"a", Outcome::Failed, now);
            let next = queue.next().unwrap();
            waits.push(next - now);
            now = next;
        }
        assert!(waits[0] >= Duration::from_millis(50), "{waits:?}");
        assert!(
            waits[20..].iter().all(|wait| *wait >= BACKOFF.longest / 2),
            "{waits:?}"
        );
        assert!(waits.iter().all(|wait| *wait <= BACKOFF.longest));
    }

    #[test]
    fn news_bring_a_failed_key_forward() {
        let now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        queue.add("a", now);
        queue.take(now);
        queue.done(&"a", Outcome::Refused, now);
        assert_eq!(queue.next(), Some(now + BACKOFF.longest));
        queue.add("a", now);
        assert_eq!(queue.take(now), Some("a"));
    }

    #[test]
    fn a_fight_slows_down() {
        let mut now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        let mut writes = 0;
        let end = now + Duration::from_secs(3_600);
        while now < end {
            queue.add("a", now);
            now = queue.next().unwrap();
            assert_eq!(queue.take(now), Some("a"));
            queue.done(&"a", Outcome::Written, now);
            writes += 1;
        }
        assert!(queue.fights(&"a") > PATIENCE);
        assert!(writes < 200, "{writes} writes in an hour");
        now += PEACE;
        queue.add("a", now);
        assert_eq!(queue.next(), Some(now), "peace is back");
    }

    #[test]
    fn a_forgotten_key_has_no_turn() {
        let now = Instant::now();
        let mut queue = Queue::new(BACKOFF);
        queue.add("a", now);
        queue.forget(&"a");
        assert_eq!(queue.take(now), None);
        queue.add("a", now);
        queue.take(now);
        queue.forget(&"a");
        queue.done(&"a", Outcome::Kept, now);
        assert!(queue.entries.is_empty());
    }
}

//! What stands in a lock, and who may take it. No IO.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Election, LEASE};
use crate::revisions::revision_or_default;

/// Marks the key of a control plane that runs outside of the cluster (Istio 1.31).
const REMOTE: char = '^';

/// What a lock says, in the form that istiod writes into the ConfigMap's annotation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Record {
    pub(super) holder_identity: String,
    /// The holder's revision, behind a `^` if it is remote.
    pub(super) holder_key: String,
    pub(super) lease_duration_seconds: i32,
    pub(super) acquire_time: Option<Time>,
    pub(super) renew_time: Option<Time>,
    pub(super) leader_transitions: i32,
}

impl Record {
    /// The record of a lock that its holder gives back.
    pub(super) fn released(before: &Record) -> Self {
        let now = Some(Time(now()));
        Self {
            lease_duration_seconds: 1,
            acquire_time: now.clone(),
            renew_time: now,
            leader_transitions: before.leader_transitions,
            ..Self::default()
        }
    }
}

/// The time for people who read a lock.
fn now() -> Timestamp {
    #[cfg(not(test))]
    return Timestamp::now();
    // A renewal in the same second would change nothing: the time must go on with the clock of the test.
    #[cfg(test)]
    return crate::testing::wall_clock();
}

/// When the lock last changed before our eyes.
#[derive(Debug, Default)]
pub(super) struct Observed(Option<(String, Instant)>);

impl Observed {
    /// Takes a look at the lock; for how long it has been as it is.
    pub(super) fn see(&mut self, raw: &str, now: Instant) -> Duration {
        match &self.0 {
            Some((before, since)) if before == raw => now - *since,
            _ => {
                self.0 = Some((raw.to_owned(), now));
                Duration::ZERO
            }
        }
    }
}

/// What we may do about a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is somebody else's.
    Wait,
    /// It is nobody's, or ours.
    Take,
    /// It is somebody else's, but we go first.
    TakeOver,
}

/// Who we are in an election.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    identity: String,
    revision: String,
    per_revision: bool,
    remote: bool,
}

impl Candidate {
    pub(super) fn new(election: &Election) -> Self {
        Self {
            identity: match election.identity.as_str() {
                // A lock without a name is free, so nobody may stand without one.
                "" => format!(
                    "unknown-{:016x}",
                    RandomState::new().build_hasher().finish()
                ),
                name => name.to_owned(),
            },
            revision: revision_or_default(&election.revision).to_owned(),
            per_revision: election.per_revision,
            remote: election.remote,
        }
    }

    fn key(&self) -> String {
        match (self.per_revision, self.remote) {
            (true, _) => String::new(),
            (false, true) => format!("{REMOTE}{}", self.revision),
            (false, false) => self.revision.clone(),
        }
    }

    pub(super) fn is_holder(&self, record: &Record) -> bool {
        record.holder_identity == self.identity
    }

    /// The record with us as the holder, from now on or still.
    pub(super) fn record(&self, before: Option<&Record>) -> Record {
        let now = Some(Time(now()));
        let lease = i32::try_from(LEASE.as_secs()).unwrap_or(i32::MAX);
        let (acquire_time, leader_transitions) = match before {
            None => (now.clone(), 0),
            Some(before) if self.is_holder(before) => {
                (before.acquire_time.clone(), before.leader_transitions)
            }
            Some(before) => (now.clone(), before.leader_transitions.saturating_add(1)),
        };
        Record {
            holder_identity: self.identity.clone(),
            holder_key: self.key(),
            lease_duration_seconds: lease,
            acquire_time,
            renew_time: now,
            leader_transitions,
        }
    }

    /// Whether we may take a lock; `expired`: it did not change for a whole lease.
    pub(super) fn claim(&self, record: &Record, expired: bool, default_revision: &str) -> Claim {
        if expired || record.holder_identity.is_empty() || self.is_holder(record) {
            Claim::Take
        } else if !self.per_revision && self.goes_before(&record.holder_key, default_revision) {
            Claim::TakeOver
        } else {
            Claim::Wait
        }
    }

    /// Istio 1.31 (`LocationPrioritizedComparison`): the default revision goes before others, and in one revision who
    /// is in the cluster before who is not.
    fn goes_before(&self, holder_key: &str, default_revision: &str) -> bool {
        let holder_revision = holder_key.strip_prefix(REMOTE);
        let holder_is_remote = holder_revision.is_some();
        let holder_revision = holder_revision.unwrap_or(holder_key);
        if self.revision == holder_revision {
            !self.remote && holder_is_remote
        } else {
            !default_revision.is_empty() && self.revision == default_revision
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::locks;

    fn candidate(revision: &str, remote: bool, per_revision: bool) -> Candidate {
        Candidate::new(&Election {
            namespace: "istio-system".into(),
            lock: locks::NAMESPACES,
            identity: "us".into(),
            revision: revision.into(),
            per_revision,
            remote,
        })
    }

    #[test]
    fn who_may_take_a_lock() {
        use Claim::{Take, TakeOver, Wait};
        // (our revision, remote, one leader for each revision), (holder, its key), expired, default revision
        let rows = [
            (("", false, false), ("", ""), false, "", Take),
            (("", false, false), ("us", "default"), false, "", Take),
            (("", false, false), ("other", "default"), false, "", Wait),
            (("", false, false), ("other", "default"), true, "", Take),
            (
                ("", false, false),
                ("other", "default"),
                false,
                "default",
                Wait,
            ),
            (
                ("", false, false),
                ("other", "canary"),
                false,
                "default",
                TakeOver,
            ),
            (("", false, false), ("other", "canary"), false, "", Wait),
            (
                ("", false, false),
                ("other", ""),
                false,
                "default",
                TakeOver,
            ),
            (
                ("canary", false, false),
                ("other", "default"),
                false,
                "default",
                Wait,
            ),
            (
                ("canary", false, false),
                ("other", "default"),
                false,
                "canary",
                TakeOver,
            ),
            (
                ("", false, false),
                ("other", "^default"),
                false,
                "",
                TakeOver,
            ),
            (("", true, false), ("other", "^default"), false, "", Wait),
            (
                ("", true, false),
                ("other", "default"),
                false,
                "default",
                Wait,
            ),
            (
                ("", true, false),
                ("other", "canary"),
                false,
                "default",
                TakeOver,
            ),
            (
                ("canary", false, true),
                ("other", ""),
                false,
                "canary",
                Wait,
            ),
        ];
        for ((revision, remote, per_revision), (holder, key), expired, default, expected) in rows {
            let record = Record {
                holder_identity: holder.into(),
                holder_key: key.into(),
                ..Record::default()
            };
            let claim = candidate(revision, remote, per_revision).claim(&record, expired, default);
            assert_eq!(
                claim, expected,
                "{revision:?} {remote} {per_revision} against {holder:?} {key:?} {expired} {default:?}"
            );
        }
    }

    #[test]
    fn nobody_stands_without_a_name() {
        let nameless = || {
            let election = Election {
                namespace: String::new(),
                lock: locks::NAMESPACES,
                identity: String::new(),
                revision: String::new(),
                per_revision: false,
                remote: false,
            };
            Candidate::new(&election).record(None)
        };
        assert!(nameless().holder_identity.starts_with("unknown-"));
        assert_ne!(nameless().holder_identity, nameless().holder_identity);
    }

    #[test]
    fn keys_are_istiods() {
        assert_eq!(candidate("", false, false).key(), "default");
        assert_eq!(candidate("canary", false, false).key(), "canary");
        assert_eq!(candidate("canary", true, false).key(), "^canary");
        assert_eq!(candidate("canary", false, true).key(), "");
    }

    #[test]
    fn a_record_has_istiods_form() {
        let us = candidate("", false, false);
        let record = us.record(None);
        let json = serde_json::to_value(&record).unwrap();
        let mut keys: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "acquireTime",
                "holderIdentity",
                "holderKey",
                "leaderTransitions",
                "leaseDurationSeconds",
                "renewTime"
            ]
        );
        assert_eq!(json["leaseDurationSeconds"], 30);
        let back: Record = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(back.holder_identity, "us");

        let theirs = r#"{"holderIdentity":"istiod-7c","holderKey":"default","leaseDurationSeconds":30,
            "acquireTime":"2026-08-27T12:45:20Z","renewTime":"2026-08-27T12:46:20Z","leaderTransitions":4}"#;
        let theirs: Record = serde_json::from_str(theirs).unwrap();
        let ours = us.record(Some(&theirs));
        assert_eq!(ours.leader_transitions, 5);
        assert_ne!(ours.acquire_time, theirs.acquire_time);
        let renewed = us.record(Some(&ours));
        assert_eq!(renewed.leader_transitions, 5);
        assert_eq!(renewed.acquire_time, ours.acquire_time);

        let released = Record::released(&ours);
        assert_eq!(released.holder_identity, "");
        assert_eq!(released.leader_transitions, 5);
        let unused = r#"{"holderIdentity":"","acquireTime":null,"renewTime":null}"#;
        assert!(serde_json::from_str::<Record>(unused).is_ok());
    }

    #[test]
    fn a_lock_expires_by_our_clock_only() {
        let start = Instant::now();
        let mut observed = Observed::default();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(observed.see("a", start).as_secs(), 0);
        assert_eq!(observed.see("a", later(20)).as_secs(), 20);
        assert_eq!(observed.see("b", later(25)).as_secs(), 0);
        assert_eq!(observed.see("b", later(55)).as_secs(), 30);
    }
}

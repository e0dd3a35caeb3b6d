//! How many events came, for `pilot_k8s_cfg_events` and `pilot_k8s_reg_events`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::Watched;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// It is new.
    Add,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
}

impl Event {
    /// As Istio's metrics say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Add => "add",
            Event::Update => "update",
            Event::Delete => "delete",
        }
    }
}

/// Events since the start, by kind.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<(&'static str, &'static str, Event), u64>>);

impl Counts {
    pub(super) fn add(&self, kind: &Watched, event: Event) {
        // A panic elsewhere does not spoil numbers.
        let mut counts = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *counts.entry((kind.group, kind.kind, event)).or_default() += 1;
    }

    /// API group, kind, event, number; sorted.
    pub fn all(&self) -> Vec<(&'static str, &'static str, Event, u64)> {
        let counts = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        counts
            .iter()
            .map(|((group, kind, event), n)| (*group, *kind, *event, *n))
            .collect()
    }
}

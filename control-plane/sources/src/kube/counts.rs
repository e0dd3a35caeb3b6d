//! How many events came, for `pilot_k8s_cfg_events` and `pilot_k8s_reg_events`.

use std::collections::BTreeMap;

use parking_lot::Mutex;

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
        let mut counts = self.0.lock();
        *counts.entry((kind.group, kind.kind, event)).or_default() += 1;
    }

    /// All of them, by kind and event.
    pub fn all(&self) -> Vec<Count> {
        let counts = self.0.lock();
        let count = |(&(group, kind, event), &number): (&(_, _, _), &u64)| Count {
            metric: if Watched::is_of_registry(group) {
                "pilot_k8s_reg_events"
            } else {
                "pilot_k8s_cfg_events"
            },
            kind: istio_name(kind),
            event,
            number,
        };
        counts.iter().map(count).collect()
    }
}

/// How often something happened to objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Istio's metric for it.
    pub metric: &'static str,
    /// The value of its label `type`.
    pub kind: &'static str,
    /// Its label `event`.
    pub event: Event,
    /// How often.
    pub number: u64,
}

/// What Istio 1.31 calls the kinds of its registry.
fn istio_name(kind: &'static str) -> &'static str {
    match kind {
        "Service" => "Services",
        "Pod" => "Pods",
        "Node" => "Nodes",
        "Namespace" => "Namespaces",
        other => other,
    }
}

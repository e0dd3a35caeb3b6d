//! What listeners and routes wait for: that the clusters which are new with them are warm.

use std::collections::BTreeSet;

use meltemi_model::{ResourceSet, Str};

use crate::subscription::Subscription;

/// Open unless new clusters were sent to a client that serves traffic and it did not yet answer for them.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// New clusters whose endpoints the client did not ask for yet.
    awaited: BTreeSet<Str>,
    /// The cluster response that must be answered; 0: none.
    clusters: u64,
    /// The endpoint response that must be answered; 0: none.
    endpoints: u64,
}

impl Gate {
    pub(crate) fn is_open(&self) -> bool {
        self.awaited.is_empty() && self.clusters == 0 && self.endpoints == 0
    }

    /// New clusters go out in the response with this number; these of them need endpoints.
    pub(crate) fn close<'a>(&mut self, names: impl Iterator<Item = &'a Str>, nonce: u64) {
        self.awaited.extend(names.cloned());
        self.clusters = nonce;
    }

    /// Clusters were accepted, or refused: a refused one fetches no endpoints.
    pub(crate) fn clusters_answered(&mut self, nonce: u64, refused: &[Str]) {
        if nonce >= self.clusters {
            self.clusters = 0;
        }
        for name in refused {
            self.awaited.remove(name);
        }
    }

    pub(crate) fn endpoints_answered(&mut self, nonce: u64) {
        if nonce >= self.endpoints {
            self.endpoints = 0;
        }
    }

    /// Everything that this subscription names was sent.
    pub(crate) fn endpoints_sent(&mut self, subscription: &Subscription) {
        let before = self.awaited.len();
        self.awaited
            .retain(|name| !subscription.names.contains(name));
        if self.awaited.len() < before && !subscription.is_settled() {
            self.endpoints = subscription.sent_nonce;
        }
    }

    /// What is in no snapshot is not waited for.
    pub(crate) fn retain(&mut self, endpoints: &ResourceSet) {
        self.awaited
            .retain(|name| endpoints.by_name.contains_key(name));
    }
}

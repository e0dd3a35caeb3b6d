//! Counters with istiod's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Requests for keys.
#[derive(Debug, Default)]
pub struct Metrics {
    succeeded: Counter,
    failed: Counter,
}

impl Metrics {
    /// Counters at zero, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "pilot_jwks_resolver_network_fetch_success",
            "Requests for keys of tokens that succeeded",
            metrics.succeeded.clone(),
        );
        registry.register(
            "pilot_jwks_resolver_network_fetch_fail",
            "Requests for keys of tokens that failed",
            metrics.failed.clone(),
        );
        metrics
    }

    pub(super) fn count(&self, succeeded: bool) {
        let counter = if succeeded {
            &self.succeeded
        } else {
            &self.failed
        };
        counter.inc();
    }

    /// How many succeeded, and how many failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.succeeded.get(), self.failed.get())
    }
}

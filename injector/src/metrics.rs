//! The injector's metrics, under Istio's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What injection counts.
#[derive(Debug)]
pub struct Metrics {
    /// `sidecar_injection_requests_total`
    pub(crate) requests: Counter,
    /// `sidecar_injection_success_total`
    pub(crate) success: Counter,
    /// `sidecar_injection_failure_total`
    pub(crate) failure: Counter,
    /// `sidecar_injection_skip_total`
    pub(crate) skip: Counter,
    /// `sidecar_injection_time_seconds`
    pub(crate) time: Histogram,
}

impl Metrics {
    /// Metrics that a registry knows.
    pub fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        // The library appends `_total` to the names of counters.
        for (name, help, counter) in [
            (
                "sidecar_injection_requests",
                "Injection requests",
                &metrics.requests,
            ),
            (
                "sidecar_injection_success",
                "Injection requests that were answered",
                &metrics.success,
            ),
            (
                "sidecar_injection_failure",
                "Injection requests that failed",
                &metrics.failure,
            ),
            (
                "sidecar_injection_skip",
                "Injection requests for pods that are not injected",
                &metrics.skip,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "sidecar_injection_time_seconds",
            "Time that injection takes",
            metrics.time.clone(),
        );
        metrics
    }
}

impl Default for Metrics {
    /// Metrics that no registry knows.
    fn default() -> Self {
        Metrics {
            requests: Counter::default(),
            success: Counter::default(),
            failure: Counter::default(),
            skip: Counter::default(),
            // Istio's buckets begin at 0.1 s; the smaller ones are ours, since most answers take about a millisecond.
            time: Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0,
                60.0,
            ]),
        }
    }
}

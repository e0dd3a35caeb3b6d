//! Metrics of the authority, with Istio's names.
//!
//! Istio exports its counters without the suffix `_total`, which this client adds to every counter. So counters with
//! Istio's names are gauges here: `rate()` does not mind, a missing name does.

use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric as _,
};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::roots::Live;
use crate::{Clock, unix};

/// Why signing failed, by Istio's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum SignError {
    /// The request is refused.
    #[allow(non_camel_case_types)]
    CSR_ERROR,
    /// The wished lifetime is too long.
    #[allow(non_camel_case_types)]
    TTL_ERROR,
    /// Writing or signing failed.
    #[allow(non_camel_case_types)]
    CERT_GEN_ERROR,
}

/// Labels of `citadel_server_csr_sign_err_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabel {
    /// Which error.
    pub error: SignError,
}

/// The metrics of this crate.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// `citadel_server_csr_count`: requests received.
    pub requests: Gauge,
    /// `citadel_server_authentication_failure_count`.
    pub authentication_failures: Gauge,
    /// `citadel_server_csr_parsing_err_count`: requests that could not be read.
    pub unreadable: Gauge,
    /// `citadel_server_id_extraction_err_count`: callers without a usable identity.
    pub no_identity: Gauge,
    /// `citadel_server_csr_sign_err_count`.
    pub sign_errors: Family<ErrorLabel, Gauge>,
    /// `citadel_server_success_cert_issuance_count`.
    pub issued: Gauge,
    /// `meltemi_ca_requests_refused_busy`: requests that found the queue full.
    pub busy: Gauge,
    /// `meltemi_ca_signing`: requests that wait or are being signed.
    pub signing: Gauge,
}

impl Metrics {
    /// Registers all metrics. Those of the certificates' ends follow `live`, as soon as there is an authority.
    pub fn new(registry: &mut Registry, live: Arc<OnceLock<Arc<Live>>>, clock: Clock) -> Self {
        let metrics = Self::default();
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge(
            "citadel_server_csr_count",
            "The number of CSRs received",
            &metrics.requests,
        );
        gauge(
            "citadel_server_authentication_failure_count",
            "The number of authentication failures",
            &metrics.authentication_failures,
        );
        gauge(
            "citadel_server_csr_parsing_err_count",
            "The number of CSRs that could not be parsed",
            &metrics.unreadable,
        );
        gauge(
            "citadel_server_id_extraction_err_count",
            "The number of callers without a usable identity",
            &metrics.no_identity,
        );
        gauge(
            "citadel_server_success_cert_issuance_count",
            "The number of certificates issued",
            &metrics.issued,
        );
        gauge(
            "meltemi_ca_requests_refused_busy",
            "CSRs refused because too many were waiting",
            &metrics.busy,
        );
        gauge(
            "meltemi_ca_signing",
            "CSRs that wait or are being signed",
            &metrics.signing,
        );
        registry.register(
            "citadel_server_csr_sign_err_count",
            "The number of errors while signing, by kind",
            metrics.sign_errors.clone(),
        );
        registry.register_collector(Box::new(Ends { live, clock }));
        metrics
    }
}

/// When certificates end; reckoned when they are asked for.
struct Ends {
    live: Arc<OnceLock<Arc<Live>>>,
    clock: Clock,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").finish_non_exhaustive()
    }
}

impl Collector for Ends {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(live) = self.live.get() else {
            return Ok(());
        };
        let expiry = live.authority().expiry();
        let now = unix((self.clock)());
        let ends = [
            ("root_cert", Some(expiry.root)),
            ("cert_chain", expiry.chain),
        ];
        for (name, end) in ends {
            let Some(end) = end else { continue };
            let mut put = |kind: &str, help: &str, value: i64| {
                let gauge = ConstGauge::<i64>::new(value);
                let name = format!("citadel_server_{name}_expiry_{kind}");
                let encoder = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
                gauge.encode(encoder)
            };
            put(
                "timestamp",
                "When the certificate ends, in seconds since 1970",
                end,
            )?;
            put(
                "seconds",
                "The seconds until the certificate ends",
                end - now,
            )?;
        }
        Ok(())
    }
}

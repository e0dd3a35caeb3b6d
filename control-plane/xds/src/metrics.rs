//! Counters of the xDS server, with Istio's names where Istio has them, so that its dashboards work.
//!
//! Istio exports its counters without the suffix `_total`, which this client adds to every counter. So counters with
//! Istio's names are gauges here: `rate()` does not mind, a missing name does.

use std::sync::atomic::AtomicI64;

use meltemi_model::ResourceType;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A resource type as a label value: `cds`, `eds`, `lds`, `rds`, `ecds`, `nds`, `sds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeValue(ResourceType);

impl EncodeLabelValue for TypeValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = match self.0 {
            ResourceType::Cluster => "cds",
            ResourceType::Endpoint => "eds",
            ResourceType::Listener => "lds",
            ResourceType::Route => "rds",
            ResourceType::Extension => "ecds",
            ResourceType::Secret => "sds",
            ResourceType::NameTable => "nds",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

/// Labels of the metrics per type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TypeLabel {
    r#type: TypeValue,
}

impl From<ResourceType> for TypeLabel {
    fn from(ty: ResourceType) -> Self {
        Self {
            r#type: TypeValue(ty),
        }
    }
}

/// Labels of `pilot_xds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VersionLabel {
    /// The proxy's Istio version, `unknown` if it says none.
    pub version: String,
}

/// The metrics of this crate.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// `pilot_xds`: connected proxies.
    pub connected: Family<VersionLabel, Gauge>,
    /// `pilot_xds_pushes`: responses sent.
    pub pushes: Family<TypeLabel, Gauge>,
    /// `pilot_total_xds_rejects`: NACKs.
    pub rejects: Family<TypeLabel, Gauge>,
    /// `pilot_xds_cds_reject` and so on: proxies whose last response was refused, by [`ResourceType::index`].
    pub rejecting: [Gauge<i64, AtomicI64>; ResourceType::SERVED.len()],
    /// `meltemi_xds_resources_sent_total`.
    pub resources: Family<TypeLabel, Counter>,
    /// `meltemi_xds_bytes_sent_total`: encoded responses.
    pub bytes: Family<TypeLabel, Counter>,
    /// `pilot_total_xds_internal_errors`: streams that were refused or closed with an error.
    pub errors: Gauge,
}

impl Metrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "pilot_xds",
            "Number of endpoints connected to this pilot using XDS",
            metrics.connected.clone(),
        );
        registry.register(
            "pilot_xds_pushes",
            "Responses sent, by type",
            metrics.pushes.clone(),
        );
        registry.register(
            "pilot_total_xds_rejects",
            "Responses rejected by proxies, by type",
            metrics.rejects.clone(),
        );
        let rejecting = [
            "pilot_xds_cds_reject",
            "pilot_xds_eds_reject",
            "pilot_xds_lds_reject",
            "pilot_xds_rds_reject",
            "pilot_xds_ecds_reject",
            "meltemi_xds_nds_reject",
            "pilot_xds_sds_reject",
        ];
        for (name, gauge) in rejecting.into_iter().zip(&metrics.rejecting) {
            registry.register(
                name,
                "Proxies that rejected the last response of this type",
                gauge.clone(),
            );
        }
        registry.register(
            "meltemi_xds_resources_sent",
            "Resources sent, by type",
            metrics.resources.clone(),
        );
        registry.register(
            "meltemi_xds_bytes_sent",
            "Bytes of encoded responses, by type",
            metrics.bytes.clone(),
        );
        registry.register(
            "pilot_total_xds_internal_errors",
            "Streams closed with an error",
            metrics.errors.clone(),
        );
        metrics
    }
}

//! What the Kubernetes source counts, under istiod's names; they lack the `_total` of this library's counters, so they
//! are gauges.

use std::sync::Arc;

use meltemi_sources::kube::Counts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Registers `pilot_k8s_cfg_events` (Istio's kinds) and `pilot_k8s_reg_events` (Kubernetes').
pub(super) fn register(registry: &mut Registry, counts: Arc<Counts>) {
    registry.register_collector(Box::new(Counted(counts)));
}

#[derive(Debug)]
struct Counted(Arc<Counts>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.0.all();
        for (name, help) in [
            ("pilot_k8s_cfg_events", "Events from k8s config"),
            ("pilot_k8s_reg_events", "Events from k8s registry"),
        ] {
            let kind = ConstGauge::new(0_i64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for count in all.iter().filter(|count| count.metric == name) {
                let labels = [("type", count.kind), ("event", count.event.as_str())];
                ConstGauge::new(i64::try_from(count.number).unwrap_or(i64::MAX))
                    .encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

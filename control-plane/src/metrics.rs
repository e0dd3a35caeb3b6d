//! The process' own metrics: what the engine did, read when somebody asks.

use std::sync::Arc;

use meltemi_model::ResourceType;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::engine::Engine;

/// Registers them.
pub fn register(registry: &mut Registry, engine: Arc<Engine>) {
    registry.register_collector(Box::new(Engined(engine)));
}

#[derive(Debug)]
struct Engined(Arc<Engine>);

impl Collector for Engined {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (proxies, classes) = self.0.connected();
        let world = self.0.world();
        let gauges: [(&str, &str, usize); 6] = [
            (
                "pilot_services",
                "Services known",
                world.services.sorted.len(),
            ),
            (
                "pilot_virt_services",
                "VirtualServices known",
                world.store.virtual_services.len(),
            ),
            ("meltemi_proxies", "Connected proxies", proxies),
            ("meltemi_classes", "Classes of connected proxies", classes),
            (
                "meltemi_diagnostics",
                "Findings about objects",
                self.0.diagnostics().len(),
            ),
            (
                "meltemi_objects_held_back",
                "Objects held back from proxies that refuse what they come to, by class of proxies",
                self.0.held().len(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help = "Whether patches of EnvoyFilters were applied to any proxy, by filter and kind of patch";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family =
            encoder.encode_descriptor("pilot_envoy_filter_status", help, None, kind)?;
        for ((filter, patch), applied) in self.0.patches() {
            let name = format!("{}/{}", filter.namespace, filter.name);
            let labels = [("name", &*name), ("patch", patch), ("result", "applied")];
            ConstGauge::new(i64::from(applied)).encode(family.encode_family(&labels)?)?;
        }
        let revision = ConstGauge::new(i64::try_from(world.revision).unwrap_or(i64::MAX));
        let kind = revision.metric_type();
        revision.encode(encoder.encode_descriptor(
            "meltemi_revision",
            "Revision of the world",
            None,
            kind,
        )?)?;

        let counts = self.0.counts();
        let type_of = |ty: &ResourceType| [("type", ty.short().to_ascii_lowercase())];
        for (name, help, misses) in [
            (
                "meltemi_memo_lookups",
                "Inputs looked up in the memo, by type",
                false,
            ),
            (
                "meltemi_memo_misses",
                "Inputs that had to be built, by type",
                true,
            ),
        ] {
            let kind = ConstCounter::new(0_u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (ty, count) in &counts {
                let value = if misses { count.misses } else { count.lookups };
                ConstCounter::new(value).encode(family.encode_family(&type_of(ty))?)?;
            }
        }
        Ok(())
    }
}

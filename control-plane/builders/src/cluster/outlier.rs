//! Outlier detection. Istio 1.31: `applyOutlierDetection`.

use meltemi_model::traffic::OutlierDetection;
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::r#type::v3::Percent;

use crate::{duration, uint32};

/// Ejection by counts only: Istio never uses success rates.
pub(super) fn apply(cluster: &mut pb::Cluster, settings: &OutlierDetection) {
    let enforce = |count: u32| uint32(if count > 0 { 100 } else { 0 });
    let mut out = pb::OutlierDetection {
        enforcing_success_rate: Some(uint32(0)),
        consecutive_5xx: settings.consecutive_5xx_errors.map(uint32),
        enforcing_consecutive_5xx: settings.consecutive_5xx_errors.map(enforce),
        consecutive_gateway_failure: settings.consecutive_gateway_errors.map(uint32),
        enforcing_consecutive_gateway_failure: settings.consecutive_gateway_errors.map(enforce),
        interval: settings.interval.map(duration),
        base_ejection_time: settings.base_ejection_time.map(duration),
        max_ejection_percent: u32::try_from(settings.max_ejection_percent)
            .ok()
            .filter(|p| *p > 0)
            .map(uint32),
        ..Default::default()
    };
    if settings.split_external_local_origin_errors {
        out.split_external_local_origin_errors = true;
        if let Some(failures) = settings
            .consecutive_local_origin_failures
            .filter(|f| *f > 0)
        {
            out.consecutive_local_origin_failure = Some(uint32(failures));
            out.enforcing_consecutive_local_origin_failure = Some(uint32(100));
        }
        out.enforcing_local_origin_success_rate = Some(uint32(0));
    }
    cluster.outlier_detection = Some(out);
    if settings.min_health_percent >= 0 {
        // Envoy's own default of 50 % would send traffic to ejected hosts of small services.
        cluster
            .common_lb_config
            .get_or_insert_default()
            .healthy_panic_threshold = Some(Percent {
            value: f64::from(settings.min_health_percent),
        });
    }
}

//! Outlier detection.

use meltemi_api::destination_rule::OutlierDetection;

use super::{duration, number};
use crate::Findings;

/// `outlierDetection`. Istio 1.31: `validateOutlierDetection`.
pub fn outlier_detection(found: &mut Findings, at: &str, outlier: Option<&OutlierDetection>) {
    let Some(outlier) = outlier else { return };
    found.check(
        format!("{at}.baseEjectionTime"),
        duration::optional(outlier.base_ejection_time),
    );
    if outlier.consecutive_errors != 0 {
        found.warning(
            format!("{at}.consecutiveErrors"),
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors instead",
        );
    }
    let local = outlier.consecutive_local_origin_failures.unwrap_or(0) > 0;
    if !outlier.split_external_local_origin_errors && local {
        found.error(
            format!("{at}.consecutiveLocalOriginFailures"),
            "outlier detection consecutive local origin failures is specified, but split external local origin errors is set to false",
        );
    }
    found.check(
        format!("{at}.interval"),
        duration::optional(outlier.interval),
    );
    for (field, value) in [
        ("maxEjectionPercent", outlier.max_ejection_percent),
        ("minHealthPercent", outlier.min_health_percent),
    ] {
        found.check(format!("{at}.{field}"), number::percent(value));
    }
}

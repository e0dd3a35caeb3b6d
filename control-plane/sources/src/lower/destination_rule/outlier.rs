//! `outlierDetection`, of rules and the mesh.

use meltemi_api::destination_rule as api;
use meltemi_model::traffic::OutlierDetection;

use crate::lower::findings::Findings;

/// Istio 1.31: `validateOutlierDetection`.
pub(in crate::lower) fn lower(
    outlier: &api::OutlierDetection,
    path: &str,
    findings: &mut Findings,
) -> OutlierDetection {
    if outlier.consecutive_errors != 0 {
        findings.warning(
            format!("{path}.consecutiveErrors"),
            "it has no effect; write consecutive5xxErrors or consecutiveGatewayErrors",
        );
    }
    let local = outlier.consecutive_local_origin_failures.unwrap_or(0) > 0;
    if local && !outlier.split_external_local_origin_errors {
        findings.warning(
            format!("{path}.consecutiveLocalOriginFailures"),
            "it needs splitExternalLocalOriginErrors: true",
        );
    }
    if !outlier.outlier_detection_http_error_codes.is_empty() {
        findings.warning(
            format!("{path}.outlierDetectionHttpErrorCodes"),
            "it has no effect in Istio 1.31; consecutive5xxErrors and consecutiveGatewayErrors count errors",
        );
    }
    OutlierDetection {
        split_external_local_origin_errors: outlier.split_external_local_origin_errors,
        consecutive_local_origin_failures: outlier.consecutive_local_origin_failures,
        consecutive_gateway_errors: outlier.consecutive_gateway_errors,
        consecutive_5xx_errors: outlier.consecutive_5xx_errors,
        interval: findings.duration(format!("{path}.interval"), outlier.interval),
        base_ejection_time: findings.duration(
            format!("{path}.baseEjectionTime"),
            outlier.base_ejection_time,
        ),
        max_ejection_percent: percent(
            format!("{path}.maxEjectionPercent"),
            outlier.max_ejection_percent,
            findings,
        ),
        min_health_percent: percent(
            format!("{path}.minHealthPercent"),
            outlier.min_health_percent,
            findings,
        ),
    }
}

fn percent(path: String, value: i32, findings: &mut Findings) -> i32 {
    if !(0..=100).contains(&value) {
        findings.error(
            path,
            format!("{value} is not a percentage; write one from 0 to 100"),
        );
    }
    value
}

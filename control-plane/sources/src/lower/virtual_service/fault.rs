//! `http[].fault`.

use std::time::Duration;

use meltemi_api::virtual_service as api;
use meltemi_model::routing::{AbortStatus, Fault, PerMillion};
use meltemi_validation::rules::grpc::STATUSES;

use crate::lower::findings::Findings;

/// Istio 1.31: `validateHTTPFaultInjection`, `TranslateFault`.
pub(super) fn lower(
    fault: &api::HttpFaultInjection,
    path: &str,
    findings: &mut Findings,
) -> Option<Fault> {
    if fault.delay.is_none() && fault.abort.is_none() {
        findings.error(path, "the fault does nothing; write delay or abort");
    }
    let delay = fault
        .delay
        .as_ref()
        .and_then(|d| delay(d, &format!("{path}.delay"), findings));
    let abort = fault
        .abort
        .as_ref()
        .and_then(|a| abort(a, &format!("{path}.abort"), findings));
    (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort })
}

fn delay(
    delay: &api::FaultDelay,
    path: &str,
    findings: &mut Findings,
) -> Option<(PerMillion, Duration)> {
    let share = match &delay.percentage {
        Some(percentage) => findings.percent(format!("{path}.percentage.value"), percentage.value),
        // The old form: a whole number, 0 when it is not there.
        None => findings.percent(format!("{path}.percent"), f64::from(delay.percent)),
    };
    if delay.percentage.is_none() && delay.percent == 0 {
        findings.warning(
            path,
            "without a percentage nothing is delayed; write percentage: {value: 100}",
        );
    }
    if delay.exponential_delay.is_some() {
        findings.warning(
            format!("{path}.exponentialDelay"),
            "it has no effect, as in Istio; write fixedDelay",
        );
        return None;
    }
    if delay.fixed_delay.is_none() {
        findings.warning(
            format!("{path}.fixedDelay"),
            "the delay is missing, so nothing is delayed",
        );
    }
    let fixed = findings.duration(format!("{path}.fixedDelay"), delay.fixed_delay)?;
    Some((share, fixed))
}

fn abort(
    abort: &api::FaultAbort,
    path: &str,
    findings: &mut Findings,
) -> Option<(PerMillion, AbortStatus)> {
    let share = match &abort.percentage {
        Some(percentage) => findings.percent(format!("{path}.percentage.value"), percentage.value),
        None => {
            findings.warning(
                path,
                "without a percentage nothing is aborted; write percentage: {value: 100}",
            );
            PerMillion(0)
        }
    };
    if let Some(status) = abort.http_status {
        let code = u32::try_from(status)
            .ok()
            .filter(|code| (200..=599).contains(code));
        let Some(code) = code else {
            let message = format!("{status} is not an HTTP status; write one from 200 to 599");
            findings.error(format!("{path}.httpStatus"), message);
            return None;
        };
        return Some((share, AbortStatus::Http(code)));
    }
    if let Some(status) = &abort.grpc_status {
        let Some(number) = STATUSES.iter().position(|name| name == status) else {
            let message =
                format!("{status:?} is not a gRPC status; write for instance UNAVAILABLE");
            findings.error(format!("{path}.grpcStatus"), message);
            return None;
        };
        return Some((share, AbortStatus::Grpc(number as u32)));
    }
    if abort.http2_error.is_some() {
        findings.warning(
            format!("{path}.http2Error"),
            "it has no effect, as in Istio; write httpStatus or grpcStatus",
        );
    } else {
        findings.warning(
            path,
            "the abort has no status and is ignored; write httpStatus or grpcStatus",
        );
    }
    None
}

//! Faults.

use meltemi_api::virtual_service::{FaultAbort, FaultDelay, HttpFaultInjection};

use crate::Findings;
use crate::rules::{duration, grpc, number};

/// `fault`. Istio 1.31: `validateHTTPFaultInjection`, which loses the warnings of `abort`.
pub(super) fn fault(found: &mut Findings, at: &str, fault: &HttpFaultInjection) {
    if fault.abort.is_none() && fault.delay.is_none() {
        found.error(at, "HTTP fault injection must have an abort and/or a delay");
    }
    if let Some(settings) = &fault.abort {
        let mut part = Findings::default();
        abort(&mut part, &format!("{at}.abort"), settings);
        found.extend_errors(part);
    }
    if let Some(settings) = &fault.delay {
        delay(found, &format!("{at}.delay"), settings);
    }
}

/// `fault.abort`. Istio 1.31: `validateHTTPFaultInjectionAbort`.
pub fn abort(found: &mut Findings, at: &str, abort: &FaultAbort) {
    found.check(
        format!("{at}.percentage"),
        number::percentage(abort.percentage.as_ref()),
    );
    if let Some(status) = &abort.grpc_status {
        if !grpc::STATUSES.contains(&status.as_str()) {
            found.error(
                format!("{at}.grpcStatus"),
                format!(
                    "gRPC status {status:?} is not supported. See https://github.com/grpc/grpc/blob/master/doc/statuscodes.md for a list of supported codes, for example 'NOT_FOUND'"
                ),
            );
        }
    } else if abort.http2_error.is_some() {
        found.error(
            format!("{at}.http2Error"),
            "HTTP/2 abort fault injection not supported yet",
        );
    } else if let Some(status) = abort.http_status {
        found.check(
            format!("{at}.httpStatus"),
            number::http_status(status.into()),
        );
    } else {
        found.warning(at, "abort configured, but error type not set");
    }
}

/// `fault.delay`. Istio 1.31: `validateHTTPFaultInjectionDelay`.
pub fn delay(found: &mut Findings, at: &str, delay: &FaultDelay) {
    found.check(
        format!("{at}.percentage"),
        number::percentage(delay.percentage.as_ref()),
    );
    found.check(
        format!("{at}.fixedDelay"),
        duration::optional(delay.fixed_delay),
    );
    if let Some(value) = delay.exponential_delay {
        let at = format!("{at}.exponentialDelay");
        found.check(&at, duration::duration(value));
        found.error(at, "exponentialDelay not supported yet");
    }
}

//! `retries`, of routes and the mesh.

use meltemi_api::virtual_service as api;
use meltemi_model::routing::Retries;

use crate::lower::findings::Findings;

/// Conditions that Envoy's router knows besides status codes.
const CONDITIONS: &[&str] = &[
    "5xx",
    "cancelled",
    "connect-failure",
    "deadline-exceeded",
    "envoy-ratelimited",
    "gateway-error",
    "http3-post-connect-failure",
    "internal",
    "refused-stream",
    "reset",
    "reset-before-request",
    "resource-exhausted",
    "retriable-4xx",
    "retriable-headers",
    "retriable-status-codes",
    "unavailable",
];

/// Istio 1.31: `ValidateHTTPRetry`.
pub(in crate::lower) fn lower(
    retries: &api::HttpRetry,
    path: &str,
    findings: &mut Findings,
) -> Retries {
    if retries.attempts < 0 {
        let message = format!(
            "{} is negative; write 0 to turn retries off",
            retries.attempts
        );
        findings.error(format!("{path}.attempts"), message);
    }
    let says_how = retries.per_try_timeout.is_some()
        || !retries.retry_on.is_empty()
        || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && says_how {
        findings.warning(
            format!("{path}.attempts"),
            "0 attempts turn retries off; write how many there are, or remove the rest",
        );
    }
    for condition in retries
        .retry_on
        .split(',')
        .filter(|_| !retries.retry_on.is_empty())
    {
        let is_status = condition
            .parse::<u32>()
            .is_ok_and(|code| (100..=599).contains(&code));
        if !is_status && !CONDITIONS.contains(&condition) {
            let message = format!("{condition:?} is not a condition; write for instance 5xx,reset");
            findings.warning(format!("{path}.retryOn"), message);
        }
    }
    Retries {
        attempts: retries.attempts,
        per_try_timeout: findings
            .duration(format!("{path}.perTryTimeout"), retries.per_try_timeout),
        retry_on: retries.retry_on.as_str().into(),
        remote_localities: retries.retry_remote_localities,
        ignore_previous_hosts: retries.retry_ignore_previous_hosts,
        backoff: findings.duration(format!("{path}.backoff"), retries.backoff),
    }
}

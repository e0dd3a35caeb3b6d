//! Retry policies. Istio 1.31: `route/retry`.

use meltemi_model::routing::Retries;
use meltemi_proto::any;
use meltemi_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use meltemi_proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use super::wire::{duration, number, rt};

/// What is retried when nobody says: failures before the request reached the application.
const OUTBOUND: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// The application closed an idle connection while the request was under way; it never saw it.
const INBOUND: &str = "reset-before-request";
const STATUS_CODES: &str = "retriable-status-codes";
const DEFAULT_TRIES: u32 = 2;

/// The policy of a route to other workloads; `None`: no retries. With a consistent hash, a retry may go to the same
/// host again, since only that one has what the client wants.
pub(super) fn policy(retries: Option<&Retries>, consistent_hash: bool) -> Option<rt::RetryPolicy> {
    let mut out = rt::RetryPolicy {
        num_retries: Some(number(DEFAULT_TRIES)),
        retry_on: OUTBOUND.to_owned(),
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: if consistent_hash {
            Vec::new()
        } else {
            vec![previous_hosts()]
        },
        ..Default::default()
    };
    let Some(retries) = retries else {
        return Some(out);
    };
    out.num_retries = Some(number(
        u32::try_from(retries.attempts).ok().filter(|n| *n > 0)?,
    ));
    if !retries.retry_on.is_empty() {
        (out.retry_on, out.retriable_status_codes) = retry_on(&retries.retry_on);
    }
    out.per_try_timeout = retries.per_try_timeout.map(duration);
    if let Some(ignore) = retries.ignore_previous_hosts {
        out.retry_host_predicate = if ignore {
            vec![previous_hosts()]
        } else {
            Vec::new()
        };
    }
    if retries.remote_localities == Some(true) {
        out.retry_priority = Some(previous_priorities());
    }
    out.retry_back_off = retries.backoff.map(|base| rt::retry_policy::RetryBackOff {
        base_interval: Some(duration(base)),
        ..Default::default()
    });
    Some(out)
}

/// The policy of a route to the workload's own application.
pub(super) fn inbound_policy() -> rt::RetryPolicy {
    rt::RetryPolicy {
        num_retries: Some(number(DEFAULT_TRIES)),
        retry_on: INBOUND.to_owned(),
        ..Default::default()
    }
}

/// Splits conditions and status codes, which users write in one list. Istio 1.31: `parseRetryOn`.
fn retry_on(text: &str) -> (String, Vec<u32>) {
    let mut conditions = Vec::new();
    let mut codes = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part.parse::<u32>() {
            Ok(code) if is_status(code) => codes.push(code),
            _ => conditions.push(part),
        }
    }
    if !codes.is_empty() && !conditions.iter().any(|c| c.contains(STATUS_CODES)) {
        // Istio appends with a comma even where there is no condition before it.
        let joined = conditions.join(",");
        return (format!("{joined},{STATUS_CODES}"), codes);
    }
    (conditions.join(","), codes)
}

/// The status codes that have a name in Go's `net/http`.
fn is_status(code: u32) -> bool {
    matches!(code,
        100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
        | 500..=508 | 510 | 511)
}

fn previous_hosts() -> rt::retry_policy::RetryHostPredicate {
    rt::retry_policy::RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(
            rt::retry_policy::retry_host_predicate::ConfigType::TypedConfig(any::pack(
                &PreviousHostsPredicate::default(),
            )),
        ),
    }
}

fn previous_priorities() -> rt::retry_policy::RetryPriority {
    rt::retry_policy::RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".to_owned(),
        config_type: Some(rt::retry_policy::retry_priority::ConfigType::TypedConfig(
            any::pack(&PreviousPrioritiesConfig {
                update_frequency: 2,
            }),
        )),
    }
}

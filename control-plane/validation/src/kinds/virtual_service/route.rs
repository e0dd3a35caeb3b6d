//! What an HTTP route does: redirect, answer, rewrite, retry.

use meltemi_api::shared::PortSelector;
use meltemi_api::virtual_service::{
    Destination, HttpDirectResponse, HttpMatchRequest, HttpRedirect, HttpRetry, HttpRewrite,
    RegexRewrite,
};

use crate::rules::{duration, host, labels, number, port, regex};
use crate::{Check, Findings};

const KB: usize = 1024;

/// A destination that is there. Istio 1.31: `validateDestination`.
pub fn destination(found: &mut Findings, at: &str, to: &Destination) {
    let host_at = format!("{at}.host");
    if to.host == "*" {
        found.error(host_at, "invalid destination host *");
    } else {
        found.check(host_at, host::wildcard(&to.host));
    }
    if !to.subset.is_empty() {
        found.check(format!("{at}.subset"), labels::subset_name(&to.subset));
    }
    if let Some(PortSelector { number }) = to.port {
        found.check(format!("{at}.port.number"), port::port(number));
    }
}

/// `redirect`; the first mistake ends it. Istio 1.31: `validateHTTPRedirect`.
pub fn redirect(redirect: &HttpRedirect, matches: &[HttpMatchRequest]) -> Check {
    let wrong = |message: &str| Err(message.to_owned());
    let rewrites = !redirect.prefix_rewrite.is_empty();
    if !redirect.uri.is_empty() && rewrites {
        return wrong("redirect may only specify one of uri or prefix_rewrite");
    }
    let mut uris = matches.iter().filter_map(|m| m.uri.as_ref());
    if rewrites && uris.any(|uri| uri.prefix.is_none()) {
        return wrong("redirect prefix_rewrite requires all URI matches to use prefix match type");
    }
    let port_given = redirect.port.is_some() || redirect.derive_port.is_some();
    let texts = [&redirect.uri, &redirect.authority, &redirect.scheme];
    if !rewrites && !port_given && texts.into_iter().all(String::is_empty) {
        return wrong("redirect must specify URI, authority, scheme, or port");
    }
    if redirect.redirect_code != 0 && !(300..=399).contains(&redirect.redirect_code) {
        return Err(format!(
            "{} is not a valid redirect code, must be 3xx",
            redirect.redirect_code
        ));
    }
    if !matches!(&*redirect.scheme, "" | "http" | "https") {
        return wrong("invalid redirect scheme, must be \"http\" or \"https\"");
    }
    port::optional(redirect.port.unwrap_or(0))
}

/// `directResponse`. Istio 1.31: `validateHTTPDirectResponse`.
pub fn direct_response(found: &mut Findings, at: &str, response: &HttpDirectResponse) {
    if let Some(body) = &response.body {
        let text = body.string.as_ref().map_or(0, String::len);
        let bytes = body.bytes.as_ref().map_or(0, |bytes| bytes.0.len());
        let at = format!("{at}.body");
        match text.max(bytes) {
            size if size > KB * KB => found.error(
                at,
                "large direct_responses may impact control plane performance, must be less than 1MB",
            ),
            size if size > 100 * KB => found.warning(
                at,
                "large direct_responses may impact control plane performance",
            ),
            _ => {}
        }
    }
    // Istio reads the status as a number with a sign.
    let status = i64::from(response.status.cast_signed());
    found.check(format!("{at}.status"), number::http_status(status));
}

/// `rewrite`; the first mistake ends it. Istio 1.31: `validateHTTPRewrite`.
pub fn rewrite(rewrite: &HttpRewrite) -> Check {
    let wrong = |message: &str| Err(message.to_owned());
    match &rewrite.uri_regex_rewrite {
        Some(_) if !rewrite.uri.is_empty() => {
            wrong("rewrite may only contain one of URI or UriRegexRewrite")
        }
        Some(regex) => {
            uri_regex_rewrite(regex).map_err(|why| format!("UriRegexRewrite has errors\n{why}"))
        }
        None if rewrite.uri.is_empty() && rewrite.authority.is_empty() => wrong(
            "rewrite must specify at least one of URI, UriRegexRewrite, or authority. Only one of URI or UriRegexRewrite may be specified",
        ),
        None => Ok(()),
    }
}

/// `rewrite.uriRegexRewrite`. Istio 1.31: `validateURIRegexRewrite`.
pub fn uri_regex_rewrite(rewrite: &RegexRewrite) -> Check {
    if rewrite.r#match.is_empty() || rewrite.rewrite.is_empty() {
        return Err(
            "UriRegexRewrite requires both Rewrite and Match fields to be specified".to_owned(),
        );
    }
    regex::expression(&rewrite.r#match, "HTTPRewrite.UriRegexRewrite.Match")
}

/// What Envoy retries on, for HTTP and for gRPC.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// `retries`. Istio 1.31: `validateHTTPRetry`.
pub fn retries(found: &mut Findings, at: &str, retries: &HttpRetry) {
    if retries.attempts < 0 {
        found.error(format!("{at}.attempts"), "attempts cannot be negative");
    }
    let configured = retries.per_try_timeout.is_some()
        || !retries.retry_on.is_empty()
        || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && configured {
        found.error(
            at,
            "http retry policy configured when attempts are set to 0 (disabled)",
        );
    }
    found.check(
        format!("{at}.perTryTimeout"),
        duration::optional(retries.per_try_timeout),
    );
    if !retries.retry_on.is_empty() {
        for policy in retries.retry_on.split(',') {
            let status = policy.parse().is_ok_and(has_name);
            if !status && !RETRY_ON.contains(&policy) {
                found.error(
                    format!("{at}.retryOn"),
                    format!("{policy:?} is not a valid retryOn policy"),
                );
            }
        }
    }
    found.check(format!("{at}.backoff"), duration::optional(retries.backoff));
}

/// Whether Go has a name for a status (`http.StatusText`).
fn has_name(status: i64) -> bool {
    matches!(
        status,
        100..=103
            | 200..=208
            | 226
            | 300..=305
            | 307
            | 308
            | 400..=418
            | 421..=426
            | 428
            | 429
            | 431
            | 451
            | 500..=508
            | 510
            | 511
    )
}

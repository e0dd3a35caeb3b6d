//! What is done to headers.

use meltemi_api::virtual_service::{HeaderOperations, Headers, HttpRewrite};

use crate::object::{elements, entries};
use crate::rules::header;
use crate::{Check, Findings};

/// `headers` of a route or of a destination.
pub(super) fn headers(found: &mut Findings, at: &str, headers: &Headers) {
    if let Some(request) = &headers.request {
        let at = format!("{at}.request");
        operations(found, &at, request, header::request_name);
    }
    if let Some(response) = &headers.response {
        let at = format!("{at}.response");
        operations(found, &at, response, header::operation_name);
    }
}

fn operations(
    found: &mut Findings,
    at: &str,
    operations: &HeaderOperations,
    good_name: impl Fn(&str) -> Check,
) {
    for (field, headers) in [("add", &operations.add), ("set", &operations.set)] {
        for (at, name, value) in entries(&format!("{at}.{field}"), headers) {
            found.check(&at, good_name(name));
            found.check(at, header::value(value));
        }
    }
    for (at, name) in elements(&format!("{at}.remove"), &operations.remove) {
        found.check(at, header::operation_name(name));
    }
}

/// The host of a request is rewritten in one place only. Istio 1.31: `validateAuthorityRewrite`.
pub(super) fn authority(
    found: &mut Findings,
    at: &str,
    rewrite: Option<&HttpRewrite>,
    headers: Option<&Headers>,
) {
    let rewritten = rewrite.map(|rewrite| &*rewrite.authority);
    let mut current = rewritten.unwrap_or("");
    let Some(request) = headers.and_then(|headers| headers.request.as_ref()) else {
        return;
    };
    for (name, value) in request.set.iter().chain(&request.add) {
        if !header::is_authority(name) {
            continue;
        }
        if !current.is_empty() {
            found.error(
                at,
                format!(
                    "authority header cannot be set multiple times: have {current:?}, attempting to set {value:?}"
                ),
            );
            return;
        }
        current = value;
    }
}

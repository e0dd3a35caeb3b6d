//! CORS policies.

use meltemi_api::virtual_service::CorsPolicy;

use crate::Findings;
use crate::object::elements;
use crate::rules::{duration, header, string_match};

const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// `corsPolicy`. Istio 1.31: `validateCORSPolicy`.
pub fn cors_policy(found: &mut Findings, at: &str, policy: &CorsPolicy) {
    for (at, origin) in elements(&format!("{at}.allowOrigins"), &policy.allow_origins) {
        let given = [&origin.exact, &origin.prefix, &origin.regex];
        if given.into_iter().flatten().all(String::is_empty) {
            found.error(at, "'' is not a valid match type for CORS allow origins");
        } else {
            let check = string_match::regex_only(origin, "corsPolicy.allowOrigins");
            found.check(at, check);
        }
    }
    for (at, method) in elements(&format!("{at}.allowMethods"), &policy.allow_methods) {
        if !METHODS.contains(&method.as_str()) {
            found.error(at, format!("{method:?} is not a supported HTTP method"));
        }
    }
    let headers = [
        ("allowHeaders", &policy.allow_headers),
        ("exposeHeaders", &policy.expose_headers),
    ];
    for (field, names) in headers {
        for (at, name) in elements(&format!("{at}.{field}"), names) {
            found.check(at, header::cors_name(name));
        }
    }
    if let Some(age) = policy.max_age {
        let at = format!("{at}.maxAge");
        found.check(&at, duration::duration(age));
        if age.subsec_nanos() > 0 {
            found.error(at, "max_age duration is accurate only to seconds precision");
        }
    }
}

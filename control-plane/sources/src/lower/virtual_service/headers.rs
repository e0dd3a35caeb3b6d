//! `headers` of routes and destinations, and `corsPolicy`.

use std::collections::BTreeMap;

use meltemi_api::virtual_service as api;
use meltemi_model::Str;
use meltemi_model::routing::{CorsPolicy, HeaderChange, HeaderOperations, StringMatch};

use crate::lower::checks;
use crate::lower::findings::Findings;

use super::matches::string_match;

pub(super) fn lower(
    headers: Option<&api::Headers>,
    path: &str,
    findings: &mut Findings,
) -> HeaderOperations {
    let Some(headers) = headers else {
        return HeaderOperations::default();
    };
    HeaderOperations {
        request: change(
            headers.request.as_ref(),
            &format!("{path}.request"),
            true,
            findings,
        ),
        response: change(
            headers.response.as_ref(),
            &format!("{path}.response"),
            false,
            findings,
        ),
    }
}

fn change(
    operations: Option<&api::HeaderOperations>,
    path: &str,
    request: bool,
    findings: &mut Findings,
) -> HeaderChange {
    let Some(operations) = operations else {
        return HeaderChange::default();
    };
    let remove = operations.remove.iter().enumerate();
    HeaderChange {
        set: entries(&operations.set, &format!("{path}.set"), request, findings),
        add: entries(&operations.add, &format!("{path}.add"), request, findings),
        remove: remove
            .filter(|(i, name)| may_change(name, &format!("{path}.remove[{i}]"), false, findings))
            .map(|(_, name)| name.as_str().into())
            .collect(),
    }
}

fn entries(
    map: &BTreeMap<String, String>,
    path: &str,
    authority_allowed: bool,
    findings: &mut Findings,
) -> Vec<(Str, Str)> {
    let mut out = Vec::with_capacity(map.len());
    for (name, value) in map {
        let at = format!("{path}[{name:?}]");
        findings.check(&at, checks::header_value(value));
        if may_change(name, &at, authority_allowed, findings) {
            out.push((name.as_str().into(), value.as_str().into()));
        }
    }
    out
}

/// Whether a header may be changed. Envoy refuses a whole route for one that may not, so Istio 1.31 leaves such headers
/// out (`TranslateHeadersOperations`); its webhook refuses them.
fn may_change(name: &str, path: &str, authority_allowed: bool, findings: &mut Findings) -> bool {
    let authority = name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority");
    if authority && authority_allowed {
        return true;
    }
    if authority || name.starts_with(':') {
        let message =
            format!("{name:?} cannot be changed here and is left out; see rewrite.authority");
        findings.warning(path, message);
        return false;
    }
    findings.check(path, checks::header_name(name));
    true
}

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// Istio 1.31: `validateCORSPolicy`.
pub(super) fn cors(cors: &api::CorsPolicy, path: &str, findings: &mut Findings) -> CorsPolicy {
    let mut allow_origins = Vec::new();
    for (i, origin) in cors.allow_origins.iter().enumerate() {
        let at = format!("{path}.allowOrigins[{i}]");
        match string_match(origin, &at, false, findings) {
            Some(StringMatch::Exact(text)) if text.is_empty() => {
                findings.error(at, "the origin is empty")
            }
            Some(origin) => allow_origins.push(origin),
            None => findings.error(at, "write exact, prefix or regex"),
        }
    }
    // The old list is read where the new one is not there. Istio 1.31: `TranslateCORSPolicy`.
    if allow_origins.is_empty() {
        let old = cors
            .allow_origin
            .iter()
            .map(|o| StringMatch::Exact(o.as_str().into()));
        allow_origins.extend(old);
    }
    for (i, method) in cors.allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            let message = format!("{method:?} is not an HTTP method");
            findings.warning(format!("{path}.allowMethods[{i}]"), message);
        }
    }
    for (field, names) in [
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        for (i, name) in names.iter().enumerate().filter(|(_, name)| *name != "*") {
            findings.check(&format!("{path}.{field}[{i}]"), checks::header_name(name));
        }
    }
    if cors.max_age.is_some_and(|age| age.subsec_nanos() > 0) {
        findings.warning(format!("{path}.maxAge"), "write whole seconds");
    }
    let list = |names: &[String]| names.iter().map(|name| Str::from(name.as_str())).collect();
    CorsPolicy {
        allow_origins,
        allow_methods: list(&cors.allow_methods),
        allow_headers: list(&cors.allow_headers),
        expose_headers: list(&cors.expose_headers),
        max_age: findings.duration(format!("{path}.maxAge"), cors.max_age),
        allow_credentials: cors.allow_credentials,
        forward_unmatched_preflights: match cors.unmatched_preflights {
            api::UnmatchedPreflights::Unspecified => None,
            api::UnmatchedPreflights::Forward => Some(true),
            api::UnmatchedPreflights::Ignore => Some(false),
        },
    }
}

//! `http[].match[]`.

use std::collections::BTreeMap;

use meltemi_api::shared::StringMatch as ApiMatch;
use meltemi_api::virtual_service as api;
use meltemi_model::Str;
use meltemi_model::routing::{HttpMatch, StringMatch};

use crate::lower::checks;
use crate::lower::findings::Findings;
use crate::lower::meta::labels;

use super::{Scope, gateways};

const PSEUDO_HEADERS: &[&str] = &[":method", ":scheme", ":authority", ":path", ":status"];

/// The prefix of names that mean a claim of the request's token.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn lower(
    api: &api::HttpMatchRequest,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> HttpMatch {
    if !api.source_namespace.is_empty() {
        findings.check(
            &format!("{path}.sourceNamespace"),
            checks::dns_label(&api.source_namespace),
        );
    }
    let field = |m: &Option<ApiMatch>, name: &str, findings: &mut Findings| {
        let m = m.as_ref()?;
        // An empty prefix is a prefix of every path; nowhere else does Envoy accept one.
        string_match(m, &format!("{path}.{name}"), name == "uri", findings)
    };
    HttpMatch {
        name: api.name.clone(),
        uri: field(&api.uri, "uri", findings),
        ignore_uri_case: api.ignore_uri_case,
        scheme: field(&api.scheme, "scheme", findings),
        method: field(&api.method, "method", findings),
        authority: field(&api.authority, "authority", findings),
        headers: headers(&api.headers, &format!("{path}.headers"), scope, findings),
        without_headers: headers(
            &api.without_headers,
            &format!("{path}.withoutHeaders"),
            scope,
            findings,
        ),
        query_params: query_params(&api.query_params, &format!("{path}.queryParams"), findings),
        port: findings.optional_port(format!("{path}.port"), api.port),
        source_labels: labels(&api.source_labels),
        source_namespace: api.source_namespace.clone(),
        gateways: gateways(&format!("{path}.gateways"), &api.gateways, scope, findings),
        stat_prefix: api.stat_prefix.clone(),
    }
}

/// A condition; `None` when nothing is asked for but presence. Istio 1.31: `validateStringMatch`.
pub(super) fn string_match(
    api: &ApiMatch,
    path: &str,
    empty_prefix: bool,
    findings: &mut Findings,
) -> Option<StringMatch> {
    if let Some(exact) = &api.exact {
        return Some(StringMatch::Exact(exact.as_str().into()));
    }
    if let Some(prefix) = &api.prefix {
        if prefix.is_empty() && !empty_prefix {
            findings.error(
                format!("{path}.prefix"),
                "the prefix is empty; leave the condition out",
            );
        }
        return Some(StringMatch::Prefix(prefix.as_str().into()));
    }
    let regex = api.regex.as_ref()?;
    findings.check(&format!("{path}.regex"), checks::regex(regex));
    Some(StringMatch::Regex(regex.as_str().into()))
}

type Conditions = Vec<(Str, Option<StringMatch>)>;

fn headers(
    map: &BTreeMap<String, ApiMatch>,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> Conditions {
    for name in map.keys() {
        let at = format!("{path}[{name:?}]");
        if name.starts_with(CLAIMS) {
            if scope.for_sidecars_only {
                let message = "sidecars do not route by the claims of a token; name a Gateway in spec.gateways";
                findings.warning(at, message);
            }
        } else if !PSEUDO_HEADERS.contains(&name.as_str()) {
            findings.check(&at, checks::header_name(name));
        }
    }
    conditions(map, path, findings)
}

fn query_params(
    map: &BTreeMap<String, ApiMatch>,
    path: &str,
    findings: &mut Findings,
) -> Conditions {
    if map.contains_key("") {
        findings.error(path, "the name of a query parameter is empty");
    }
    conditions(map, path, findings)
}

fn conditions(map: &BTreeMap<String, ApiMatch>, path: &str, findings: &mut Findings) -> Conditions {
    map.iter()
        .map(|(name, m)| {
            // Not a regular expression, but accepted as "any value".
            let any = m.regex.as_deref() == Some("*");
            let at = format!("{path}[{name:?}]");
            let condition = if any {
                None
            } else {
                string_match(m, &at, false, findings)
            };
            (Str::from(name.as_str()), condition)
        })
        .collect()
}

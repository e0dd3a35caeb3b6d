//! security.istio.io RequestAuthentication.
//!
//! One that cannot be used is not left out: without it, headers that proxies fill from tokens would be whatever a caller
//! writes into them. In its place stands one that refuses every token.

use std::collections::BTreeSet;

use meltemi_api::request_authentication as api;
use meltemi_model::security::{JwtRule, NO_KEYS, RequestAuthentication};
use meltemi_model::{Object, Shared, Str};
use serde_json::Value;

use super::findings::Findings;
use super::meta::Raw;
use super::policy_target::{closed_target, target};

/// Claims that are lists with spaces between, whatever a rule says. Istio 1.31: `buildSpaceDelimitedClaims`.
const SPACE_DELIMITED: [&str; 2] = ["permission", "scope"];

/// Istio 1.31: `ValidateRequestAuthentication`.
pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: api::RequestAuthentication = findings.spec(raw)?;
    if findings.is_refused() {
        findings.refuse();
        return None;
    }
    for (i, rule) in spec.jwt_rules.iter().enumerate() {
        check(rule, &format!("spec.jwtRules[{i}]"), findings);
    }
    let target = target(
        spec.selector.as_ref(),
        spec.target_ref.as_ref(),
        &spec.target_refs,
        findings,
    );
    Some(Object::RequestAuthentication(Shared::new(
        RequestAuthentication {
            meta: raw.meta.clone(),
            target,
            rules: spec.jwt_rules.iter().map(lower_rule).collect(),
        },
    )))
}

/// What Envoy refuses besides, so that no listener is lost over it.
fn check(rule: &api::JwtRule, at: &str, findings: &mut Findings) {
    for (i, header) in rule.from_headers.iter().enumerate() {
        let at = format!("{at}.fromHeaders[{i}]");
        findings.check(&format!("{at}.name"), plain(&header.name));
        findings.check(&format!("{at}.prefix"), plain(&header.prefix));
    }
    let at = format!("{at}.outputPayloadToHeader");
    findings.check(&at, plain(&rule.output_payload_to_header));
}

/// Envoy: names and values of headers have no line breaks.
fn plain(text: &str) -> Result<(), String> {
    if text.contains(['\r', '\n', '\0']) {
        return Err("a header has no line breaks and no null characters; remove them".to_owned());
    }
    Ok(())
}

fn lower_rule(rule: &api::JwtRule) -> JwtRule {
    let text = |text: &String| Str::from(text.as_str());
    let texts = |list: &[String]| list.iter().map(text).collect();
    let space_delimited: BTreeSet<&str> = rule
        .space_delimited_claims
        .iter()
        .map(String::as_str)
        .chain(SPACE_DELIMITED)
        .collect();
    let headers = rule.from_headers.iter();
    let claims = rule.output_claim_to_headers.iter();
    JwtRule {
        issuer: text(&rule.issuer),
        audiences: texts(&rule.audiences),
        jwks: text(&rule.jwks),
        jwks_uri: text(&rule.jwks_uri),
        from_headers: headers.map(|h| (text(&h.name), text(&h.prefix))).collect(),
        from_params: texts(&rule.from_params),
        from_cookies: texts(&rule.from_cookies),
        forward: rule.forward_original_token,
        payload_header: text(&rule.output_payload_to_header),
        claim_headers: claims.map(|c| (text(&c.header), text(&c.claim))).collect(),
        space_delimited: space_delimited.into_iter().map(Str::from).collect(),
        timeout: rule.timeout.and_then(meltemi_api::Duration::to_std),
    }
}

/// What takes the place of a policy that cannot be used.
pub(super) fn closed(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec = raw.part("spec");
    let rules = match &spec["jwtRules"] {
        Value::Null => Vec::new(),
        Value::Array(rules) => rules.iter().map(closed_rule).collect(),
        _ => vec![closed_rule(&Value::Null)],
    };
    if rules.is_empty() {
        return None;
    }
    findings.warning(
        "spec",
        "until this is mended, requests with a token are refused at every workload that the policy may be for",
    );
    Some(Object::RequestAuthentication(Shared::new(
        RequestAuthentication {
            meta: raw.meta.clone(),
            target: closed_target(spec),
            rules,
        },
    )))
}

/// A rule that looks for tokens where another one does, refuses all of them, and lets nobody write the headers that it
/// was to fill.
fn closed_rule(rule: &Value) -> JwtRule {
    let read = meltemi_api::parse::<api::JwtRule>(rule).map(|parsed| lower_rule(&parsed.value));
    let rule = read.unwrap_or_else(|_| lower_rule(&api::JwtRule::default()));
    let is_name = |text: &Str| !text.is_empty() && plain(text).is_ok();
    let is_header = |text: &Str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let named = |list: Vec<Str>| list.into_iter().filter(is_name).collect();
    let headers = rule.from_headers.into_iter();
    let claims = rule.claim_headers.into_iter();
    JwtRule {
        jwks: NO_KEYS.into(),
        from_headers: headers
            .filter(|(name, prefix)| is_name(name) && plain(prefix).is_ok())
            .collect(),
        from_params: named(rule.from_params),
        from_cookies: named(rule.from_cookies),
        payload_header: Some(rule.payload_header)
            .filter(is_name)
            .unwrap_or_else(|| "".into()),
        claim_headers: claims
            .filter(|(header, claim)| is_header(header) && !claim.is_empty())
            .collect(),
        space_delimited: rule.space_delimited,
        ..JwtRule::default()
    }
}

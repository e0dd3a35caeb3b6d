//! RequestAuthentications. Istio 1.31: `ValidateRequestAuthentication`.

use meltemi_api::request_authentication::{JwtRule, RequestAuthentication};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::{duration, header, jwks, selector, url};

/// A RequestAuthentication.
pub fn validate(_: &Meta<'_>, policy: &RequestAuthentication) -> Findings {
    let mut found = Findings::default();
    selector::attachment(
        &mut found,
        policy.selector.as_ref(),
        policy.target_ref.as_ref(),
        &policy.target_refs,
    );
    for (at, rule) in elements("spec.jwtRules", &policy.jwt_rules) {
        jwt_rule(&mut found, &at, rule);
    }
    found
}

/// Istio 1.31: `validateJwtRule`.
fn jwt_rule(found: &mut Findings, at: &str, rule: &JwtRule) {
    not_empty(
        found,
        &format!("{at}.audiences"),
        &rule.audiences,
        "audience must be non-empty string",
    );
    if rule.issuer.is_empty() && rule.jwks_uri.is_empty() {
        found.error(at, "issuer or jwksUri must be non-empty string");
    }
    if !rule.jwks_uri.is_empty() {
        found.check(format!("{at}.jwksUri"), url::jwks_uri(&rule.jwks_uri));
    }
    if !rule.jwks.is_empty() {
        keys(found, &format!("{at}.jwks"), &rule.jwks);
    }
    for (at, location) in elements(&format!("{at}.fromHeaders"), &rule.from_headers) {
        if location.name.is_empty() {
            found.error(
                format!("{at}.name"),
                "location header name must be non-empty string",
            );
        }
    }
    not_empty(
        found,
        &format!("{at}.fromParams"),
        &rule.from_params,
        "location query must be non-empty string",
    );
    not_empty(
        found,
        &format!("{at}.fromCookies"),
        &rule.from_cookies,
        "cookie name must be non-empty string",
    );
    let claims = format!("{at}.outputClaimToHeaders");
    for (at, claim) in elements(&claims, &rule.output_claim_to_headers) {
        if claim.claim.is_empty() || claim.header.is_empty() {
            found.error(
                at,
                "outputClaimToHeaders header and claim value must be non-empty string",
            );
        } else {
            found.check(format!("{at}.header"), header::strict_name(&claim.header));
        }
    }
    found.check(format!("{at}.timeout"), duration::optional(rule.timeout));
}

fn not_empty(found: &mut Findings, at: &str, values: &[String], message: &str) {
    for (at, value) in elements(at, values) {
        if value.is_empty() {
            found.error(at, message);
        }
    }
}

/// Keys; private ones are none of the proxies' business. Istio 1.31: `warnPrivateJwksKeys`.
fn keys(found: &mut Findings, at: &str, text: &str) {
    match jwks::key_set(text) {
        Err(message) => found.error(at, message),
        Ok(private) => {
            for (i, _) in private.iter().enumerate().filter(|(_, private)| **private) {
                found.warning(
                    at,
                    format!(
                        "jwks key at index {i} contains private key material; only public keys are used for verification"
                    ),
                );
            }
        }
    }
}

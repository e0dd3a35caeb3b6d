use std::time::Duration;

use meltemi_model::Object;
use meltemi_model::security::{JwtRule, NO_KEYS, RequestAuthentication};
use meltemi_model::testing::labels;

use super::{get, lowered, warned, words};

const KEYS: &str = r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"AQAB"}]}"#;

fn policy(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

#[test]
fn every_field_of_a_rule_is_read() {
    let found = get!(
        RequestAuthentication,
        policy(&format!(
            "selector: {{matchLabels: {{app: a}}}}\njwtRules:\n- issuer: i\n  audiences: [x, y]\n  jwks: '{KEYS}'\n  \
             fromHeaders: [{{name: x-jwt, prefix: 'Token '}}, {{name: x-raw}}]\n  fromParams: [t]\n  fromCookies: [c]\n  \
             forwardOriginalToken: true\n  outputPayloadToHeader: x-payload\n  \
             outputClaimToHeaders: [{{header: x-sub, claim: sub}}]\n  timeout: 9s\n  spaceDelimitedClaims: [roles, scope]\n\
             - issuer: j\n  jwksUri: https://j/keys"
        ))
    );
    assert_eq!(found.target.selector, labels("app=a"));
    assert_eq!(found.target.gateways, None);
    let first = JwtRule {
        issuer: "i".into(),
        audiences: vec!["x".into(), "y".into()],
        jwks: KEYS.into(),
        jwks_uri: "".into(),
        from_headers: vec![
            ("x-jwt".into(), "Token ".into()),
            ("x-raw".into(), "".into()),
        ],
        from_params: vec!["t".into()],
        from_cookies: vec!["c".into()],
        forward: true,
        payload_header: "x-payload".into(),
        claim_headers: vec![("x-sub".into(), "sub".into())],
        space_delimited: vec!["permission".into(), "roles".into(), "scope".into()],
        timeout: Some(Duration::from_secs(9)),
    };
    let second = JwtRule {
        issuer: "j".into(),
        jwks_uri: "https://j/keys".into(),
        space_delimited: vec!["permission".into(), "scope".into()],
        ..JwtRule::default()
    };
    assert_eq!(found.rules, [first, second]);
    assert_eq!(found.rules[1].timeout(), Duration::from_secs(5));
}

#[test]
fn policies_attach_to_gateways_only() {
    let gateway = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}";
    let service = "{kind: Service, name: a}";
    for (refs, want, says) in [
        (format!("targetRef: {gateway}"), vec!["edge"], ""),
        (format!("targetRefs: [{gateway}]"), vec!["edge"], ""),
        (
            format!("targetRefs: [{service}, {gateway}]"),
            vec!["edge"],
            "spec.targetRefs[0]",
        ),
        (
            format!("targetRef: {service}"),
            vec![],
            "a policy for a Service is one for waypoints",
        ),
    ] {
        let text = policy(&format!("{refs}\njwtRules: [{{issuer: i}}]"));
        let (object, said) = warned(&text);
        let Some(Object::RequestAuthentication(found)) = object else {
            panic!("{refs}: {said}");
        };
        let names: Vec<&str> = found
            .target
            .gateways
            .iter()
            .flatten()
            .map(|n| &**n)
            .collect();
        assert_eq!(names, want, "{refs}");
        assert!(found.target.gateways.is_some(), "{refs}");
        assert!(
            said.contains(says) && said.is_empty() == says.is_empty(),
            "{said}"
        );
    }
}

/// What stands in the place of a policy that cannot be used, and what is said.
fn closed(spec: &str) -> (Option<RequestAuthentication>, String) {
    let lowered = lowered(&policy(spec));
    let said = words(&lowered.diagnostics);
    match lowered.object {
        Some(Object::RequestAuthentication(found)) => (Some((*found).clone()), said),
        None => (None, said),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_with_a_mistake_refuses_tokens_at_the_same_places() {
    for (rule, at) in [
        ("jwks: none", "spec.jwtRules[0].jwks"),
        ("jwksUri: 'ftp://a'", "spec.jwtRules[0].jwksUri"),
        ("audiences: ['']", "spec.jwtRules[0].audiences"),
        ("fromParams: ['']", "spec.jwtRules[0].fromParams"),
        ("timeout: -1s", "spec.jwtRules[0].timeout"),
        (
            "fromCookies: [c]\n  outputPayloadToHeader: \"x\\ny\"",
            "spec.jwtRules[0].outputPayloadToHeader",
        ),
    ] {
        let spec = format!(
            "selector: {{matchLabels: {{app: a}}}}\njwtRules:\n- issuer: i\n  fromHeaders: [{{name: x-jwt}}]\n  \
             outputClaimToHeaders: [{{header: x-sub, claim: sub}}]\n  {rule}"
        );
        let (found, said) = closed(&spec);
        let found = found.unwrap_or_else(|| panic!("{rule}: it disappeared: {said}"));
        assert!(said.contains(at), "{rule}: {said}");
        assert!(said.contains("requests with a token are refused"), "{said}");
        assert_eq!(found.target.selector, labels("app=a"), "{rule}");
        let [only] = &found.rules[..] else {
            panic!("{rule}: {:?}", found.rules);
        };
        assert_eq!((&*only.jwks, &*only.issuer), (NO_KEYS, ""), "{rule}");
        assert!(only.source().is_none(), "{rule}");
        assert_eq!(only.from_headers, [("x-jwt".into(), "".into())], "{rule}");
        assert_eq!(
            only.claim_headers,
            [("x-sub".into(), "sub".into())],
            "{rule}"
        );
        assert_eq!(&*only.payload_header, "", "{rule}");
    }
}

#[test]
fn what_cannot_be_read_is_closed_for_all_that_it_may_be_for() {
    let (found, said) = closed("selector: {matchLabels: {app: 1}}\njwtRules: {issuer: i}");
    let found = found.unwrap_or_else(|| panic!("it disappeared: {said}"));
    assert!(found.target.selector.is_empty());
    assert_eq!(found.rules.len(), 1);
    // Without rules there is nothing to refuse.
    let nothing = "selector: {matchLabels: {'': x}}\njwtRules: []";
    assert!(closed(nothing).0.is_none());
    let two = "selector: {matchLabels: {a: b}}\ntargetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: g}\n\
               jwtRules: [{issuer: i}]";
    let found = closed(two).0.expect("a policy");
    let names: Vec<&str> = found
        .target
        .gateways
        .iter()
        .flatten()
        .map(|n| &**n)
        .collect();
    assert_eq!(names, ["g"]);
}

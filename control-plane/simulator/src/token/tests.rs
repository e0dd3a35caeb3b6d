use std::collections::HashMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3::DataSource;
use meltemi_proto::envoy::config::route::v3::{RouteMatch, route_match::PathSpecifier};
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::{
    JwtClaimToHeader, JwtHeader, JwtRequirementAndList, JwtRequirementOrList, RequirementRule,
};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

use super::*;
use crate::call::{Call, Protocol};
use crate::http::{Arrival, arrive};

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key")
}

fn keys(seed: u8) -> String {
    let x = URL_SAFE_NO_PAD.encode(key(seed).public_key().as_ref());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string()
}

fn token(seed: u8, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(claims));
    let signature = key(seed).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn provider(issuer: &str, seed: u8) -> JwtProvider {
    JwtProvider {
        issuer: issuer.to_owned(),
        payload_in_metadata: "payload".to_owned(),
        clear_route_cache: true,
        jwks_source_specifier: Some(JwksSourceSpecifier::LocalJwks(DataSource {
            specifier: Some(Specifier::InlineString(keys(seed))),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn requires(of: RequiresType) -> JwtRequirement {
    JwtRequirement {
        requires_type: Some(of),
    }
}

fn any(requirements: Vec<JwtRequirement>) -> JwtRequirement {
    requires(RequiresType::RequiresAny(JwtRequirementOrList {
        requirements,
    }))
}

/// As Istio composes them.
fn manager(providers: Vec<JwtProvider>) -> HttpConnectionManager {
    let names: Vec<String> = (0..providers.len()).map(|i| i.to_string()).collect();
    let of = |name: &String| requires(RequiresType::ProviderName(name.clone()));
    let or_none = |name: &String| {
        let missing = requires(RequiresType::AllowMissing(Default::default()));
        any(vec![of(name), missing])
    };
    let requirements = names.iter().map(or_none).collect();
    let all = RequiresType::RequiresAll(JwtRequirementAndList { requirements });
    let mut either: Vec<_> = names.iter().map(of).collect();
    either.push(requires(all));
    let config = JwtAuthentication {
        providers: names.into_iter().zip(providers).collect::<HashMap<_, _>>(),
        rules: vec![RequirementRule {
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
                ..Default::default()
            }),
            requirement_type: Some(RequirementType::Requires(any(either))),
        }],
        bypass_cors_preflight: true,
        ..Default::default()
    };
    HttpConnectionManager {
        http_filters: vec![HttpFilter {
            name: FILTER.to_owned(),
            config_type: Some(ConfigType::TypedConfig(pack(&config))),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn request(manager: &HttpConnectionManager, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter();
    let call = Call {
        protocol: Protocol::Http1,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Call::to("10.0.0.1", 80)
    };
    match arrive(manager, &call, false) {
        Ok(Arrival::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// The reason for a refusal; empty: none.
fn refused(manager: &HttpConnectionManager, headers: &[(&str, &str)]) -> String {
    let mut request = request(manager, headers);
    match authenticate(manager, &mut request, Some(1000)) {
        Ok(_) => String::new(),
        Err(miss) => {
            assert_eq!(miss.status, Some(401));
            miss.why
        }
    }
}

#[test]
fn tokens_are_good_or_refused_in_envoys_words() {
    let two = || vec![provider("a", 1), provider("b", 2)];
    let good = |claims: Value| token(1, &claims);
    for (token, one, several) in [
        (good(json!({"iss": "a"})), "", ""),
        (
            "nothing".to_owned(),
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "e30.e30.e30".to_owned(),
            "Jwt header is an invalid Base64url encoded or JSON",
            "Jwt header is an invalid Base64url encoded or JSON",
        ),
        (
            token(2, &json!({"iss": "a"})),
            "Jwt verification fails",
            "Jwt verification fails",
        ),
        (
            token(2, &json!({"iss": "b"})),
            "Jwt issuer is not configured",
            "",
        ),
        (
            good(json!({"iss": "c"})),
            "Jwt issuer is not configured",
            "Jwt issuer is not configured",
        ),
        (
            good(json!({"iss": "a", "exp": 900})),
            "Jwt is expired",
            "Jwt is expired",
        ),
        (good(json!({"iss": "a", "exp": 950})), "", ""),
        (
            good(json!({"iss": "a", "nbf": 1100})),
            "Jwt not yet valid",
            "Jwt not yet valid",
        ),
    ] {
        let header = format!("Bearer {token}");
        let headers = [("Authorization", header.as_str())];
        let alone = manager(vec![provider("a", 1)]);
        assert_eq!(refused(&alone, &headers), one, "{token}");
        assert_eq!(refused(&manager(two()), &headers), several, "{token}");
    }
    assert_eq!(refused(&manager(two()), &[]), "", "no token");
}

#[test]
fn audiences_need_no_scheme() {
    let wanted = JwtProvider {
        audiences: vec!["https://shop/".to_owned()],
        ..provider("a", 1)
    };
    let manager = manager(vec![wanted]);
    for (audience, good) in [
        (json!("shop"), true),
        (json!(["x", "http://shop"]), true),
        (json!("bank"), false),
        (Value::Null, false),
    ] {
        let header = format!("Bearer {}", token(1, &json!({"iss": "a", "aud": audience})));
        let why = refused(&manager, &[("authorization", &header)]);
        assert_eq!(why.is_empty(), good, "{audience}: {why}");
    }
}

#[test]
fn headers_are_filled_by_the_filter_only() {
    let claim = |header: &str, claim: &str| JwtClaimToHeader {
        header_name: header.to_owned(),
        claim_name: claim.to_owned(),
        ..Default::default()
    };
    let wanted = JwtProvider {
        from_headers: vec![JwtHeader {
            name: "x-jwt".to_owned(),
            value_prefix: String::new(),
        }],
        forward_payload_header: "x-payload".to_owned(),
        claim_to_headers: vec![
            claim("x-sub", "sub"),
            claim("x-deep", "a.b"),
            claim("x-no", "no"),
        ],
        ..provider("a", 1)
    };
    let manager = manager(vec![wanted]);
    let token = token(1, &json!({"iss": "a", "sub": "me", "a": {"b": 7}}));
    let headers = [
        ("x-jwt", token.as_str()),
        ("x-sub", "forged"),
        ("x-no", "forged"),
    ];
    let mut arrived = request(&manager, &headers);
    let done = authenticate(&manager, &mut arrived, None);
    let done = done.ok().flatten().expect("a good token");
    assert!(done.clears_route && done.metadata.is_some());
    let shown = |name: &str| arrived.header(name);
    assert_eq!(shown("x-sub").as_deref(), Some("me"));
    assert_eq!(shown("x-deep").as_deref(), Some("7"));
    assert_eq!(shown("x-payload").as_deref(), token.split('.').nth(1));
    assert_eq!((shown("x-no"), shown("x-jwt")), (None, None));
}

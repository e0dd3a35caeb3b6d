use meltemi_model::security::JwtRule;
use meltemi_proto::pool::message_to_json;
use serde_json::{Value, json};

use super::*;

const FILTER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter";

fn provider(issuer: &str, keys: Keys) -> Shared<JwtProvider> {
    let rule = JwtRule {
        issuer: issuer.into(),
        ..JwtRule::default()
    };
    Shared::new(JwtProvider { rule, keys })
}

fn built(providers: Vec<Shared<JwtProvider>>, clear_route_cache: bool) -> Value {
    let filter = filter(&Authentication {
        providers,
        clear_route_cache,
    });
    let bytes = meltemi_proto::encode(&filter);
    message_to_json(FILTER, &bytes).expect("a filter")["typed_config"].take()
}

fn inline(text: &str) -> Keys {
    Keys::Inline(text.into())
}

fn or_none(name: &str) -> Value {
    json!({"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}})
}

#[test]
fn one_issuer_takes_its_tokens_or_none() {
    let built = built(vec![provider("a", inline("{}"))], false);
    let want = json!([{"match": {"prefix": "/"}, "requires": or_none("origins-0")}]);
    assert_eq!(built["rules"], want);
    assert_eq!(built["bypass_cors_preflight"], true);
    assert_eq!(
        built["providers"]["origins-0"]["clear_route_cache"],
        Value::Null
    );
}

#[test]
fn several_issuers_take_a_token_of_one_of_them_or_none() {
    let issuers = ["a", "b"].map(|issuer| provider(issuer, inline("{}")));
    let built = built(issuers.into(), true);
    let all =
        json!({"requires_all": {"requirements": [or_none("origins-0"), or_none("origins-1")]}});
    let want = json!([
        {"provider_name": "origins-0"}, {"provider_name": "origins-1"}, all
    ]);
    assert_eq!(
        built["rules"][0]["requires"]["requires_any"]["requirements"],
        want
    );
    assert_eq!(built["providers"]["origins-1"]["issuer"], "b");
    assert_eq!(built["providers"]["origins-1"]["clear_route_cache"], true);
}

#[test]
fn keys_are_sent_or_fetched_by_the_proxy() {
    let remote = Keys::Remote {
        uri: "http://a/keys".into(),
        cluster: "outbound|80||a".into(),
    };
    let built = built(
        vec![provider("a", inline("{1}")), provider("b", remote)],
        false,
    );
    let first = &built["providers"]["origins-0"];
    assert_eq!(first["local_jwks"], json!({"inline_string": "{1}"}));
    let want = json!({
        "http_uri": {"uri": "http://a/keys", "cluster": "outbound|80||a", "timeout": "5s"},
        "cache_duration": "300s",
    });
    assert_eq!(built["providers"]["origins-1"]["remote_jwks"], want);
}

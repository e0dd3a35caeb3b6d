use meltemi_model::security::{FetchedKeys, PolicyTarget};
use meltemi_model::testing::{meta, peer_authentication};
use meltemi_model::{Kind, Shared};

use super::*;

fn policy(name: &str, rules: &[(&str, &str)]) -> Change {
    let rules = rules.iter().map(|(uri, jwks)| JwtRule {
        issuer: "https://issuer".into(),
        jwks_uri: (*uri).into(),
        jwks: (*jwks).into(),
        ..JwtRule::default()
    });
    let policy = RequestAuthentication {
        meta: meta(Kind::RequestAuthentication, "ns", name),
        target: PolicyTarget::default(),
        rules: rules.collect(),
    };
    Change::Apply(policy.into())
}

fn names(changes: &[Change]) -> Vec<String> {
    let key = |change: &Change| match change {
        Change::Apply(object) => object.key().name.to_string(),
        Change::Delete(key) => format!("{}-", key.name),
    };
    changes.iter().map(key).collect()
}

fn patience(fetch: JwksFetch) -> (Patience, mpsc::Receiver<Ask>) {
    let (asks, asked) = mpsc::channel(8);
    (Patience::new(fetch, asks), asked)
}

#[test]
fn policies_wait_for_one_attempt_and_nothing_else_does() {
    let (mut patience, mut asked) = patience(JwksFetch::ControlPlane);
    let store = Store::default();
    let changes = vec![
        policy("two", &[("http://a", ""), ("http://b", "")]),
        policy("one", &[("http://a", "")]),
        policy("inline", &[("", "{}")]),
        Change::Apply(peer_authentication("ns", "other", "", None).into()),
    ];
    let now = patience.hold_back(changes, &store);
    assert_eq!(names(&now), ["inline", "other"]);
    assert!(!patience.is_idle());
    let mut asks = Vec::new();
    while let Ok((source, timeout)) = asked.try_recv() {
        assert_eq!(timeout, Duration::from_secs(5));
        asks.push(source.to_string());
    }
    assert_eq!(asks, ["http://a", "http://b"]);
    let a = KeySource::Uri("http://a".into()).key();
    let b = KeySource::Uri("http://b".into()).key();
    assert_eq!(names(&patience.told([&a].into_iter())), ["one"]);
    assert_eq!(names(&patience.told([&b].into_iter())), ["two"]);
    assert!(patience.is_idle());
}

#[test]
fn nobody_waits_for_long() {
    let (mut patience, _asked) = patience(JwksFetch::ControlPlane);
    let policy = policy("one", &[("http://a", "")]);
    assert!(patience.hold_back([policy], &Store::default()).is_empty());
    let until = patience.waiting.values().map(|waiting| waiting.until).min();
    let until = until.unwrap();
    assert!(until <= Instant::now() + LONGEST);
    let before = until.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(patience.overdue(before).is_empty());
    assert_eq!(names(&patience.overdue(until)), ["one"]);
    assert!(patience.is_idle());
}

#[test]
fn the_last_word_on_a_policy_counts() {
    let (mut patience, _asked) = patience(JwksFetch::ControlPlane);
    let store = Store::default();
    let waits = policy("one", &[("http://a", "")]);
    assert!(patience.hold_back([waits], &store).is_empty());
    let key = ObjectKey::new(Kind::RequestAuthentication, "ns", "one");
    let gone = patience.hold_back([Change::Delete(key)], &store);
    assert_eq!(names(&gone), ["one-"]);
    let a = KeySource::Uri("http://a".into()).key();
    assert!(patience.told([&a].into_iter()).is_empty());
}

#[test]
fn who_has_been_asked_is_not_waited_for_nor_whom_proxies_ask() {
    let a = KeySource::Uri("http://a".into()).key();
    let mut store = Store::default();
    let failed = Shared::new(FetchedKeys {
        keys: None,
        problem: "down".into(),
    });
    store.apply([Change::Apply(Object::Jwks(a, failed))]);
    let waits = || policy("one", &[("http://a", "")]);
    let (mut known, _asked) = patience(JwksFetch::ControlPlane);
    assert_eq!(names(&known.hold_back([waits()], &store)), ["one"]);
    let (mut by_proxies, _asked) = patience(JwksFetch::Envoy);
    let none = Store::default();
    assert_eq!(names(&by_proxies.hold_back([waits()], &none)), ["one"]);
}

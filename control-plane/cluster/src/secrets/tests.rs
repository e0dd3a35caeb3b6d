use meltemi_fake_api::{Fault, On, Verb};
use serde_json::json;

use super::*;
use crate::testing::api;

fn secret(value: &str) -> Secret {
    Secret {
        namespace: "istio-system".into(),
        name: "istio-ca-secret".into(),
        kind: CA_ROOT.into(),
        data: BTreeMap::from([
            ("ca-key.pem".into(), value.as_bytes().to_vec()),
            ("key.pem".into(), Vec::new()),
        ]),
        version: String::new(),
    }
}

#[tokio::test]
async fn one_replica_creates_and_the_others_read() {
    let (api, client) = api().await;
    let read_before = read(&client, "istio-system", "istio-ca-secret").await;
    assert!(
        matches!(read_before, Err(ApiError::NotFound(_))),
        "{read_before:?}"
    );
    let created = create(&client, &secret("one")).await.unwrap();
    assert_eq!(
        create(&client, &secret("two")).await,
        Err(ApiError::AlreadyExists)
    );
    let found = read(&client, "istio-system", "istio-ca-secret")
        .await
        .unwrap();
    assert_eq!(found, created);
    assert_eq!(found.data["ca-key.pem"], b"one");
    assert_eq!(found.data["key.pem"], b"");
    let stored = api
        .get("secrets", "istio-system", "istio-ca-secret")
        .unwrap();
    assert_eq!(stored["type"], "istio.io/ca-root");
    assert_eq!(stored["data"]["ca-key.pem"], "b25l");
}

#[tokio::test]
async fn an_update_replaces_the_version_that_was_read_only() {
    let (api, client) = api().await;
    api.apply(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "istio.io/ca-root",
        "metadata": {"namespace": "istio-system", "name": "istio-ca-secret", "labels": {"kept": "yes"}},
        "data": {"ca-key.pem": "b25l"},
    }));
    let first = read(&client, "istio-system", "istio-ca-secret")
        .await
        .unwrap();
    let mut ours = first.clone();
    ours.data.insert("ca-key.pem".into(), b"two".to_vec());
    let second = update(&client, &ours).await.unwrap();
    assert_ne!(second.version, first.version);
    assert_eq!(update(&client, &ours).await, Err(ApiError::Conflict));
    let stored = api
        .get("secrets", "istio-system", "istio-ca-secret")
        .unwrap();
    assert_eq!(stored["data"]["ca-key.pem"], "dHdv");
    assert_eq!(stored["metadata"]["labels"]["kept"], "yes");
    // Between our look and our write somebody else writes.
    let conflict = meltemi_fake_api::Refusal::new(409, "the object has been modified");
    api.fault(On::verb(Verb::Update), Fault::Refuse(conflict), 1);
    assert_eq!(update(&client, &second).await, Err(ApiError::Conflict));
    api.delete("secrets", "istio-system", "istio-ca-secret");
    let gone = update(&client, &second).await;
    assert!(matches!(gone, Err(ApiError::NotFound(_))), "{gone:?}");
}

#[tokio::test]
async fn nothing_shows_what_a_secret_holds() {
    let (api, client) = api().await;
    let shown = format!("{:?}", secret("hidden"));
    assert!(
        !shown.contains("hidden") && !shown.contains("104"),
        "{shown}"
    );
    assert!(shown.contains("\"ca-key.pem\": 6"), "{shown}");
    // An object that does not have the form of a Secret: the decoder's sentence would quote it.
    api.apply(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": "istio-system", "name": "istio-ca-secret"},
        "data": "aGlkZGVu",
    }));
    let error = read(&client, "istio-system", "istio-ca-secret")
        .await
        .unwrap_err();
    assert_eq!(error, ApiError::Unreadable);
    assert!(!format!("{error:?} {error}").contains("aGlkZGVu"));
}

#[tokio::test]
async fn an_outage_is_not_an_absent_secret() {
    let (api, client) = api().await;
    api.fault(On::all(), Fault::internal(), 1);
    let busy = read(&client, "istio-system", "a").await.unwrap_err();
    assert!(busy.is_outage(), "{busy:?}");
    api.go_down();
    let down = read(&client, "istio-system", "a").await.unwrap_err();
    assert!(matches!(down, ApiError::Unreachable(_)), "{down:?}");
    api.come_back();
    api.fault(On::all(), Fault::forbidden(), 1);
    let forbidden = read(&client, "istio-system", "a").await.unwrap_err();
    assert!(matches!(forbidden, ApiError::Forbidden(_)), "{forbidden:?}");
    assert!(!forbidden.is_outage());
}

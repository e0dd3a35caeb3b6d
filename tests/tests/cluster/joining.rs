//! The way of an agent: from the root in its namespace to a certificate and configuration; and what the control plane
//! leaves in its cluster.

use meltemi_fake_api::Verb;
use serde_json::json;

use crate::agent::{Agent, certificates, csr, root};
use crate::site::{SYSTEM, Site, api, get};

#[tokio::test]
async fn an_agent_gets_certificate_and_configuration() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();

    let agent = Agent::new(address, &api, Some("default/sleep"));
    let (key, csr) = csr();
    let chain = agent.certificate(&csr).await.unwrap();
    assert_eq!(chain.len(), 2, "leaf and root");
    assert_eq!(chain[1], root(&api, "default"));

    let answer = agent.clusters("default", "sleep").await.unwrap();
    let names: Vec<&str> = answer.resources.iter().map(|r| r.name.as_str()).collect();
    assert!(
        names.contains(&"outbound|80||echo.default.svc.cluster.local"),
        "{names:?}"
    );

    // With its certificate it needs no token any more.
    let proven = Agent::new(address, &api, None).showing(&chain[0], &key);
    proven.clusters("default", "sleep").await.unwrap();
    site.stop().await;
}

#[tokio::test]
async fn plain_text_is_served_without_identities() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let (status, page) = get(site.addresses.http.unwrap(), "/debug/syncz").await;
    assert_eq!((status, page.trim()), (200, "[]"), "this machine may look");
    let (_, metrics) = get(site.addresses.monitoring.unwrap(), "/metrics").await;
    for name in [
        "pilot_k8s_reg_events{type=\"Services\",event=\"add\"} 1",
        "citadel_server_root_cert_expiry_timestamp",
        "citadel_server_csr_count 0",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    site.stop().await;
}

#[tokio::test]
async fn every_namespace_gets_the_root_and_a_new_one_too() {
    let api = api().await;
    let site = Site::ready(&api).await;
    for namespace in [SYSTEM, "kube-system"] {
        api.until("configmaps", namespace, "istio-ca-root-cert", |found| {
            found.is_some()
        })
        .await;
    }
    api.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}}));
    api.until("configmaps", "late", "istio-ca-root-cert", |found| {
        found.is_some_and(|map| map["metadata"]["labels"]["istio.io/config"] == "true")
    })
    .await;
    assert_eq!(root(&api, "late"), root(&api, SYSTEM));
    assert_eq!(
        api.get("configmaps", "kube-public", "istio-ca-root-cert"),
        None
    );
    site.stop().await;
}

/// What istiod left is taken over: its key is never made anew, so running workloads keep their trust.
#[tokio::test]
async fn the_key_survives_restarts_and_is_shared_by_replicas() {
    let api = api().await;
    let first = Site::ready(&api).await;
    let before = root(&api, "default");
    let second = Site::start(&api, "istiod-2").await;
    second.becomes(200).await;
    for site in [&first, &second] {
        let agent = Agent::new(
            site.addresses.secure_grpc.unwrap(),
            &api,
            Some("default/sleep"),
        );
        let chain = agent.certificate(&csr().1).await.unwrap();
        assert_eq!(chain[1], before);
    }
    first.stop().await;
    second.stop().await;

    let third = Site::ready(&api).await;
    assert_eq!(root(&api, "default"), before);
    assert_eq!(api.count(Verb::Create, "secrets"), 1);
    let secret = api.get("secrets", SYSTEM, "istio-ca-secret").unwrap();
    assert_eq!(secret["type"], "istio.io/ca-root");
    third.stop().await;
}

#[tokio::test]
async fn another_trust_domain_needs_a_new_start() {
    let api = api().await;
    let site = Site::ready(&api).await;
    api.apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": SYSTEM},
        "data": {"mesh": "trustDomain: example.org\n"},
    }));
    let message = format!("{:#}", site.ended().await);
    assert!(
        message.contains("from cluster.local to example.org"),
        "{message}"
    );
    let site = Site::ready(&api).await;
    let agent = Agent::new(
        site.addresses.secure_grpc.unwrap(),
        &api,
        Some("default/sleep"),
    );
    let chain = agent.certificate(&csr().1).await.unwrap();
    let leaf = certificates(&chain[0]).remove(0);
    let name = b"spiffe://example.org/ns/default/sa/sleep";
    assert!(leaf.windows(name.len()).any(|part| part == name));
    site.stop().await;
}

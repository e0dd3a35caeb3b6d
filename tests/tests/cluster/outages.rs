//! The API server goes away.

use std::time::{Duration, Instant};

use meltemi_fake_api::Verb;
use serde_json::json;

use crate::agent::{Agent, csr};
use crate::site::{PATIENCE, Site, api};

#[tokio::test]
async fn nothing_is_served_before_the_first_lists_and_everything_after() {
    let api = api().await;
    api.go_down();
    let site = Site::start(&api, "istiod-1").await;
    site.becomes(503).await;
    api.come_back();
    site.becomes(200).await;
    assert!(api.count(Verb::List, "services") >= 1 || api.count(Verb::Watch, "services") >= 1);
    site.stop().await;
}

/// I10: a source that goes away keeps the last good state; what changed meanwhile is there when it returns.
#[tokio::test]
async fn the_last_good_state_is_served_while_the_api_server_is_away() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    let (key, csr) = csr();
    let token = Agent::new(address, &api, Some("default/sleep"));
    let chain = token.certificate(&csr).await.unwrap();
    api.go_down();
    // A token could not be reviewed now; a certificate needs nobody.
    let agent = Agent::new(address, &api, None).showing(&chain[0], &key);
    let answer = agent.clusters("default", "sleep").await.unwrap();
    let echo = "outbound|80||echo.default.svc.cluster.local";
    assert!(answer.resources.iter().any(|r| r.name == echo));
    api.apply(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "late", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"], "ports": [{"name": "http", "port": 80}]},
    }));
    api.come_back();
    let late = "outbound|80||late.default.svc.cluster.local";
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "{late} does not come");
        let answer = agent.clusters("default", "sleep").await.unwrap();
        if answer.resources.iter().any(|r| r.name == late) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.stop().await;
}

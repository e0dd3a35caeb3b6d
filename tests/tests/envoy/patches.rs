//! What EnvoyFilters patch in takes effect on requests, and patches that cannot be used harm nothing.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use meltemi_tests::golden::cases;
use meltemi_tests::shared::skipped;
use serde_json::Value;

use crate::plane::ControlPlane;
use crate::process::{self, Envoy};
use crate::{PATIENCE, rejections, settled, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patched_filters_act_on_requests() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let cases = cases().expect("the goldens can be read");
    let case = cases
        .into_iter()
        .find(|case| case.name == "envoy-filter/gateway-behaviour")
        .expect("the golden is there");
    let dir = tempfile::tempdir().expect("a folder");
    world::write(&case, dir.path());
    let plane = ControlPlane::start(dir.path()).await;
    let envoy = Envoy::start(&program, &case, plane.address, dir.path()).await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let ready = async {
        while !settled(&envoy.stats().await) {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("Envoy is ready in time");

    let port = listening(&envoy).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let request = http::Request::get(format!("http://127.0.0.1:{port}/"))
            .header("host", "www.example.com")
            .body(Empty::new())
            .expect("a request");
        let answer = client.request(request).await.expect("an answer");
        statuses.push(answer.status());
        if answer.status() == StatusCode::OK {
            let header = |name: &str| answer.headers().get(name).map(|v| v.as_bytes().to_vec());
            assert_eq!(header("x-lua").as_deref(), Some(b"patched".as_slice()));
            assert_eq!(header("x-port").as_deref(), Some(b"merged".as_slice()));
            let body = answer.into_body().collect().await.expect("a body");
            assert_eq!(body.to_bytes().as_ref(), b"hello");
        }
    }
    // The bucket holds four tokens and is not filled again within the test.
    let refused = StatusCode::TOO_MANY_REQUESTS;
    let ok = StatusCode::OK;
    assert_eq!(statuses, [ok, ok, ok, ok, refused, refused]);
    assert_eq!(rejections(&envoy.stats().await), Ok(()));
    envoy.stop().await;
    plane.stop().await;
}

/// The port of the gateway's one listener.
async fn listening(envoy: &Envoy) -> u64 {
    let text = envoy.admin("/listeners?format=json").await;
    let page: Value = serde_json::from_str(&text.expect("the page")).expect("JSON");
    let port = page.pointer("/listener_statuses/0/local_address/socket_address/port_value");
    port.and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{page}"))
}

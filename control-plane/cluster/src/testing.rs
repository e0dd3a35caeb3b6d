//! What the tests of this crate share.

use std::cell::OnceCell;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use meltemi_fake_api::FakeApi;
use serde_json::{Value, json};
use tokio::time::Instant;

/// An API server in this process and a client for it. There is no network between them, so that a paused clock runs
/// ahead only when all are waiting.
pub(crate) async fn api() -> (FakeApi, Client) {
    let api = FakeApi::start().await.unwrap();
    let client = Client::new(api.in_process(), "default");
    (api, client)
}

/// A ConfigMap with one text.
pub(crate) fn config_map(namespace: &str, name: &str, key: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name},
        "data": {key: text},
    })
}

thread_local! {
    static START: OnceCell<Instant> = const { OnceCell::new() };
}

/// A time of day that goes on with the test's clock, paused or not.
pub(crate) fn wall_clock() -> Timestamp {
    let start = START.with(|start| *start.get_or_init(Instant::now));
    Timestamp::UNIX_EPOCH + start.elapsed()
}

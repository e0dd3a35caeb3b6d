use serde_json::{Value, json};

use super::*;
use crate::testing::api;

fn tag(name: &str, revision: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"istio.io/rev": revision, "istio.io/tag": "default"}},
    })
}

#[tokio::test(start_paused = true)]
async fn the_default_revision_is_the_tags() {
    let (api, client) = api().await;
    api.apply(tag("istio-revision-tag-prod", "prod"));
    let (out, mut revision) = watch::channel(String::new());
    let stop = CancellationToken::new();
    let task = tokio::spawn(follow_default(client, out, stop.clone()));
    api.apply(tag(DEFAULT_TAG, "default"));
    revision.wait_for(|now| now == "default").await.unwrap();
    api.apply(tag(DEFAULT_TAG, "canary"));
    revision.wait_for(|now| now == "canary").await.unwrap();
    api.delete("mutatingwebhookconfigurations", "", DEFAULT_TAG);
    revision.wait_for(String::is_empty).await.unwrap();
    stop.cancel();
    task.await.unwrap();
}

use serde_json::{Value, json};

use super::*;
use crate::testing::api;

fn node(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"nodeInfo": {
            "kubeletVersion": version, "architecture": "", "bootID": "", "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "",
        }},
    })
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

#[tokio::test(start_paused = true)]
async fn the_versions_of_all_kubelets_are_known_and_outlive_an_outage() {
    let (api, client) = api().await;
    api.apply(node("a", "v1.36.3"));
    let (out, mut versions) = watch::channel(None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(follow(client, out, stop.clone()));
    let mut until = async |pairs: &[(&str, &str)]| {
        let wanted = map(pairs);
        versions
            .wait_for(|now| now.as_deref() == Some(&wanted))
            .await
            .unwrap();
        versions.mark_unchanged();
    };
    until(&[("a", "v1.36.3")]).await;
    api.apply(node("b", "v1.32.0"));
    until(&[("a", "v1.36.3"), ("b", "v1.32.0")]).await;
    api.apply(node("b", "v1.33.1"));
    until(&[("a", "v1.36.3"), ("b", "v1.33.1")]).await;
    api.go_down();
    tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
    api.delete("nodes", "", "b");
    api.compact();
    api.come_back();
    until(&[("a", "v1.36.3")]).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_version_tells_nobody() {
    let (api, client) = api().await;
    api.apply(node("a", "v1.36.3"));
    let (out, mut versions) = watch::channel(None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(follow(client, out, stop.clone()));
    versions.wait_for(Option::is_some).await.unwrap();
    versions.mark_unchanged();
    let mut labelled = node("a", "v1.36.3");
    labelled["metadata"]["labels"] = json!({"zone": "z"});
    api.apply(labelled);
    api.apply(node("b", "v1.36.3"));
    versions.changed().await.unwrap();
    assert_eq!(
        versions.borrow().as_ref().unwrap().len(),
        2,
        "one change, for b"
    );
    stop.cancel();
    task.await.unwrap();
}

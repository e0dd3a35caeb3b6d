use serde_json::{Value, json};

use super::*;
use crate::testing::api;

fn object(namespace: &str, name: &str, account: &str, node: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}")},
        "spec": {"serviceAccountName": account, "nodeName": node, "containers": []},
        "status": {"phase": phase},
    })
}

#[tokio::test]
async fn a_pod_is_found_by_its_name() {
    let (api, client) = api().await;
    api.apply(object("shop", "web-0", "web", "node-1", "Running"));
    let found = pod(&client, "shop", "web-0").await.unwrap().unwrap();
    let expected = Pod {
        namespace: "shop".into(),
        name: "web-0".into(),
        uid: "uid-web-0".into(),
        service_account: "web".into(),
        node: "node-1".into(),
        phase: "Running".into(),
    };
    assert_eq!(found, expected);
    assert_eq!(pod(&client, "other", "web-0").await, Ok(None));
    api.go_down();
    assert!(pod(&client, "shop", "web-0").await.is_err());
}

#[tokio::test]
async fn pods_of_an_account_on_a_node() {
    let (api, client) = api().await;
    api.apply(object("shop", "web-0", "web", "node-1", "Running"));
    api.apply(object("shop", "web-1", "web", "node-2", "Running"));
    api.apply(object("shop", "web-2", "web", "node-1", "Failed"));
    api.apply(object("shop", "db-0", "db", "node-1", "Pending"));
    api.apply(object("other", "web-0", "web", "node-3", "Running"));
    api.apply(object("shop", "waits", "web", "", "Pending"));
    let rows: [(&str, &str, &str, &[&str]); 8] = [
        ("shop", "web", "node-1", &["web-0"]),
        ("shop", "web", "node-2", &["web-1"]),
        ("shop", "web", "node-3", &[]),
        ("shop", "db", "node-1", &["db-0"]),
        ("other", "web", "node-1", &[]),
        ("shop", "web", "", &[]),
        ("shop", "", "node-1", &[]),
        ("shop", "web", "node-1,spec.nodeName!=x", &[]),
    ];
    for (namespace, account, node, expected) in rows {
        let found = of_account_on_node(&client, namespace, account, node)
            .await
            .unwrap();
        let names: Vec<_> = found.iter().map(|pod| &*pod.name).collect();
        assert_eq!(names, expected, "{namespace} {account} {node}");
    }
    let request = api.requests().into_iter().next().unwrap();
    assert_eq!(
        request.query["fieldSelector"],
        "spec.nodeName=node-1,spec.serviceAccountName=web,status.phase!=Failed"
    );
}

//! Virtual machines that connect: their WorkloadEntries come and go, and what they say of their health decides whether
//! they get traffic.

use std::time::Instant;

use meltemi_fake_api::{FakeApi, Type};
use meltemi_proto::ads::{DeltaDiscoveryRequest, Node, Status as WireStatus};
use meltemi_proto::any::struct_from_json;
use serde_json::{Value, json};
use tonic::Code;

use crate::agent::Agent;
use crate::site::{PATIENCE, Site, api};

const ENTRIES: &str = "workloadentries";
const NAME: &str = "vms-10.9.0.1";
const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

fn mesh(api: &FakeApi) {
    for (plural, kind) in [
        ("workloadentries", "WorkloadEntry"),
        ("workloadgroups", "WorkloadGroup"),
        ("serviceentries", "ServiceEntry"),
    ] {
        api.install(&Type {
            status: true,
            ..Type::new("networking.istio.io", &["v1"], plural, kind, true)
        });
    }
    api.apply(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
        "metadata": {"name": "vms", "namespace": "default"},
        "spec": {"metadata": {"labels": {"app": "vm"}}, "template": {"serviceAccount": "vm"}},
    }));
    api.apply(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "vm", "namespace": "default"},
        "spec": {
            "hosts": ["vm.example.com"], "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "workloadSelector": {"labels": {"app": "vm"}},
        },
    }));
}

fn connects(account: &str, group: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node {
            id: "sidecar~10.9.0.1~vm-1.default~default.svc.cluster.local".to_owned(),
            metadata: Some(struct_from_json(&json!({
                "NAMESPACE": "default",
                "SERVICE_ACCOUNT": account,
                "ISTIO_VERSION": "1.31.0",
                "AUTO_REGISTER_GROUP": group,
                "PROXY_CONFIG": {"readinessProbe": {"httpGet": {"port": 80}}},
            }))),
            ..Node::default()
        }),
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn health(error: Option<&str>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/istio.v1.HealthInformation".to_owned(),
        error_detail: error.map(|text| WireStatus {
            message: text.to_owned(),
            ..WireStatus::default()
        }),
        ..DeltaDiscoveryRequest::default()
    }
}

/// Waits until a client of the machine has it among its endpoints, or has it not.
async fn served_until(client: &Agent, is_served: bool) {
    let cluster = "outbound|80||vm.example.com";
    let begun = Instant::now();
    loop {
        let answer = client.ask(ENDPOINTS, &[cluster], "default", "sleep").await;
        let answer = answer.unwrap();
        let body = answer.resources.first().and_then(|r| r.resource.as_ref());
        let body = body.map(|any| String::from_utf8_lossy(&any.value).into_owned());
        if body.is_some_and(|body| body.contains("10.9.0.1")) == is_served {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "served is not {is_served}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_machine_is_registered_and_gets_traffic_while_it_is_well() {
    let api = api().await;
    mesh(&api);
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    let client = Agent::new(address, &api, Some("default/sleep"));
    let machine = Agent::new(address, &api, Some("default/vm"));

    let (says, mut heard) = machine.stream(connects("vm", "vms")).await.unwrap();
    assert!(heard.message().await.unwrap().is_some());
    let entry = api.get(ENTRIES, "default", NAME).unwrap();
    assert_eq!(entry["spec"]["address"], "10.9.0.1");
    assert_eq!(
        entry["metadata"]["annotations"]["istio.io/workloadController"],
        "istiod-1"
    );
    served_until(&client, false).await;
    let is = |status: &'static str| {
        move |entry: Option<&Value>| {
            entry.is_some_and(|e| e["status"]["conditions"][0]["status"] == status)
        }
    };
    says.send(health(None)).await.unwrap();
    api.until(ENTRIES, "default", NAME, is("True")).await;
    served_until(&client, true).await;
    says.send(health(Some("connection refused"))).await.unwrap();
    api.until(ENTRIES, "default", NAME, is("False")).await;
    served_until(&client, false).await;
    says.send(health(None)).await.unwrap();
    served_until(&client, true).await;

    drop((says, heard));
    api.until(ENTRIES, "default", NAME, |entry| entry.is_none())
        .await;
    served_until(&client, false).await;
    site.stop().await;
}

#[tokio::test]
async fn a_machine_that_may_not_register_is_refused() {
    let api = api().await;
    mesh(&api);
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    for (account, group, code) in [
        ("sleep", "vms", Code::PermissionDenied),
        ("vm", "none", Code::FailedPrecondition),
    ] {
        let agent = Agent::new(address, &api, Some(&format!("default/{account}")));
        let (_says, mut heard) = agent.stream(connects(account, group)).await.unwrap();
        let refused = heard.message().await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    assert!(api.list(ENTRIES).is_empty());
    site.stop().await;
}

//! Policies: mutual TLS of the mesh, which an Envoy without certificates is never served, and authorization. Envoy checks
//! them without running them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use meltemi::bootstrap::{Request, bootstrap};
use meltemi::{offline, render};
use meltemi_model::Locality;
use meltemi_model::proxy::Proxy;
use meltemi_tests::golden::{Case, cases};
use meltemi_tests::shared::skipped;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process;

#[tokio::test]
async fn envoy_takes_every_policy() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let cases = cases().expect("the goldens can be read");
    let with_policies = |case: &Case| {
        let areas = ["peer-authentication/", "authorization-policy/"];
        areas.iter().any(|area| case.name.starts_with(area))
    };
    let mut chains = BTreeSet::new();
    for case in cases.into_iter().filter(with_policies) {
        let dir = tempfile::tempdir().expect("a folder");
        let config = static_bootstrap(&case);
        chains.extend(how_connections_arrive(&config));
        let (good, says) = validate(&program, &config, dir.path()).await;
        assert!(good, "{}: {says}", case.name);
    }
    // The goldens had something to check.
    let all = [(false, "raw_buffer"), (true, "tls"), (false, "tls")];
    assert_eq!(chains, all.map(|(tls, by)| (tls, by.to_owned())).into());
}

/// What the node of a golden is served, as an upstream Envoy that an agent gives certificates, without a control plane.
fn static_bootstrap(case: &Case) -> Value {
    let mut metadata = case.node.metadata.clone();
    metadata.remove("ISTIO_VERSION");
    metadata.insert("MELTEMI_IDENTITY".to_owned(), "agent".into());
    let metadata = Value::Object(metadata);
    let settings = case.settings().expect("known flags");
    let input = offline::read(&[case.world()], &settings).expect("a world");
    let node = (&case.node.id, &case.node.cluster);
    let proxy =
        Proxy::parse(node.0, node.1, Locality::default(), &metadata, []).expect("a valid node");
    let served = render::snapshot(&offline::compile_for(&input, &proxy).snapshot);
    let mut config = bootstrap(&Request {
        node: case.node.id.clone(),
        cluster: case.node.cluster.clone(),
        metadata,
        xds_host: "127.0.0.1".to_owned(),
        xds_port: 15010,
        admin_port: 0,
    });
    let own = config["static_resources"]["clusters"][0].take();
    let mut agent = own.clone();
    agent["name"] = "sds-grpc".into();
    agent["load_assignment"]["cluster_name"] = "sds-grpc".into();
    let clusters = served["clusters"].as_array().cloned().unwrap_or_default();
    config["static_resources"] = json!({
        "clusters": clusters.into_iter().chain([own, agent]).collect::<Vec<_>>(),
        "listeners": served["listeners"],
    });
    // Static resources take the place of those that would be asked for.
    for api in ["cds_config", "lds_config"] {
        let dynamic = config["dynamic_resources"].as_object_mut();
        dynamic.expect("an object").remove(api);
    }
    config
}

/// Per inbound chain, whether it terminates TLS, and the transport that it takes.
fn how_connections_arrive(config: &Value) -> BTreeSet<(bool, String)> {
    let listeners = config["static_resources"]["listeners"].as_array();
    let inbound = listeners
        .into_iter()
        .flatten()
        .filter(|listener| listener["name"] == "virtualInbound");
    let chains = inbound.flat_map(|l| l["filter_chains"].as_array().into_iter().flatten());
    chains
        .filter_map(|chain| {
            let by = chain["filter_chain_match"]["transport_protocol"].as_str()?;
            Some((chain["transport_socket"].is_object(), by.to_owned()))
        })
        .collect()
}

async fn validate(program: &Path, config: &Value, dir: &Path) -> (bool, String) {
    let file = dir.join("bootstrap.json");
    fs::write(&file, config.to_string()).expect("a file");
    let output = Command::new(program)
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("Envoy starts");
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), says)
}

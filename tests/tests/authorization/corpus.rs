//! The filters that istiod's own tests of its authorization builder expect (`../shared/corpus/authz`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use meltemi_proto::Canonical;
use meltemi_proto::any::type_name;
use meltemi_proto::{any, pool};
use meltemi_tests::shared;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mesh;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    input: String,
    /// `custom`: what asks providers; `action`: the rest.
    builder: String,
    proxy: Proxy,
    outputs: Vec<String>,
    #[serde(default)]
    trust_domain: String,
    #[serde(default)]
    trust_domain_aliases: Vec<String>,
    #[serde(default)]
    mesh_config: BTreeMap<String, Value>,
    #[serde(default)]
    services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Proxy {
    namespace: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Service {
    hostname: String,
    namespace: String,
}

/// The parts that a control plane without ambient mode has to do with.
const PARTS: [&str; 2] = ["http", "tcp"];

#[test]
fn every_filter_is_what_istiods_tests_expect() {
    let Some(suite) = shared::suite("authz") else {
        shared::skipped("no corpus");
        return;
    };
    let mut wrong = Vec::new();
    let mut total = 0;
    for part in PARTS {
        let mut cases: Vec<_> = fs::read_dir(suite.join(part))
            .expect("the cases")
            .map(|entry| entry.expect("a case").path())
            .collect();
        cases.sort();
        for dir in cases {
            total += 1;
            let text = fs::read_to_string(dir.join("case.yaml")).expect("a case");
            let case: Case = serde_yaml::from_str(&text).expect("a case");
            let (want, got) = (expected(&dir, &case), filters(&dir, &case, part));
            if want != got {
                wrong.push(difference(&case.name, &want, &got));
            }
        }
    }
    assert!(total >= 20, "only {total} cases");
    assert!(
        wrong.is_empty(),
        "{} of {total} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn difference(name: &str, want: &[Value], got: &[Value]) -> String {
    let text = |list: &[Value]| serde_json::to_string_pretty(list).expect("JSON");
    let (want, got) = (text(want), text(got));
    similar::TextDiff::from_lines(&want, &got)
        .unified_diff()
        .context_radius(4)
        .header(&format!("{name} istiod"), "ours")
        .to_string()
}

/// The expected filters, as we write JSON.
fn expected(dir: &Path, case: &Case) -> Vec<Value> {
    let files = case.outputs.iter().map(|file| {
        let text = fs::read_to_string(dir.join(file)).expect("an output");
        let json: Value = serde_yaml::from_str(&text).expect("an output");
        let config = &json["typedConfig"];
        let ty = type_name(config["@type"].as_str().expect("a type")).to_owned();
        let mut fields = config.clone();
        fields.as_object_mut().expect("fields").remove("@type");
        let bytes = pool::json_to_message(&ty, &fields).expect("a configuration");
        let config = pool::message_to_json(&ty, &bytes).expect("a configuration");
        json!({"name": json["name"], "type": ty, "config": config})
    });
    files.collect()
}

/// The filters that we make.
fn filters(dir: &Path, case: &Case, part: &str) -> Vec<Value> {
    let input = fs::read_to_string(dir.join(&case.input)).expect("the policies");
    let mut objects = mesh::documents(&input);
    objects.extend(case.services.iter().map(service));
    objects.push(config(case));
    let (world, _) = mesh::world(&objects);
    let node = mesh::sidecar(&case.proxy.namespace, &json!(case.proxy.labels));
    let listener = mesh::inbound(&world, &node);
    let all: Vec<(String, String, Vec<u8>)> = match part {
        "http" => mesh::http_filters(&listener)
            .iter()
            .filter(|f| mesh::authorizes(mesh::http_type(f)))
            .map(|f| (f.name.clone(), mesh::http_type(f).to_owned(), encoded(f)))
            .collect(),
        _ => mesh::network_filters(&listener)
            .iter()
            .filter(|f| mesh::authorizes(mesh::network_type(f)))
            .map(|f| (f.name.clone(), mesh::network_type(f).to_owned(), encoded(f)))
            .collect(),
    };
    let message = match part {
        "http" => "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
        _ => "envoy.config.listener.v3.Filter",
    };
    let list = all.into_iter().map(|(name, ty, bytes)| {
        let json = pool::message_to_json(message, &bytes).expect("a filter");
        let mut config = json["typed_config"].clone();
        config.as_object_mut().expect("fields").remove("@type");
        json!({"name": name, "type": any::type_name(&ty), "config": config})
    });
    let asks = |filter: &Value| {
        let ty = filter["type"].as_str().unwrap_or_default();
        ty.ends_with("ExtAuthz") || filter.to_string().contains("istio-ext-authz")
    };
    let custom = case.builder == "custom";
    list.filter(|filter| asks(filter) == custom).collect()
}

fn encoded<M: Canonical>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

fn service(service: &Service) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "provider", "namespace": service.namespace},
        "spec": {
            "hosts": [service.hostname],
            "resolution": "DNS",
            "ports": [{"number": 9000, "name": "grpc", "protocol": "GRPC"}],
        },
    })
}

fn config(case: &Case) -> Value {
    let mut config = json!(case.mesh_config);
    if !case.trust_domain.is_empty() {
        config["trustDomain"] = json!(case.trust_domain);
        config["trustDomainAliases"] = json!(case.trust_domain_aliases);
    }
    mesh::mesh_config(&config)
}

//! Every kind with every field: nothing is unknown, and what is read is written back as it was.

use std::path::Path;

use meltemi_api as api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn check<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(kind: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/maximal")
        .join(format!("{kind}.yaml"));
    let text = std::fs::read_to_string(path).expect("the document of the kind");
    let mut documents = 0;
    for document in serde_yaml::Deserializer::from_str(&text) {
        let given: Value = serde::Deserialize::deserialize(document).expect("YAML");
        let read = api::parse::<T>(&given).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(read.unknown, Vec::<String>::new(), "{kind}");
        assert_eq!(
            serde_json::to_value(&read.value).expect("JSON"),
            given,
            "{kind}"
        );

        let snake = api::parse::<T>(&in_proto_names(&given))
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(snake.unknown, Vec::<String>::new(), "{kind} by proto names");
        assert_eq!(snake.value, read.value, "{kind} by proto names");
        documents += 1;
    }
    assert!(documents > 0, "{kind}");
}

/// The same document with the proto names of its fields. Keys with a dot and the free-form keys are no fields.
fn in_proto_names(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(in_proto_names).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (proto_name(key), in_proto_names(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => value.clone(),
    }
}

fn proto_name(key: &str) -> String {
    if key == "meshMTLS" {
        return "mesh_mTLS".to_owned();
    }
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

macro_rules! kinds {
    ($($test:ident: $type:ty as $kind:literal,)*) => {$(
        #[test]
        fn $test() {
            check::<$type>($kind);
        }
    )*};
}

kinds! {
    authorization_policy: api::authorization_policy::AuthorizationPolicy as "AuthorizationPolicy",
    destination_rule: api::destination_rule::DestinationRule as "DestinationRule",
    envoy_filter: api::envoy_filter::EnvoyFilter as "EnvoyFilter",
    gateway: api::gateway::Gateway as "Gateway",
    mesh_config: api::mesh_config::MeshConfig as "MeshConfig",
    mesh_networks: api::mesh_networks::MeshNetworks as "MeshNetworks",
    peer_authentication: api::peer_authentication::PeerAuthentication as "PeerAuthentication",
    proxy_config: api::proxy_config::ProxyConfig as "ProxyConfig",
    request_authentication: api::request_authentication::RequestAuthentication as "RequestAuthentication",
    service_entry: api::service_entry::ServiceEntry as "ServiceEntry",
    sidecar: api::sidecar::Sidecar as "Sidecar",
    telemetry: api::telemetry::Telemetry as "Telemetry",
    traffic_extension: api::traffic_extension::TrafficExtension as "TrafficExtension",
    virtual_service: api::virtual_service::VirtualService as "VirtualService",
    wasm_plugin: api::wasm_plugin::WasmPlugin as "WasmPlugin",
    workload_entry: api::workload_entry::WorkloadEntry as "WorkloadEntry",
    workload_group: api::workload_group::WorkloadGroup as "WorkloadGroup",
}

//! Every Istio object of the shared corpus reads without an error and without an unknown field.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use meltemi_api as api;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const FOLDERS: &[&str] = &[
    "xds",
    "smoke-yaml",
    "bench-configs",
    "simulation",
    "ingress",
    "echo-traffic",
];

/// What is reported on purpose: (end of the file name, report).
const EXCEPTIONS: &[(&str, &str)] = &[
    // Istio removed the field (its number is reserved) and ignores it too.
    (
        "rule-websocket-route.yaml",
        "unknown spec.http[0].websocketUpgrade",
    ),
];

type Report = Vec<String>;

fn read<T: DeserializeOwned>(root: &str, value: &Value) -> Report {
    match api::parse_at::<T>(root, value) {
        Ok(read) => read
            .unknown
            .into_iter()
            .map(|path| format!("unknown {path}"))
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn read_object(object: &Value) -> Option<Report> {
    let api_version = object["apiVersion"].as_str()?;
    let kind = object["kind"].as_str()?;
    if kind == "ConfigMap" {
        return object["data"]["mesh"].as_str().map(read_mesh);
    }
    api::kinds::find(api_version, kind)?;
    let spec = &object["spec"];
    Some(match kind {
        "AuthorizationPolicy" => {
            read::<api::authorization_policy::AuthorizationPolicy>("spec", spec)
        }
        "DestinationRule" => read::<api::destination_rule::DestinationRule>("spec", spec),
        "EnvoyFilter" => read::<api::envoy_filter::EnvoyFilter>("spec", spec),
        "Gateway" => read::<api::gateway::Gateway>("spec", spec),
        "PeerAuthentication" => read::<api::peer_authentication::PeerAuthentication>("spec", spec),
        "ProxyConfig" => read::<api::proxy_config::ProxyConfig>("spec", spec),
        "RequestAuthentication" => {
            read::<api::request_authentication::RequestAuthentication>("spec", spec)
        }
        "ServiceEntry" => read::<api::service_entry::ServiceEntry>("spec", spec),
        "Sidecar" => read::<api::sidecar::Sidecar>("spec", spec),
        "Telemetry" => read::<api::telemetry::Telemetry>("spec", spec),
        "TrafficExtension" => read::<api::traffic_extension::TrafficExtension>("spec", spec),
        "VirtualService" => read::<api::virtual_service::VirtualService>("spec", spec),
        "WasmPlugin" => read::<api::wasm_plugin::WasmPlugin>("spec", spec),
        "WorkloadEntry" => read::<api::workload_entry::WorkloadEntry>("spec", spec),
        "WorkloadGroup" => read::<api::workload_group::WorkloadGroup>("spec", spec),
        other => vec![format!("no type for {other}")],
    })
}

fn read_mesh(text: &str) -> Report {
    match serde_yaml::from_str::<Value>(text) {
        Ok(mesh) => read::<api::mesh_config::MeshConfig>("mesh", &mesh),
        Err(error) => vec![format!("mesh: {error}")],
    }
}

fn yaml_files(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        if path.is_dir() {
            yaml_files(&path, out);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            out.push(path);
        }
    }
}

/// The documents of a file. A file that is a template, and therefore no YAML, ends at the first broken document.
fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map_while(|document| Value::deserialize(document).ok())
        .collect()
}

#[test]
fn every_object_reads() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !corpus.is_dir() {
        eprintln!("skipped: no corpus");
        return;
    }
    let mut files = Vec::new();
    for folder in FOLDERS {
        yaml_files(&corpus.join(folder), &mut files);
    }
    let (mut read, mut wrong, mut expected) = (0, Vec::new(), BTreeSet::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for report in documents(&text).iter().filter_map(read_object) {
            read += 1;
            for line in report {
                let known = EXCEPTIONS
                    .iter()
                    .find(|(name, what)| file.ends_with(name) && *what == line);
                match known {
                    Some(exception) => _ = expected.insert(exception),
                    None => wrong.push(format!("{}: {line}", file.display())),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {read} objects:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        expected.len(),
        EXCEPTIONS.len(),
        "an exception no longer occurs; remove it"
    );
    assert!(read > 1000, "only {read} objects were found");
}

//! Nothing that is secret is ever shown.

use std::fs;

use meltemi::{offline, render};
use meltemi_sources::lower::LowerSettings;
use serde_json::json;

/// Says what a Secret holds, plainly and in base64, in whatever way it came in.
const SECRETS: [&str; 2] = ["ThisIsTheKey", "VGhpc0lzVGhlS2V5"];

const WORLD: &str = "
apiVersion: v1
kind: Secret
metadata: {name: plain, namespace: default}
stringData: {key: ThisIsTheKey}
---
apiVersion: v1
kind: Secret
metadata: {name: edge-cert, namespace: default}
type: kubernetes.io/tls
data: {tls.crt: VGhpc0lzVGhlS2V5, tls.key: VGhpc0lzVGhlS2V5}
---
apiVersion: v1
kind: Secret
metadata: {name: wrong, namespace: default}
data: [VGhpc0lzVGhlS2V5]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: edge}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [\"*\"], tls: {mode: SIMPLE, credentialName: edge-cert}}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}
";

#[test]
fn i9_secrets_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.yaml");
    fs::write(&file, WORLD).unwrap();
    let input = offline::read(&[file], &LowerSettings::default()).unwrap();
    let node = offline::Node {
        id: "router~10.1.8.8~edge-0.default~default.svc.cluster.local".to_owned(),
        cluster: "edge".to_owned(),
        locality: String::new(),
        metadata: json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "default", "LABELS": {"istio": "edge"}}),
    };
    let answer = offline::compile(&input, &node).unwrap();
    assert!(
        !render::snapshot(&answer.snapshot)["listeners"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let diagnostics: String = answer
        .diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect();
    for (what, shown) in [
        ("Debug of the world", format!("{input:?}")),
        ("Debug of the answer", format!("{answer:?}")),
        ("the dump", render::snapshot(&answer.snapshot).to_string()),
        ("the summary", render::summary(&answer.snapshot)),
        ("the diagnostics", diagnostics),
    ] {
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{what} shows {secret}");
        }
    }
}

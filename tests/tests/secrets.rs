//! Nothing that is secret is ever shown.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meltemi::engine::Engine;
use meltemi::vault::Vault;
use meltemi::{offline, render};
use meltemi_compile::secrets::Reader;
use meltemi_model::Locality;
use meltemi_model::proxy::Proxy;
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
    let shown = [
        ("Debug of the world", format!("{input:?}")),
        ("Debug of the answer", format!("{answer:?}")),
        ("the dump", render::snapshot(&answer.snapshot).to_string()),
        (
            "the summary",
            render::summary(&answer.snapshot, &input.world),
        ),
        ("the diagnostics", diagnostics),
    ];
    for (what, shown) in shown {
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{what} shows {secret}");
        }
    }
}

/// A key that is served: its proxy gets it, and nobody else sees it.
#[test]
fn i9_the_key_of_a_served_secret_is_not_shown() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "edge-cert", "namespace": "default",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": &key}},
        "stringData": {"tls.crt": certificate, "tls.key": key}});
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret.json"), secret.to_string()).unwrap();
    let read = [folder.path().to_path_buf()];
    let input = offline::read(&read, &LowerSettings::default()).unwrap();
    assert!(input.diagnostics.is_empty(), "{:?}", input.diagnostics);
    let metadata = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "default"});
    let id = "router~10.1.8.8~edge-0.default~default.svc.cluster.local";
    let proxy = Proxy::parse(id, "", Locality::default(), &metadata, []).unwrap();
    let (found, refused) = offline::secrets(&input, &proxy, &["kubernetes://edge-cert".to_owned()]);
    assert!(refused.is_empty(), "{refused:?}");
    let served = found.by_name.values().next().unwrap();
    let contains = |bytes: &[u8], part: &str| {
        bytes
            .windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    assert!(contains(&served.body, &key), "the proxy gets it");

    let (vault, engine) = (
        Vault::default(),
        Engine::new(offline::default_mesh(&LowerSettings::default())),
    );
    let loaded = meltemi_sources::files::load(folder.path(), &LowerSettings::default());
    engine.apply(
        loaded
            .objects
            .into_values()
            .map(meltemi_world::Change::Apply)
            .collect(),
        Vec::new(),
    );
    let reader = Reader {
        namespace: "default".into(),
        lists_secrets: true,
    };
    let names = std::collections::BTreeSet::from(["kubernetes://edge-cert".into()]);
    let opened = vault.open(&engine, &proxy, &reader, &names, true);
    assert_eq!(opened.version, found.version);
    let snapshot = meltemi_model::ProxySnapshot::empty().with_secrets(found);
    let secret = key.lines().nth(1).unwrap();
    let encoded = STANDARD.encode(&key);
    for (what, shown) in [
        ("Debug of the world", format!("{input:?}")),
        (
            "Debug of the engine and the vault",
            format!("{engine:?} {vault:?} {opened:?}"),
        ),
        ("Debug of a snapshot", format!("{snapshot:?}")),
        ("the dump", render::snapshot(&snapshot).to_string()),
        ("the summary", render::summary(&snapshot, &input.world)),
    ] {
        assert!(
            !shown.contains(secret) && !shown.contains(&encoded),
            "{what} shows the key"
        );
    }
    assert!(
        render::snapshot(&snapshot)
            .to_string()
            .contains("W3JlZGFjdGVkXQ==")
    );
}

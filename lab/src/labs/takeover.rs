//! Replacement in place: a mesh as istiod leaves it is taken over, and a control plane is replaced under load.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::l01::{BASE, ISTIOD, VALUES, install};
use super::mesh::{EFFECT, ISTIO, PODS, admin, name, pods, same};
use super::pressure::{
    begin, control_planes, counted, deploy, end, reconnected, start_short, told,
};
use super::uninstall::uninstall;
use crate::cluster::{Cluster, condition};
use crate::report::{Step, needed, step};
use crate::run::{eventually, said};
use crate::settings;

pub(super) const STEPS: &[Step] = &[
    needed(
        "takeover.1",
        "there is what istiod leaves: key, roots, configuration, a lock",
        left_behind,
    ),
    needed(
        "takeover.2",
        "helm installs the control plane over it",
        installed,
    ),
    needed(
        "takeover.3",
        "the key is used as it is, and the roots stay",
        key_stays,
    ),
    step(
        "takeover.4",
        "the lock of one who is gone is taken",
        lock_taken,
    ),
    needed(
        "takeover.5",
        "workloads get certificates of the old root",
        certificates,
    ),
    needed(
        "takeover.6",
        "helm replaces the control plane under load",
        upgraded,
    ),
    step(
        "takeover.7",
        "a restart replaces it again under load, and new pods are trusted by running ones",
        restarted,
    ),
    step("takeover.8", "the key is still the same", key_stays),
];

const NS: &str = "takeover";
/// A namespace that istiod has served.
const SERVED: &str = "served-before";
const SECRET: &str = "istio-ca-secret";
const ROOTS: &str = "istio-ca-root-cert";
const LOCK: &str = "istio-namespace-controller-election";
const HOLDER: &str = "control-plane.alpha.kubernetes.io/leader";
const GONE: &str = "istiod-5d8f7c9b4-gone0";

/// A file of the test's own.
fn file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.folder().join(name)
}

fn openssl(words: &[&str]) -> Result<String> {
    let program = settings::on_path("openssl").context("openssl is not installed")?;
    said(Command::new(program).args(words))
}

/// A root as istiod makes one: RSA-2048, the key in the old form, the trust domain as the organization.
fn make_root(cluster: &Cluster) -> Result<(String, String)> {
    let (key, root) = (file(cluster, "ca-key.pem"), file(cluster, "ca-cert.pem"));
    let (key, root) = (key.to_string_lossy(), root.to_string_lossy());
    openssl(&["genrsa", "-traditional", "-out", &key, "2048"])?;
    openssl(&[
        "req",
        "-x509",
        "-new",
        "-sha256",
        "-key",
        &key,
        "-days",
        "3650",
        "-subj",
        "/O=cluster.local",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-out",
        &root,
    ])?;
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading {path}"));
    Ok((read(&key)?, read(&root)?))
}

/// The root that the test has made.
fn root(cluster: &Cluster) -> Result<String> {
    fs::read_to_string(file(cluster, "ca-cert.pem")).context("the root")
}

fn config_map(ns: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": ns},
        "data": data,
    })
}

fn left_behind(cluster: &Cluster) -> Result<String> {
    if cluster.helm(&["list", "-n", ISTIO, "-q"])?.contains(ISTIOD) {
        uninstall(cluster)?;
    }
    eventually(PODS, "the end of an earlier mesh", || {
        let found = cluster.kubectl(&["get", "namespace", ISTIO, "--ignore-not-found"])?;
        ensure!(found.trim().is_empty(), "there is one");
        Ok(())
    })?;
    for ns in [ISTIO, SERVED] {
        cluster.kubectl(&["create", "namespace", ns])?;
    }
    let (key, root) = make_root(cluster)?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "istio.io/ca-root",
        "metadata": {"name": SECRET, "namespace": ISTIO},
        "data": {
            "ca-cert.pem": STANDARD.encode(&root),
            "ca-key.pem": STANDARD.encode(&key),
            "cert-chain.pem": "",
            "key.pem": "",
            "root-cert.pem": STANDARD.encode(&root),
        },
    });
    cluster.apply(&[], &secret.to_string())?;
    for ns in [ISTIO, SERVED] {
        let mut map = config_map(ns, ROOTS, &json!({"root-cert.pem": root}));
        map["metadata"]["labels"] = json!({"istio.io/config": "true"});
        cluster.apply(&[], &map.to_string())?;
    }
    let lock = json!({
        "holderIdentity": GONE,
        "holderKey": "default",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-01T00:00:00Z",
        "renewTime": "2026-01-01T00:10:00Z",
        "leaderTransitions": 3,
    });
    let mut map = config_map(ISTIO, LOCK, &Value::Null);
    map["metadata"]["annotations"] = json!({HOLDER: lock.to_string()});
    cluster.apply(&[], &map.to_string())?;
    let mesh = "accessLogFile: \"\"\ndefaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\n\
                defaultProviders:\n  metrics:\n  - prometheus\nenablePrometheusMerge: true\n\
                rootNamespace: istio-system\ntrustDomain: cluster.local\n";
    for (name, data) in [
        (
            "istio",
            json!({"mesh": mesh, "meshNetworks": "networks: {}"}),
        ),
        (
            "istio-sidecar-injector",
            json!({"config": "policy: enabled\ndefaultTemplates: [sidecar]\ntemplates: {}\n", "values": "{}"}),
        ),
    ] {
        let mut map = config_map(ISTIO, name, &data);
        // Helm's marks, as an installation by Helm leaves them.
        map["metadata"]["labels"] = json!({
            "app.kubernetes.io/managed-by": "Helm",
            "istio.io/rev": "default",
        });
        map["metadata"]["annotations"] = json!({
            "meta.helm.sh/release-name": ISTIOD,
            "meta.helm.sh/release-namespace": ISTIO,
        });
        cluster.apply(&[], &map.to_string())?;
    }
    remember(cluster)?;
    Ok(String::new())
}

/// The objects that must stay as they are, as files of the test.
fn kept(cluster: &Cluster) -> Result<BTreeMap<&'static str, Value>> {
    Ok([
        ("secret", cluster.get(&["-n", ISTIO, "secret", SECRET])?),
        ("roots", cluster.get(&["-n", ISTIO, "configmap", ROOTS])?),
        ("served", cluster.get(&["-n", SERVED, "configmap", ROOTS])?),
    ]
    .into())
}

fn remember(cluster: &Cluster) -> Result<()> {
    let text = serde_json::to_string(&kept(cluster)?)?;
    fs::write(file(cluster, "before.json"), text).context("writing what was there")
}

fn installed(cluster: &Cluster) -> Result<String> {
    install(cluster, BASE, "charts/base", "")?;
    install(cluster, ISTIOD, "charts/meltemi", VALUES)?;
    cluster.available(ISTIO, "istiod", PODS)?;
    let config = cluster.get(&["-n", ISTIO, "configmap", "istio-sidecar-injector"])?;
    let config = config["data"]["config"].as_str().unwrap_or_default();
    ensure!(
        config.contains("istio-proxy"),
        "the injector's ConfigMap is still the old one"
    );
    Ok(String::new())
}

/// The very same objects: nobody has written them, not even the same content. Keys are not shown when they differ.
fn key_stays(cluster: &Cluster) -> Result<String> {
    let text = fs::read_to_string(file(cluster, "before.json")).context("what was there")?;
    let before: BTreeMap<String, Value> = serde_json::from_str(&text)?;
    for (what, now) in kept(cluster)? {
        let then = before.get(what).with_context(|| format!("no {what}"))?;
        ensure!(
            now["data"] == then["data"],
            "the data of {what} has changed"
        );
        for field in ["uid", "resourceVersion"] {
            same(
                &format!("{field} of {what}"),
                &now["metadata"][field],
                &then["metadata"][field],
            )?;
        }
    }
    let root = root(cluster)?;
    for ns in ["default", "kube-system"] {
        let map = eventually(2 * EFFECT, ns, || {
            cluster.get(&["-n", ns, "configmap", ROOTS])
        })?;
        let found = map["data"]["root-cert.pem"].as_str().unwrap_or_default();
        // Namespaces of an earlier mesh have its root until the new leader has come to them.
        eventually(2 * EFFECT, ns, || {
            let map = cluster.get(&["-n", ns, "configmap", ROOTS])?;
            let found = map["data"]["root-cert.pem"].as_str().unwrap_or_default();
            ensure!(found == root, "{ns} has another root: {found}");
            Ok(())
        })
        .with_context(|| format!("{ns} had {found}"))?;
    }
    Ok(String::new())
}

fn lock_taken(cluster: &Cluster) -> Result<String> {
    let record: Value = eventually(2 * EFFECT, "the lock", || {
        let lock = cluster.get(&["-n", ISTIO, "configmap", LOCK])?;
        let record = lock["metadata"]["annotations"][HOLDER].as_str();
        let record: Value = serde_json::from_str(record.context("no annotation")?)?;
        ensure!(record["holderIdentity"] != GONE, "it is still {GONE}'s");
        Ok(record)
    })?;
    let holder = record["holderIdentity"].as_str().unwrap_or_default();
    let all = control_planes(cluster)?;
    ensure!(
        all.iter().any(|pod| name(pod) == holder),
        "{holder} is no control plane"
    );
    same("leaderTransitions", &record["leaderTransitions"], &json!(4))?;
    Ok(holder.to_owned())
}

fn certificates(cluster: &Cluster) -> Result<String> {
    let found = deploy(cluster, NS)?;
    signed_by_root(cluster, "app=server")?;
    signed_by_root(cluster, "app=client")?;
    Ok(found)
}

/// What Envoy presents is verified by openssl against the root, and what it trusts is that root.
fn signed_by_root(cluster: &Cluster, labels: &str) -> Result<()> {
    let root_text = root(cluster)?;
    let root_file = file(cluster, "ca-cert.pem");
    let chain_file = file(cluster, "workload.pem");
    for pod in pods(cluster, NS, labels)? {
        let pod = name(&pod);
        let dump = admin(
            cluster,
            NS,
            pod,
            "config_dump?resource=dynamic_active_secrets",
        )?;
        let dump: Value = serde_json::from_str(&dump).context("Envoy's secrets")?;
        let secret = |wanted: &str, path: &str| -> Result<String> {
            let found = dump["configs"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|one| one["name"] == wanted)
                .and_then(|one| one["secret"].pointer(path)?.as_str())
                .with_context(|| format!("{pod} has no secret {wanted}"))?;
            let bytes = STANDARD.decode(found).context("a secret's base64")?;
            String::from_utf8(bytes).context("a PEM text")
        };
        let trusted = secret("ROOTCA", "/validation_context/trusted_ca/inline_bytes")?;
        same("the trusted root", &trusted.trim(), &root_text.trim())?;
        let chain = secret("default", "/tls_certificate/certificate_chain/inline_bytes")?;
        fs::write(&chain_file, chain).context("writing a chain")?;
        let (root, chain) = (root_file.to_string_lossy(), chain_file.to_string_lossy());
        openssl(&["verify", "-CAfile", &root, "-untrusted", &chain, &chain])?;
    }
    Ok(())
}

/// Replaces the control plane while a client calls; until the new pod serves every proxy and the old one is gone.
fn replaced(cluster: &Cluster, replace: impl FnOnce() -> Result<()>) -> Result<String> {
    let old = control_planes(cluster)?;
    let old: Vec<&str> = old.iter().map(name).collect();
    begin(cluster, NS, "client")?;
    let begun = Instant::now();
    replace()?;
    eventually(PODS, "a new control plane", || {
        let all = pods(cluster, ISTIO, "app=istiod")?;
        same("the number of control planes", &all.len(), &1)?;
        for pod in &all {
            ensure!(!old.contains(&name(pod)), "{} is there", name(pod));
            ensure!(
                condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True"),
                "{} is not ready",
                name(pod)
            );
        }
        Ok(())
    })?;
    let alone = begun.elapsed();
    let served = reconnected(cluster, NS)?;
    let time = begun.elapsed();
    let load = end(cluster, NS, "client")?;
    Ok(format!(
        "{}; the old one gone after {:.1} s, {served} proxies on the new one after {:.1} s",
        told(&load),
        alone.as_secs_f32(),
        time.as_secs_f32()
    ))
}

fn upgraded(cluster: &Cluster) -> Result<String> {
    let values = format!("{VALUES}podAnnotations: {{lab.local/replaced: \"yes\"}}\n");
    replaced(cluster, || {
        install(cluster, ISTIOD, "charts/meltemi", &values)
    })
}

fn restarted(cluster: &Cluster) -> Result<String> {
    let found = replaced(cluster, || {
        let restart = ["rollout", "restart", "deployment", "istiod"];
        cluster
            .kubectl(&[&["-n", ISTIO][..], &restart].concat())
            .map(drop)
    })?;
    start_short(cluster, NS)?;
    signed_by_root(cluster, "app=short")?;
    begin(cluster, NS, "short")?;
    // Some requests of the new pod, to servers that are older than the control plane.
    eventually(EFFECT, "connections of the new pod", || {
        let pods = pods(cluster, NS, "app=short")?;
        let pod = pods.first().context("no pod")?;
        let count = counted(cluster, NS, name(pod), "rq_success")?;
        ensure!(count > 50, "{count} requests");
        Ok(())
    })?;
    let load = end(cluster, NS, "short")?;
    Ok(format!("{found}; a pod started since: {}", told(&load)))
}

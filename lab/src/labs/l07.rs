//! L07: mutual TLS, PERMISSIVE and STRICT.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::l02::through_ingress;
use super::manifests;
use super::mesh::{
    EFFECT, ISTIO, admin, body, name, nothing_rejected, pods, pods_are, same, status,
};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed(
        "L07.1",
        "`meltemi inject` injects httpbin and sleep for foo and bar",
        injected,
    ),
    step(
        "L07.1b",
        "`meltemi inject` gives the pod that the webhook gives",
        same_as_webhook,
    ),
    needed("L07.2", "legacy runs without proxies", legacy),
    needed(
        "L07.3",
        "without a policy all six calls answer 200, between proxies with identities",
        permissive,
    ),
    step("L07.4", "foo and bar reach legacy in plain text", to_legacy),
    step("L07.5", "PERMISSIVE changes nothing", permissive_policy),
    needed(
        "L07.6",
        "STRICT refuses legacy's calls to foo and bar, and only those",
        strict,
    ),
    step(
        "L07.7",
        "a connection in plain text from before STRICT is closed within 60 s",
        old_connection,
    ),
    step(
        "L07.8",
        "the ingress gateway still reaches Bookinfo",
        through_gateway,
    ),
    step("L07.10", "kubectl shows the policy's mode", listed),
    step(
        "L07.11",
        "a namespace's PERMISSIVE comes before the mesh's STRICT",
        precedence,
    ),
    step(
        "L07.11b",
        "DISABLE for a port accepts plain text on it",
        port_level,
    ),
    step(
        "L07.12",
        "certificates carry the workload's identity and live 24 h",
        certificates,
    ),
    step(
        "L07.9",
        "legacy, injected, reaches everybody",
        legacy_injected,
    ),
    step(
        "L07.12b",
        "no proxy has rejected anything",
        nothing_rejected,
    ),
    step(
        "L07.13",
        "after the clean-up the mesh is PERMISSIVE and Bookinfo answers",
        clean_up,
    ),
];

/// Proxies drain for 45 s.
const DRAINED: Duration = Duration::from_secs(60);
const APPS: [&str; 2] = ["httpbin", "sleep"];

/// The manifest of an app, as `meltemi inject` prints it for the cluster's own ConfigMaps.
fn injected_manifest(cluster: &Cluster, app: &str) -> Result<String> {
    let folder = cluster.folder();
    let injector = cluster.get(&["-n", ISTIO, "configmap", "istio-sidecar-injector"])?;
    let mesh = cluster.get(&["-n", ISTIO, "configmap", "istio"])?;
    let mut words = vec!["inject".to_owned()];
    for (flag, file, text) in [
        (
            "--inject-config-file",
            "inject-config.yaml",
            &injector["data"]["config"],
        ),
        (
            "--values-file",
            "inject-values.json",
            &injector["data"]["values"],
        ),
        ("--mesh-config-file", "mesh.yaml", &mesh["data"]["mesh"]),
    ] {
        let path = folder.join(file);
        let text = text
            .as_str()
            .with_context(|| format!("the ConfigMaps have no {file}"))?;
        std::fs::write(&path, text).with_context(|| format!("writing {file}"))?;
        words.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
    }
    let nodes = cluster.get(&["nodes"])?;
    let version = nodes["items"][0]["status"]["nodeInfo"]["kubeletVersion"].as_str();
    words.extend([
        "--node-version".to_owned(),
        version.context("a node without a version")?.to_owned(),
    ]);
    let file = manifests()?.join(format!("apps/{app}.yaml"));
    words.extend(["-f".to_owned(), file.to_string_lossy().into_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    cluster.meltemi(&words)
}

fn injected(cluster: &Cluster) -> Result<String> {
    for ns in ["foo", "bar"] {
        cluster.kubectl(&["create", "namespace", ns])?;
        for app in APPS {
            cluster.apply(&["-n", ns], &injected_manifest(cluster, app)?)?;
        }
    }
    for ns in ["foo", "bar"] {
        for app in APPS {
            pods_are(cluster, ns, &format!("app={app}"), 1, 2)?;
        }
    }
    Ok("4 pods".to_owned())
}

/// Two pods of one app, one injected by the command line, the other by the webhook: what the API server and the kubelet
/// add by themselves, and what names the namespace, is left out.
fn same_as_webhook(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["create", "namespace", "hooked"])?;
    cluster.kubectl(&["label", "namespace", "hooked", "istio-injection=enabled"])?;
    cluster.apply_file(&["-n", "hooked"], &manifests()?.join("apps/httpbin.yaml"))?;
    pods_are(cluster, "hooked", "app=httpbin", 1, 2)?;
    let pod = |ns: &str| -> Result<Value> {
        let pods = pods(cluster, ns, "app=httpbin")?;
        let pod = pods
            .first()
            .with_context(|| format!("{ns} has no httpbin"))?;
        Ok(comparable(pod, ns))
    };
    let (by_hand, by_webhook) = (pod("foo")?, pod("hooked")?);
    for part in [
        "labels",
        "annotations",
        "initContainers",
        "containers",
        "volumes",
        "securityContext",
    ] {
        same(part, &by_hand[part], &by_webhook[part])?;
    }
    cluster.kubectl(&["delete", "namespace", "hooked", "--wait=false"])?;
    Ok(String::new())
}

fn comparable(pod: &Value, ns: &str) -> Value {
    let mut spec = pod["spec"].clone();
    let volumes = spec["volumes"].as_array_mut();
    if let Some(volumes) = volumes {
        volumes.retain(|volume| !name_of(volume).starts_with("kube-api-access-"));
    }
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.retain(|mount| !name_of(mount).starts_with("kube-api-access-"));
            }
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                with_default_protocol(variable);
            }
        }
    }
    let part = serde_json::json!({
        "labels": pod["metadata"]["labels"],
        "annotations": pod["metadata"]["annotations"],
        "initContainers": spec["initContainers"],
        "containers": spec["containers"],
        "volumes": spec["volumes"],
        "securityContext": spec["securityContext"],
    });
    // The owner's name holds the namespace, the pod's label the hash of its template.
    let text = part
        .to_string()
        .replace(&format!("/namespaces/{ns}/"), "/namespaces/NS/")
        // The manifest that `inject` reads names no namespace.
        .replace("/namespaces/default/", "/namespaces/NS/");
    let mut part: Value = serde_json::from_str(&text).unwrap_or(part);
    if let Some(labels) = part["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    part
}

/// The webhook sees a pod with the API server's defaults, `inject` one without.
fn with_default_protocol(variable: &mut Value) {
    if name_of(variable) != "ISTIO_META_POD_PORTS" {
        return;
    }
    let ports = variable["value"].as_str().unwrap_or_default();
    let Ok(mut ports) = serde_json::from_str::<Value>(ports) else {
        return;
    };
    for port in ports.as_array_mut().into_iter().flatten() {
        if port["protocol"].is_null() {
            port["protocol"] = Value::from("TCP");
        }
    }
    variable["value"] = ports;
}

fn name_of(object: &Value) -> &str {
    object["name"].as_str().unwrap_or_default()
}

fn legacy(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["create", "namespace", "legacy"])?;
    for app in APPS {
        cluster.apply_file(
            &["-n", "legacy"],
            &manifests()?.join(format!("apps/{app}.yaml")),
        )?;
    }
    for app in APPS {
        pods_are(cluster, "legacy", &format!("app={app}"), 1, 1)?;
    }
    Ok("2 pods".to_owned())
}

/// The seed's loop: from, to, and whether the call must be answered.
fn calls(legacy_answered: bool) -> Vec<(&'static str, &'static str, bool)> {
    let mut calls = Vec::new();
    for from in ["foo", "bar", "legacy"] {
        for to in ["foo", "bar"] {
            calls.push((from, to, from != "legacy" || legacy_answered));
        }
    }
    calls
}

/// Makes the six calls once.
fn six(cluster: &Cluster, legacy_answered: bool) -> Result<()> {
    for (from, to, answered) in calls(legacy_answered) {
        call(cluster, from, to, answered)?;
    }
    Ok(())
}

/// One call. A refusal is a connection that ends, not an HTTP answer: curl ends with 56 (reset) or 52 (empty).
fn call(cluster: &Cluster, from: &str, to: &str, answered: bool) -> Result<()> {
    let url = format!("http://httpbin.{to}:8000/ip");
    let result = status(cluster, from, "deploy/sleep", "sleep", &url);
    let line = format!("sleep.{from} to httpbin.{to}");
    match (result, answered) {
        (Ok(200), true) => Ok(()),
        (Ok(code), _) => bail!("{line}: {code}"),
        (Err(error), true) => Err(error.context(line)),
        (Err(error), false) => {
            let text = format!("{error:#}");
            let reset = ["exit code 56", "exit code 52"]
                .iter()
                .any(|code| text.contains(code));
            ensure!(reset, "{line}: {text}");
            Ok(())
        }
    }
}

fn headers(cluster: &Cluster, from: &str, to: &str) -> Result<String> {
    let url = format!("http://httpbin.{to}:8000/headers");
    body(cluster, from, "deploy/sleep", "sleep", &url)
}

fn permissive(cluster: &Cluster) -> Result<String> {
    let listed = cluster.kubectl(&["get", "peerauthentication", "-A", "-o", "name"])?;
    ensure!(listed.trim().is_empty(), "there are policies: {listed}");
    eventually(EFFECT, "six calls", || six(cluster, true))?;
    let answer = headers(cluster, "foo", "bar")?;
    for part in [
        "By=spiffe://cluster.local/ns/bar/sa/httpbin",
        "URI=spiffe://cluster.local/ns/foo/sa/sleep",
    ] {
        ensure!(answer.contains(part), "there is no {part}: {answer}");
    }
    let plain = headers(cluster, "legacy", "bar")?;
    ensure!(
        !plain.contains("X-Forwarded-Client-Cert"),
        "legacy has an identity: {plain}"
    );
    Ok(String::new())
}

fn to_legacy(cluster: &Cluster) -> Result<String> {
    for from in ["foo", "bar"] {
        let answer = headers(cluster, from, "legacy")?;
        ensure!(!answer.contains("X-Forwarded-Client-Cert"), "{answer}");
    }
    Ok(String::new())
}

fn policy(cluster: &Cluster, file: &str) -> Result<()> {
    let path = manifests()?.join("L07-mtls").join(file);
    cluster.apply_file(&["-n", ISTIO], &path).map(drop)
}

fn permissive_policy(cluster: &Cluster) -> Result<String> {
    policy(cluster, "mtlspermissive.yaml")?;
    six(cluster, true)?;
    hold(cluster)?;
    Ok(String::new())
}

/// Opens a connection from legacy to foo that stays open; the stand-in of legacy's httpbin can do that.
fn hold(cluster: &Cluster) -> Result<()> {
    let script = "/usr/local/bin/stand-in hold httpbin.foo:8000 /ip >/tmp/hold 2>&1 &";
    cluster.exec("legacy", "deploy/httpbin", "httpbin", &["sh", "-c", script])?;
    eventually(EFFECT, "a connection", || {
        let said = held(cluster)?;
        same("the connection", &said.trim(), &"open")
    })
}

fn held(cluster: &Cluster) -> Result<String> {
    cluster.exec("legacy", "deploy/httpbin", "httpbin", &["cat", "/tmp/hold"])
}

/// It was opened under PERMISSIVE; STRICT is in force for some seconds.
fn old_connection(cluster: &Cluster) -> Result<String> {
    let said = eventually(DRAINED, "the end of the connection", || {
        let said = held(cluster)?;
        ensure!(said.contains("closed after"), "it is {}", said.trim());
        Ok(said)
    })?;
    Ok(said.trim().replace("open\n", ""))
}

fn strict(cluster: &Cluster) -> Result<String> {
    policy(cluster, "mtlsstrict.yaml")?;
    let begun = std::time::Instant::now();
    eventually(EFFECT, "legacy refused", || {
        // During the switch calls between proxies do not fail.
        for (from, to) in [("foo", "bar"), ("bar", "foo")] {
            if let Err(error) = call(cluster, from, to, true) {
                return Ok(Err(error));
            }
        }
        call(cluster, "legacy", "foo", false)?;
        call(cluster, "legacy", "bar", false)?;
        Ok(Ok(()))
    })??;
    let time = begun.elapsed();
    six(cluster, false)?;
    Ok(format!("in force after {:.1} s", time.as_secs_f32()))
}

fn through_gateway(cluster: &Cluster) -> Result<String> {
    let answer = through_ingress(cluster, "/productpage", |call| call)?;
    same("the status", &answer.status, &200)?;
    Ok(String::new())
}

fn listed(cluster: &Cluster) -> Result<String> {
    let listed = cluster.kubectl(&["get", "peerauthentication", "-A"])?;
    let mut lines = listed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    same(
        "the head",
        &lines.next(),
        &Some(vec!["NAMESPACE", "NAME", "MODE", "AGE"]),
    )?;
    let row = lines.next().unwrap_or_default();
    same(
        "the row",
        &row.get(..3),
        &Some(&[ISTIO, "default", "STRICT"][..]),
    )?;
    Ok(String::new())
}

fn peer_authentication(name: &str, spec: &Value) -> String {
    serde_json::json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": name, "namespace": "foo"},
        "spec": spec,
    })
    .to_string()
}

/// Applies a policy in foo, waits for its effect, removes it and waits for STRICT.
fn opens_foo(cluster: &Cluster, name: &str, spec: &Value) -> Result<String> {
    cluster.apply(&[], &peer_authentication(name, spec))?;
    eventually(EFFECT, "legacy answered by foo", || {
        call(cluster, "legacy", "foo", true)?;
        call(cluster, "bar", "foo", true)?;
        call(cluster, "legacy", "bar", false)
    })?;
    cluster.kubectl(&["-n", "foo", "delete", "peerauthentication", name])?;
    eventually(EFFECT, "legacy refused by foo", || {
        call(cluster, "legacy", "foo", false)
    })?;
    Ok(String::new())
}

fn precedence(cluster: &Cluster) -> Result<String> {
    opens_foo(
        cluster,
        "default",
        &serde_json::json!({"mtls": {"mode": "PERMISSIVE"}}),
    )
}

fn port_level(cluster: &Cluster) -> Result<String> {
    let spec = serde_json::json!({
        "selector": {"matchLabels": {"app": "httpbin"}},
        "mtls": {"mode": "STRICT"},
        // The container's port, not the Service's.
        "portLevelMtls": {"8080": {"mode": "DISABLE"}},
    });
    opens_foo(cluster, "httpbin", &spec)
}

fn certificates(cluster: &Cluster) -> Result<String> {
    for (ns, app) in [("foo", "httpbin"), ("bar", "sleep")] {
        let pods = pods(cluster, ns, &format!("app={app}"))?;
        let pod = pods
            .first()
            .map(name)
            .with_context(|| format!("{ns} has no {app}"))?;
        let certificates: Value = serde_json::from_str(&admin(cluster, ns, pod, "certs")?)?;
        let own = certificates["certificates"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|one| one["cert_chain"].as_array().into_iter().flatten())
            .find(|one| one["subject_alt_names"].to_string().contains("spiffe://"))
            .with_context(|| format!("{ns}/{pod} has no identity: {certificates}"))?;
        let expected =
            serde_json::json!([{"uri": format!("spiffe://cluster.local/ns/{ns}/sa/{app}")}]);
        same("the identity", &own["subject_alt_names"], &expected)?;
        // Envoy counts whole days that are left: 24 hours, of which some seconds are gone.
        let days = own["days_until_expiration"].to_string();
        ensure!(
            ["\"0\"", "\"1\""].contains(&days.as_str()),
            "it lives {days} days"
        );
    }
    Ok(String::new())
}

fn legacy_injected(cluster: &Cluster) -> Result<String> {
    for app in APPS {
        cluster.apply(&["-n", "legacy"], &injected_manifest(cluster, app)?)?;
    }
    for app in APPS {
        pods_are(cluster, "legacy", &format!("app={app}"), 1, 2)?;
    }
    eventually(EFFECT, "six calls", || six(cluster, true))?;
    Ok(String::new())
}

fn clean_up(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["delete", "peerauthentication", "--all-namespaces", "--all"])?;
    cluster.kubectl(&[
        "delete",
        "namespace",
        "foo",
        "bar",
        "legacy",
        "--wait=false",
    ])?;
    eventually(EFFECT, "plain text accepted", || {
        let url = "http://productpage.default:9080/health";
        let code = status(cluster, "platform", "deploy/client", "client", url)?;
        same("the status", &code, &200)
    })?;
    through_gateway(cluster)
}

//! What is outside of the mesh: httpbin.org, a gateway on the way to it, and a workload without Kubernetes.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::super::calls::{Reply, apply, curl, delete, log_lines, logged};
use super::super::l01::install;
use super::super::mesh::{EFFECT, ISTIO, PODS, name, pods, pods_are, proxies};
use super::super::{manifests, mesh};
use super::FOLDER;
use crate::cluster::Cluster;
use crate::run::eventually;

const EGRESS: &str = "istio-egressgateway";
const EGRESS_VALUES: &str = "
autoscaling: {enabled: false}
resources: {requests: {cpu: 10m, memory: 40Mi}}
service:
  type: ClusterIP
  ports:
  - {name: http2, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: 8443}
";

/// The address of the pod that plays a name of the internet.
fn outside(cluster: &Cluster, app: &str) -> Result<String> {
    let found = pods(cluster, "outside", &format!("app={app}"))?;
    let address = found
        .first()
        .and_then(|pod| pod["status"]["podIP"].as_str());
    Ok(address.context("no address")?.to_owned())
}

/// httpbin.org: a pod without a proxy and without a Service, behind a name that the cluster's DNS knows.
fn internet(cluster: &Cluster) -> Result<()> {
    cluster.apply(
        &[],
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}})
            .to_string(),
    )?;
    for (app, image, args) in [
        ("internet", "outside-httpbin", vec!["-b", "0.0.0.0:80"]),
        ("hello-1", "examples-helloworld-v1", vec![]),
        ("hello-2", "examples-helloworld-v2", vec![]),
    ] {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": app, "namespace": "outside", "labels": {"app": app}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "app", "image": image, "args": args}],
            },
        });
        cluster.apply(&[], &pod.to_string())?;
        pods_are(cluster, "outside", &format!("app={app}"), 1, 1)?;
    }
    let mut map = cluster.get(&["-n", "kube-system", "configmap", "coredns"])?;
    let file = map["data"]["Corefile"].as_str().context("no Corefile")?;
    if !file.contains("httpbin.org") {
        let hosts = format!(
            "hosts {{\n           {} httpbin.org\n           fallthrough\n        }}\n        kubernetes cluster.local",
            outside(cluster, "internet")?
        );
        map["data"]["Corefile"] = file.replacen("kubernetes cluster.local", &hosts, 1).into();
        cluster.apply(&[], &map.to_string())?;
        cluster.kubectl(&[
            "-n",
            "kube-system",
            "rollout",
            "restart",
            "deployment",
            "coredns",
        ])?;
        cluster.available("kube-system", "coredns", PODS)?;
    }
    Ok(())
}

pub(in super::super) fn allowed(cluster: &Cluster) -> Result<String> {
    internet(cluster)?;
    eventually(EFFECT, "httpbin.org", || {
        let answer = curl(cluster, &["http://httpbin.org/headers"])?.is(200)?;
        let answer = answer.has("\"Host\": \"httpbin.org\"")?;
        ensure!(
            !answer.text.contains("X-Envoy-Peer-Metadata"),
            "{}",
            answer.text
        );
        Ok(())
    })?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &[
            "/headers",
            "\"httpbin.org\"",
            " PassthroughCluster ",
            " allow_any",
        ],
    )?;
    Ok(String::new())
}

/// Changes the mode in the mesh's ConfigMap.
fn outbound(cluster: &Cluster, mode: &str) -> Result<()> {
    let mut map = cluster.get(&["-n", ISTIO, "configmap", "istio"])?;
    let text = map["data"]["mesh"].as_str().context("no mesh config")?;
    let mut config: serde_json::Value = serde_yaml::from_str(text).context("the mesh config")?;
    config["outboundTrafficPolicy"]["mode"] = mode.into();
    map["data"]["mesh"] = config.to_string().into();
    cluster.apply(&[], &map.to_string()).map(drop)
}

pub(super) fn registry_only(cluster: &Cluster) -> Result<String> {
    let before = proxies(cluster)?;
    outbound(cluster, "REGISTRY_ONLY")?;
    eventually(EFFECT, "502", || {
        curl(cluster, &["http://httpbin.org/headers"])?.is(502)
    })?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &["/headers", " 502 - direct_response ", " block_all"],
    )?;
    if let Ok(answer) = curl(cluster, &["-k", "https://httpbin.org/headers"]) {
        bail!("https answers {}", answer.text);
    }
    curl(cluster, &["http://httpbin:8000/get"])?.is(200)?;
    mesh::same("the pods with a proxy", &proxies(cluster)?, &before)?;
    Ok(String::new())
}

pub(super) fn service_entry(cluster: &Cluster) -> Result<String> {
    apply(cluster, &format!("{FOLDER}/serviceentry.yaml"))?;
    let listed = cluster.kubectl(&["get", "se"])?;
    for words in ["httpbin-ext", "[\"httpbin.org\"]", "MESH_EXTERNAL", "DNS"] {
        ensure!(listed.contains(words), "no {words}: {listed}");
    }
    eventually(EFFECT, "httpbin.org", || {
        curl(cluster, &["http://httpbin.org/ip"])?
            .is(200)?
            .has("origin")
    })?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &["/ip", " outbound|80||httpbin.org "],
    )?;
    curl(cluster, &["-H", "Host: other.org", "http://httpbin.org/ip"])?.is(502)?;
    Ok(String::new())
}

pub(super) fn allowed_again(cluster: &Cluster) -> Result<String> {
    delete(cluster, &format!("{FOLDER}/serviceentry.yaml"))?;
    outbound(cluster, "ALLOW_ANY")?;
    eventually(EFFECT, "httpbin.org", || {
        curl(cluster, &["-H", "Host: other.org", "http://httpbin.org/ip"])?.is(200)
    })?;
    Ok(String::new())
}

/// How many addresses httpbin.org saw on the request's way.
fn origins(answer: &Reply) -> usize {
    let line = answer.text.lines().find(|line| line.contains("\"origin\""));
    line.map_or(0, |line| line.split(", ").count())
}

pub(super) fn egress(cluster: &Cluster) -> Result<String> {
    install(cluster, EGRESS, "charts/gateway", EGRESS_VALUES)?;
    cluster.available(ISTIO, EGRESS, PODS)?;
    let found = pods(cluster, ISTIO, "istio=egressgateway")?;
    let gateway = found
        .first()
        .map(|pod| name(pod).to_owned())
        .context("no pod")?;
    apply(cluster, &format!("{FOLDER}/egressse.yaml"))?;
    eventually(EFFECT, "httpbin.org", || {
        curl(cluster, &["http://httpbin.org/ip"])?.is(200)?;
        let lines = log_lines(
            cluster,
            "default",
            "deploy/sleep",
            &["/ip", " outbound|80||httpbin.org ", "- default"],
        )?;
        ensure!(!lines.is_empty(), "no line of the ServiceEntry's cluster");
        Ok(())
    })?;
    apply(cluster, &format!("{FOLDER}/egressgw.yaml"))?;
    apply(cluster, &format!("{FOLDER}/egressvs.yaml"))?;
    let listed = cluster.kubectl(&["get", "vs"])?;
    ensure!(
        listed.contains("[\"istio-egressgateway\",\"mesh\"]"),
        "{listed}"
    );
    eventually(EFFECT, "through the gateway", || {
        curl(cluster, &["http://httpbin.org/ip"])?.is(200)?;
        let lines = log_lines(
            cluster,
            ISTIO,
            &gateway,
            &["/ip", " outbound|80||httpbin.org "],
        )?;
        ensure!(!lines.is_empty(), "the gateway was not asked");
        Ok(())
    })?;
    let answer = curl(cluster, &["http://httpbin.org/ip"])?.is(200)?;
    ensure!(
        origins(&answer) > 1,
        "the gateway added no address: {}",
        answer.text
    );
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &[
            "/ip",
            " outbound|80|httpbin|istio-egressgateway.istio-system.svc.cluster.local ",
        ],
    )?;
    Ok(String::new())
}

pub(super) fn egress_removed(cluster: &Cluster) -> Result<String> {
    for file in ["egressse.yaml", "egressgw.yaml", "egressvs.yaml"] {
        delete(cluster, &format!("{FOLDER}/{file}"))?;
    }
    eventually(EFFECT, "directly", || {
        let answer = curl(cluster, &["http://httpbin.org/ip"])?.is(200)?;
        ensure!(
            origins(&answer) == 1,
            "through the gateway: {}",
            answer.text
        );
        Ok(())
    })?;
    cluster.helm(&["uninstall", EGRESS, "-n", ISTIO])?;
    Ok(String::new())
}

pub(super) fn workload_entry(cluster: &Cluster) -> Result<String> {
    let file = manifests()?.join(FOLDER).join("workloadentry.yaml");
    let text = std::fs::read_to_string(&file).context("workloadentry.yaml")?;
    cluster.apply(&[], &text.replace("<VM_IP>", &outside(cluster, "hello-1")?))?;
    let url = "http://vm-hello.default.svc.cluster.local:5000/hello";
    let ask = || {
        let resolved = "vm-hello.default.svc.cluster.local:5000:240.240.0.1";
        curl(cluster, &["--resolve", resolved, url])
    };
    eventually(EFFECT, "v1", || ask()?.is(200)?.has("Hello version: v1"))?;
    let second = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "vm-hello-2", "namespace": "default"},
        "spec": {"address": outside(cluster, "hello-2")?, "labels": {"app": "vm-hello"}},
    });
    cluster.apply(&[], &second.to_string())?;
    eventually(EFFECT, "v2, too", || {
        ask()?.is(200)?.has("Hello version: v2")
    })?;
    cluster.kubectl(&["delete", "workloadentry", "vm-hello-1"])?;
    eventually(EFFECT, "only v2", || {
        for _ in 0..10 {
            ask()?.is(200)?.has("Hello version: v2")?;
        }
        Ok(())
    })?;
    cluster.kubectl(&["delete", "workloadentry", "vm-hello-2"])?;
    cluster.kubectl(&["delete", "serviceentry", "vm-hello"])?;
    Ok(String::new())
}

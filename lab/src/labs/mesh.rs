//! What steps of several labs ask.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, condition};
use crate::run::eventually;

/// The control plane's namespace.
pub(super) const ISTIO: &str = "istio-system";
/// The ingress gateway's Deployment and Service.
pub(super) const INGRESS: &str = "istio-ingressgateway";
/// For a change to take effect: the labs ask for 5 s, and a busy machine gets more.
pub(super) const EFFECT: Duration = Duration::from_secs(30);
/// For pods to become Ready.
pub(super) const PODS: Duration = Duration::from_secs(120);

/// Pods that carry all of these labels; "" for all pods.
pub(super) fn pods(cluster: &Cluster, ns: &str, labels: &str) -> Result<Vec<Value>> {
    let words: &[&str] = if labels.is_empty() {
        &["-n", ns, "pods"]
    } else {
        &["-n", ns, "pods", "-l", labels]
    };
    match cluster.get(words)?["items"].take() {
        Value::Array(pods) => Ok(pods),
        _ => bail!("kubectl lists no pods"),
    }
}

/// READY as kubectl prints it, of a pod that is not on its way out: native sidecars count.
pub(super) fn ready(pod: &Value) -> (usize, usize) {
    let spec = &pod["spec"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let sidecars: Vec<Value> = list(&spec["initContainers"])
        .into_iter()
        .filter(|container| container["restartPolicy"] == "Always")
        .collect();
    let total = list(&spec["containers"]).len() + sidecars.len();
    let statuses = list(&pod["status"]["containerStatuses"]).into_iter().chain(
        list(&pod["status"]["initContainerStatuses"])
            .into_iter()
            .filter(|status| {
                sidecars
                    .iter()
                    .any(|sidecar| sidecar["name"] == status["name"])
            }),
    );
    let ready = statuses.filter(|status| status["ready"] == true).count();
    (ready, total)
}

/// Waits until a namespace has so many pods with labels, each READY as given.
pub(super) fn pods_are(
    cluster: &Cluster,
    ns: &str,
    labels: &str,
    count: usize,
    containers: usize,
) -> Result<String> {
    eventually(PODS, labels, || {
        let found: Vec<Value> = pods(cluster, ns, labels)?
            .into_iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .collect();
        ensure!(found.len() == count, "{} pods of {count}", found.len());
        for pod in &found {
            let (ready, total) = ready(pod);
            let name = name(pod);
            ensure!(
                (ready, total) == (containers, containers),
                "{name} is {ready}/{total}"
            );
            ensure!(
                condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True"),
                "{name} is not Ready"
            );
        }
        Ok(format!("{count} pods {containers}/{containers}"))
    })
}

/// An object's name.
pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The containers of a pod, init containers first.
pub(super) fn containers(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .collect()
}

/// The container of a pod by name.
pub(super) fn container<'a>(pod: &'a Value, wanted: &str) -> Result<&'a Value> {
    let found = containers(pod)
        .into_iter()
        .find(|container| container["name"] == wanted);
    found.with_context(|| format!("{} has no container {wanted}", name(pod)))
}

/// Namespace and name of every running pod with a proxy.
pub(super) fn proxies(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let all = cluster.get(&["pods", "-A"])?;
    let with_proxy = |pod: &&Value| {
        pod["status"]["phase"] == "Running"
            && pod["metadata"]["deletionTimestamp"].is_null()
            && container(pod, "istio-proxy").is_ok()
    };
    let pods = all["items"].as_array().into_iter().flatten();
    Ok(pods
        .filter(with_proxy)
        .map(|pod| {
            let ns = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            (ns.to_owned(), name(pod).to_owned())
        })
        .collect())
}

/// A page of a proxy's administration interface.
pub(super) fn admin(cluster: &Cluster, ns: &str, pod: &str, path: &str) -> Result<String> {
    let words = ["pilot-agent", "request", "GET", path];
    cluster.exec(ns, pod, "istio-proxy", &words)
}

/// No proxy has rejected anything, and each has taken clusters and listeners.
pub(super) fn nothing_rejected(cluster: &Cluster) -> Result<String> {
    let proxies = proxies(cluster)?;
    ensure!(!proxies.is_empty(), "there are no proxies");
    for (ns, pod) in &proxies {
        let stats = admin(cluster, ns, pod, "stats?filter=update_(rejected|success)$")?;
        for (stat, count) in stats.lines().filter_map(|line| line.split_once(": ")) {
            if stat.ends_with("update_rejected") && count.trim() != "0" {
                bail!("{ns}/{pod}: {stat} is {count}");
            }
        }
        for needed in ["cluster_manager.cds", "listener_manager.lds"] {
            let taken = stats.lines().any(|line| {
                line.strip_prefix(&format!("{needed}.update_success: "))
                    .is_some_and(|count| count != "0")
            });
            ensure!(taken, "{ns}/{pod} has taken no {needed}");
        }
    }
    Ok(format!("{} proxies", proxies.len()))
}

/// The status of a GET from a container, and what curl says when there is none.
pub(super) fn status(
    cluster: &Cluster,
    ns: &str,
    target: &str,
    container: &str,
    url: &str,
) -> Result<u16> {
    let words = [
        "curl",
        "-s",
        "-m",
        "10",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        url,
    ];
    let text = cluster.exec(ns, target, container, &words)?;
    text.trim()
        .parse()
        .with_context(|| format!("{url}: {text}"))
}

/// The body of a GET from a container; an error for other statuses than success.
pub(super) fn body(
    cluster: &Cluster,
    ns: &str,
    target: &str,
    container: &str,
    url: &str,
) -> Result<String> {
    cluster.exec(
        ns,
        target,
        container,
        &["curl", "-sS", "-f", "-m", "10", url],
    )
}

/// The lines of a loaded text that a cluster's step wants: `wanted` of `found` differ.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<()> {
    ensure!(found == wanted, "{what} is {found:?}, not {wanted:?}");
    Ok(())
}

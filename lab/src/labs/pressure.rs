//! Meshed pods under load while something breaks: what `faults` and `takeover` share.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::mesh::{EFFECT, ISTIO, admin, name, pods, pods_are};
use crate::cluster::Cluster;
use crate::load::Summary;
use crate::run::eventually;

const MANIFEST: &str = include_str!("../../files/pressure.yaml");
/// Requests a second.
const RATE: &str = "40";
/// The load ends by itself when the lab forgets it.
const LIMIT: &str = "300";
/// Envoy waits for up to 30 s before it tries again, and begins anew when a connection holds.
const RECONNECTED: Duration = Duration::from_secs(60);
const CALLED: &str = "server:8000";

/// Two servers and a client in a namespace of their own, STRICT; `short`, a client whose certificates live a minute, has
/// no pods yet.
pub(super) fn deploy(cluster: &Cluster, ns: &str) -> Result<String> {
    cluster.kubectl(&["create", "namespace", ns])?;
    cluster.kubectl(&["label", "namespace", ns, "istio-injection=enabled"])?;
    cluster.apply(&["-n", ns], MANIFEST)?;
    pods_are(cluster, ns, "app=server", 2, 2)?;
    pods_are(cluster, ns, "app=client", 1, 2)?;
    answered(cluster, ns, "client")?;
    Ok("3 pods 2/2".to_owned())
}

/// Starts the client `short`.
pub(super) fn start_short(cluster: &Cluster, ns: &str) -> Result<()> {
    cluster.kubectl(&["-n", ns, "scale", "deployment", "short", "--replicas=1"])?;
    pods_are(cluster, ns, "app=short", 1, 2)?;
    answered(cluster, ns, "short")
}

/// Waits until a client is answered, by both servers: a pod is Ready a moment before others know it.
fn answered(cluster: &Cluster, ns: &str, client: &str) -> Result<()> {
    let url = format!("http://{CALLED}/status/200");
    let words = ["curl", "-sS", "-f", "-m", "5", "-o", "/dev/null", &url];
    eventually(EFFECT, "a first answer", || {
        for _ in 0..8 {
            cluster.exec(ns, &format!("deploy/{client}"), "load", &words)?;
        }
        Ok(())
    })
}

/// Begins a load in a client's pod, which goes on without us.
pub(super) fn begin(cluster: &Cluster, ns: &str, client: &str) -> Result<()> {
    let script = format!(
        "rm -f /tmp/load.json; \
         /usr/local/bin/stand-in load {CALLED} /status/200 {RATE} {LIMIT} >/tmp/load.json 2>&1 & \
         echo $! >/tmp/load.pid"
    );
    let words = ["sh", "-c", &script];
    cluster
        .exec(ns, &format!("deploy/{client}"), "load", &words)
        .map(drop)
}

/// Ends the load of a client. An error when a request was lost, or when there was no load to speak of.
pub(super) fn end(cluster: &Cluster, ns: &str, client: &str) -> Result<Summary> {
    let target = format!("deploy/{client}");
    let stop = ["sh", "-c", "kill $(cat /tmp/load.pid)"];
    cluster.exec(ns, &target, "load", &stop)?;
    let text = eventually(EFFECT, "the load's result", || {
        let text = cluster.exec(ns, &target, "load", &["cat", "/tmp/load.json"])?;
        ensure!(text.ends_with('\n'), "there is none yet: {text}");
        Ok(text)
    })?;
    let summary: Summary =
        serde_json::from_str(&text).with_context(|| format!("the load says {text}"))?;
    ensure!(
        summary.failed == 0 && summary.ok == summary.sent,
        "{client} lost requests: {text}"
    );
    ensure!(
        summary.sent > 5 * summary.seconds && summary.seconds > 0,
        "{client} made too few requests: {text}"
    );
    Ok(summary)
}

/// A load's result in a few words.
pub(super) fn told(summary: &Summary) -> String {
    format!(
        "{} requests in {} s over {} connections, 0 failed, the longest {} ms",
        summary.sent, summary.seconds, summary.connections, summary.longest_ms
    )
}

/// The control plane's pods that are not on their way out.
pub(super) fn control_planes(cluster: &Cluster) -> Result<Vec<Value>> {
    let mut found = pods(cluster, ISTIO, "app=istiod")?;
    found.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(found)
}

/// How many proxies a control plane's pod serves, as its metrics say.
pub(super) fn connected(cluster: &Cluster, pod: &str) -> Result<u64> {
    let url = format!("/api/v1/namespaces/{ISTIO}/pods/{pod}:15014/proxy/metrics");
    let metrics = cluster.kubectl(&["get", "--raw", &url])?;
    let line = metrics.lines().find(|line| line.starts_with("pilot_xds{"));
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.map_or(Ok(0), |count| count.parse().context("pilot_xds"))
}

/// Waits until the control plane's pods together serve all proxies of a namespace.
pub(super) fn reconnected(cluster: &Cluster, ns: &str) -> Result<u64> {
    let wanted = super::mesh::proxies(cluster)?
        .into_iter()
        .filter(|(place, _)| place == ns)
        .count();
    eventually(RECONNECTED, "proxies reconnected", || {
        let mut served = 0;
        for pod in control_planes(cluster)? {
            served += connected(cluster, name(&pod))?;
        }
        ensure!(
            wanted > 0 && served >= u64::try_from(wanted)?,
            "{served} proxies are connected; {ns} has {wanted}"
        );
        Ok(served)
    })
}

/// A figure of a client's proxy, such as `cx_total`, summed over the servers. Istio keeps statistics of few clusters, and
/// the addresses' own figures always.
pub(super) fn counted(cluster: &Cluster, ns: &str, pod: &str, figure: &str) -> Result<u64> {
    let page = admin(cluster, ns, pod, "clusters")?;
    let head = format!("outbound|8000||server.{ns}.svc.cluster.local::");
    let tail = format!("::{figure}::");
    let counts = page
        .lines()
        .filter(|line| line.starts_with(&head))
        .filter_map(|line| line.split_once(&tail)?.1.trim().parse::<u64>().ok());
    counts
        .reduce(|sum, count| sum + count)
        .with_context(|| format!("{pod} has no {figure} of {CALLED}"))
}

//! Circuit breaking and outlier detection.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::super::calls::{all, apply, delete, statuses};
use super::super::mesh::{EFFECT, admin, name, pods, pods_are};
use super::file;
use crate::cluster::Cluster;
use crate::run::eventually;

/// So many requests at a time, in waves; how many had each status.
fn parallel(
    cluster: &Cluster,
    url: &str,
    at_a_time: usize,
    waves: usize,
) -> Result<BTreeMap<u16, usize>> {
    let one = format!("-o /dev/null {url} ");
    let script = format!(
        "for i in $(seq {waves}); do curl -s -Z --parallel-immediate -w '%{{http_code}}\\n' {}; done; true",
        one.repeat(at_a_time)
    );
    let said = cluster.exec(
        "default",
        "deploy/fortio-deploy",
        "fortio",
        &["sh", "-c", &script],
    )?;
    let mut counts = BTreeMap::new();
    for line in said.lines() {
        *counts
            .entry(line.trim().parse().context("a status")?)
            .or_insert(0) += 1;
    }
    Ok(counts)
}

pub(super) fn overflow(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("circuitbreaking.yaml"))?;
    let described = cluster.kubectl(&["get", "dr", "httpbin", "-o", "json"])?;
    let rule: Value = serde_json::from_str(&described).context("the DestinationRule")?;
    let policy = &rule["spec"]["trafficPolicy"];
    ensure!(
        policy["connectionPool"]["http"]["http1MaxPendingRequests"] == 1
            && policy["outlierDetection"]["baseEjectionTime"] == "3m",
        "{rule}"
    );
    apply(cluster, "apps/fortio-deploy.yaml")?;
    pods_are(cluster, "default", "app=fortio", 1, 2)?;
    // One at a time overflows nothing. This comes first: the rule limits the proxy of the called pod too, and a request too
    // many that is refused there counts as a failure of the pod, which is then ejected for three minutes.
    let alone = parallel(cluster, "http://httpbin:8000/get", 1, 10)?;
    all(&alone, 200)?;
    let url = "http://httpbin:8000/delay/1";
    let counts = eventually(EFFECT, "overflow", || {
        let counts = parallel(cluster, url, 8, 1)?;
        ensure!(
            counts.contains_key(&200) && counts.contains_key(&503) && counts.len() == 2,
            "statuses {counts:?}"
        );
        Ok(counts)
    })?;
    Ok(format!("{counts:?}"))
}

pub(super) fn counted(cluster: &Cluster) -> Result<String> {
    let pods = pods(cluster, "default", "app=fortio")?;
    let pod = pods.first().map(name).context("no fortio")?;
    let stats = admin(cluster, "default", pod, "stats?filter=httpbin.*pending")?;
    let overflow = stats.lines().find_map(|line| {
        let (stat, value) = line.split_once(": ")?;
        let ours = stat.starts_with("cluster.outbound|8000||httpbin.default.svc.cluster.local;.");
        (ours && stat.ends_with("upstream_rq_pending_overflow")).then_some(value)
    });
    let count: u64 = overflow
        .with_context(|| format!("no counter: {stats}"))?
        .trim()
        .parse()
        .context("a count")?;
    ensure!(count > 0, "nothing overflowed: {stats}");
    Ok(format!("{count}"))
}

/// A second pod of httpbin that answers 500 to everything.
fn broken() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "httpbin-broken",
            "namespace": "default",
            "labels": {"app": "httpbin", "state": "broken"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "httpbin",
                "image": "go-httpbin",
                "env": [{"name": "STAND_IN_STATUS", "value": "500"}],
                "ports": [{"containerPort": 8080}],
            }],
        },
    })
}

pub(super) fn ejected(cluster: &Cluster) -> Result<String> {
    cluster.apply(&[], &broken().to_string())?;
    pods_are(cluster, "default", "state=broken", 1, 2)?;
    let url = "http://httpbin:8000/get";
    // One failure for each worker of the caller's proxy at most, and then none.
    let failures = eventually(EFFECT, "the failing pod", || {
        let counts = statuses(cluster, url, "", 10)?;
        ensure!(counts.contains_key(&500), "statuses {counts:?}");
        Ok(counts)
    })?;
    eventually(EFFECT, "ejection", || {
        all(&statuses(cluster, url, "", 20)?, 200)
    })?;
    Ok(format!("at first {failures:?}, then only 200"))
}

pub(super) fn healed(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["delete", "pod", "httpbin-broken", "--wait=true"])?;
    delete(cluster, &file("circuitbreaking.yaml"))?;
    let url = "http://httpbin:8000/delay/1";
    eventually(EFFECT, "no limit", || {
        all(&parallel(cluster, url, 20, 1)?, 200)
    })?;
    delete(cluster, "apps/fortio-deploy.yaml")?;
    Ok(String::new())
}

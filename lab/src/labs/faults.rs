//! Faults under load: whatever happens to the API server and the control plane, meshed pods go on calling each other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::mesh::{EFFECT, ISTIO, PODS, admin, name, nothing_rejected, pods, same};
use super::pressure::{
    begin, control_planes, counted, deploy, end, reconnected, start_short, told,
};
use crate::cluster::{Cluster, condition, statuses};
use crate::report::{Step, needed, step};
use crate::run::{Hopeless, eventually, said};

pub(super) const STEPS: &[Step] = &[
    needed("faults.1", "meshed pods run, STRICT", pods_run),
    step(
        "faults.2",
        "the API server stands still for 60 s",
        api_server_stands_still,
    ),
    step(
        "faults.3",
        "the control plane is killed ten times in a row",
        killed_ten_times,
    ),
    step(
        "faults.4",
        "of two control planes the leader is killed",
        leader_killed,
    ),
    step(
        "faults.5",
        "certificates are replaced before they run out",
        rotation,
    ),
    step(
        "faults.6",
        "no proxy has rejected anything",
        nothing_rejected_here,
    ),
];

const NS: &str = "faults";
const OUTAGE: Duration = Duration::from_secs(60);
const KILLS: u64 = 10;
/// A lease is 30 s, and whoever waits looks every 7.5 s.
const TAKEN_OVER: Duration = Duration::from_secs(60);
/// Two rotations of certificates that live a minute, and its end.
const ROTATED: Duration = Duration::from_secs(100);
const LOCK: &str = "istio-namespace-controller-election";
const READY_PORT: u16 = 8080;

fn pods_run(cluster: &Cluster) -> Result<String> {
    deploy(cluster, NS)
}

/// The only pod of the control plane.
fn control_plane(cluster: &Cluster) -> Result<Value> {
    let mut found = control_planes(cluster)?;
    same("the number of control planes", &found.len(), &1)?;
    found.pop().context("no control plane")
}

fn restarts(pod: &Value) -> u64 {
    statuses(pod)
        .filter_map(|status| status["restartCount"].as_u64())
        .sum()
}

/// Makes the control plane's readiness page reachable without the API server; the port of the node.
fn readiness_port(cluster: &Cluster) -> Result<u16> {
    let service = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "readiness", "namespace": ISTIO},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "istiod"},
            "ports": [{"name": "http", "port": READY_PORT}],
        },
    });
    cluster.apply(&[], &service.to_string())?;
    let port = cluster.node_port(ISTIO, "readiness", "http")?;
    eventually(EFFECT, "readiness", || is_ready(cluster, port))?;
    Ok(port)
}

fn is_ready(cluster: &Cluster, port: u16) -> Result<()> {
    let answer = cluster.ask_port(port, |call| call, "/ready")?;
    ensure!(
        answer.status == 200,
        "/ready: {} {}",
        answer.status,
        answer.body
    );
    Ok(())
}

/// It keeps its connections and answers nobody: worse than one that is gone.
fn api_server_stands_still(cluster: &Cluster) -> Result<String> {
    let port = readiness_port(cluster)?;
    let before = control_plane(cluster)?;
    begin(cluster, NS, "client")?;
    cluster.freeze_api_server()?;
    let outage = Instant::now();
    let mut unready = None;
    let mut asked = 0;
    while outage.elapsed() < OUTAGE {
        if let Err(error) = is_ready(cluster, port) {
            unready.get_or_insert((outage.elapsed(), error));
        }
        asked += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    cluster.thaw_api_server()?;
    let back = Instant::now();
    eventually(EFFECT, "the API server", || {
        cluster.kubectl(&["get", "--raw=/readyz"])
    })?;
    follows_changes(cluster)?;
    let time = back.elapsed();
    let load = end(cluster, NS, "client")?;
    if let Some((after, error)) = unready {
        bail!("the control plane is not ready after {after:?}: {error:#}");
    }
    let after = control_plane(cluster)?;
    same("the control plane", &name(&after), &name(&before))?;
    same("its restarts", &restarts(&after), &restarts(&before))?;
    cluster.kubectl(&["-n", ISTIO, "delete", "service", "readiness"])?;
    Ok(format!(
        "{}; ready {asked} times of {asked}; a change arrived {:.1} s after its return",
        told(&load),
        time.as_secs_f32()
    ))
}

/// A Service that is new becomes a cluster of the client's proxy.
fn follows_changes(cluster: &Cluster) -> Result<()> {
    let service = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "second", "namespace": NS},
        "spec": {"selector": {"app": "server"}, "ports": [{"name": "http", "port": 8001, "targetPort": 8080}]},
    });
    eventually(EFFECT, "a new Service", || {
        cluster.apply(&[], &service.to_string())
    })?;
    let client = client(cluster, "client")?;
    eventually(EFFECT, "the proxy's cluster of a new Service", || {
        let clusters = admin(cluster, NS, &client, "clusters")?;
        let wanted = format!("outbound|8001||second.{NS}.svc.cluster.local::10.");
        ensure!(clusters.contains(&wanted), "there is none");
        Ok(())
    })
}

/// The name of a client's pod.
fn client(cluster: &Cluster, app: &str) -> Result<String> {
    let found = pods(cluster, NS, &format!("app={app}"))?;
    let pod = found.first().with_context(|| format!("no pod of {app}"))?;
    Ok(name(pod).to_owned())
}

fn killed_ten_times(cluster: &Cluster) -> Result<String> {
    begin(cluster, NS, "client")?;
    let mut times = Vec::new();
    for _ in 0..KILLS {
        let pod = control_plane(cluster)?;
        let (before, begun) = (restarts(&pod), Instant::now());
        cluster.kill_container(&pod, "discovery")?;
        eventually(PODS, "the control plane", || {
            let pod = control_plane(cluster)?;
            let now = restarts(&pod);
            ensure!(now > before, "it has not been restarted yet");
            if now > before + 1 {
                return Err(Hopeless("it has been restarted twice".to_owned()).into());
            }
            ensure!(
                condition(&pod, "Ready").is_some_and(|ready| ready["status"] == "True"),
                "it is not ready"
            );
            Ok(())
        })?;
        times.push(format!("{:.1}", begun.elapsed().as_secs_f32()));
    }
    let last = Instant::now();
    let served = reconnected(cluster, NS)?;
    let last = last.elapsed();
    let load = end(cluster, NS, "client")?;
    Ok(format!(
        "{}; seconds from kill to Ready: {}; {served} proxies reconnected {:.1} s after the last",
        told(&load),
        times.join(" "),
        last.as_secs_f32()
    ))
}

/// Who holds the lock; "" when nobody does.
fn holder(cluster: &Cluster) -> Result<String> {
    let lock = cluster.get(&["-n", ISTIO, "configmap", LOCK])?;
    let record = lock["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"]
        .as_str()
        .context("the lock has no annotation")?;
    let record: Value = serde_json::from_str(record).context("the lock's annotation")?;
    Ok(record["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

fn scale(cluster: &Cluster, replicas: usize) -> Result<()> {
    let count = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", ISTIO, "scale", "deployment", "istiod", &count])?;
    // `available` gives up on pods that have been restarted often, and these have.
    eventually(PODS, "the control planes", || {
        let all = pods(cluster, ISTIO, "app=istiod")?;
        same("the number of control planes", &all.len(), &replicas)?;
        for pod in &all {
            ensure!(
                condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True"),
                "{} is not ready",
                name(pod)
            );
        }
        Ok(())
    })
}

fn leader_killed(cluster: &Cluster) -> Result<String> {
    scale(cluster, 2)?;
    // The next step looks at what this client's certificates do meanwhile.
    start_short(cluster, NS)?;
    begin(cluster, NS, "short")?;
    begin(cluster, NS, "client")?;
    let old = eventually(TAKEN_OVER, "a leader", || {
        let holder = holder(cluster)?;
        let all = control_planes(cluster)?;
        let pod = all.into_iter().find(|pod| name(pod) == holder);
        pod.with_context(|| format!("the holder {holder} is no pod"))
    })?;
    let begun = Instant::now();
    // Killed, it gives nothing back; deleted, it does not return under its own name.
    cluster.kill_container(&old, "discovery")?;
    let delete = ["delete", "pod", name(&old), "--grace-period=0", "--force"];
    cluster.kubectl(&[&["-n", ISTIO][..], &delete].concat())?;
    cluster.kubectl(&["create", "namespace", "after-the-leader"])?;
    let new = eventually(TAKEN_OVER, "another leader", || {
        let holder = holder(cluster)?;
        ensure!(
            !holder.is_empty() && holder != name(&old),
            "the lock is {holder:?}'s"
        );
        Ok(holder)
    })?;
    let taken = begun.elapsed();
    let all = control_planes(cluster)?;
    ensure!(
        all.iter().any(|pod| name(pod) == new),
        "{new} is no control plane"
    );
    eventually(EFFECT, "the root certificate in a new namespace", || {
        cluster.get(&["-n", "after-the-leader", "configmap", "istio-ca-root-cert"])
    })?;
    let load = end(cluster, NS, "client")?;
    cluster.kubectl(&["delete", "namespace", "after-the-leader", "--wait=false"])?;
    Ok(format!(
        "{}; the other led after {:.1} s",
        told(&load),
        taken.as_secs_f32()
    ))
}

/// How many certificates an agent has got.
fn issued(cluster: &Cluster, pod: &str) -> Result<usize> {
    let log = cluster.logs(NS, pod, "istio-proxy")?;
    Ok(log
        .lines()
        .filter(|line| line.contains("generated new workload certificate"))
        .count())
}

/// The number and the end of the certificate that Envoy uses, which has not come yet.
fn in_use(cluster: &Cluster, pod: &str) -> Result<(String, String)> {
    let certificates: Value = serde_json::from_str(&admin(cluster, NS, pod, "certs")?)?;
    let own = certificates["certificates"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["cert_chain"].as_array().into_iter().flatten())
        .find(|one| one["subject_alt_names"].to_string().contains("spiffe://"))
        .with_context(|| format!("{pod} has no identity: {certificates}"))?;
    let text = |field: &str| own[field].as_str().unwrap_or_default().to_owned();
    let (number, end) = (text("serial_number"), text("expiration_time"));
    let now = said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?;
    // In this form the order of texts is that of times.
    if end.as_str() <= now.trim() {
        let why = format!("{pod} uses a certificate of {end}, and it is {now}");
        return Err(Hopeless(why).into());
    }
    Ok((number, end))
}

/// The load of `short` has begun in the step before, or begins now.
fn rotation(cluster: &Cluster) -> Result<String> {
    let short = client(cluster, "short")?;
    let first = in_use(cluster, &short)?;
    let mut seen = vec![first];
    let hands = counted(cluster, NS, &short, "cx_total")?;
    let begun = Instant::now();
    // The agent counts from the pod's beginning; Envoy's own certificates are looked at from now on.
    let count = eventually(ROTATED, "rotations", || {
        let now = in_use(cluster, &short)?;
        if seen.last().map(|last| &last.0) != Some(&now.0) {
            seen.push(now);
        }
        let count = issued(cluster, &short)?;
        ensure!(
            count >= 4 && seen.len() >= 2,
            "{count} certificates issued, {} seen in use",
            seen.len()
        );
        Ok(count)
    })?;
    let time = begun.elapsed();
    let hands = counted(cluster, NS, &short, "cx_total")? - hands;
    ensure!(hands > 20, "{hands} handshakes show nothing");
    let load = end(cluster, NS, "short")?;
    let mut servers = Vec::new();
    for server in pods(cluster, NS, "app=server")? {
        servers.push(issued(cluster, name(&server))?);
    }
    ensure!(
        servers.iter().all(|count| *count >= 3),
        "the servers got {servers:?} certificates"
    );
    for app in ["client", "short"] {
        let failures = counted(cluster, NS, &client(cluster, app)?, "cx_connect_fail")?;
        same("the number of failed connections", &failures, &0)?;
    }
    Ok(format!(
        "{}; its certificates live 1 min: {count} issued, {hands} connections between proxies in {:.0} s; the servers' live 5 min, \
         replaced after 30 s: {servers:?} issued",
        told(&load),
        time.as_secs_f32()
    ))
}

fn nothing_rejected_here(cluster: &Cluster) -> Result<String> {
    scale(cluster, 1)?;
    let found = nothing_rejected(cluster)?;
    cluster.kubectl(&["delete", "namespace", NS, "--wait=false"])?;
    Ok(found)
}

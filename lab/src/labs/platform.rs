//! The cluster itself, without any mesh: what the other labs take for granted.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed(
        "platform.1",
        "a Deployment with a probe becomes available",
        pods,
    ),
    step(
        "platform.2",
        "a Service answers by name from another pod",
        by_name,
    ),
    step(
        "platform.3",
        "names outside the cluster are refused at once",
        outside,
    ),
    step("platform.4", "a NodePort answers on the machine", node_port),
    step(
        "platform.5",
        "a token for istio-ca is accepted for that audience only",
        token,
    ),
    step("platform.6", "logs of a container can be read", logs),
    step(
        "platform.7",
        "istio-init, in the proxy's image, redirects a pod's traffic",
        redirection,
    ),
];

const NS: &str = "platform";
const LIMIT: Duration = Duration::from_secs(90);
const MANIFEST: &str = include_str!("../../files/platform.yaml");
const ASK: &[&str] = &["curl", "-sS", "-m", "5"];

fn pods(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["create", "namespace", NS])?;
    cluster.apply(&["-n", NS], MANIFEST)?;
    cluster.available(NS, "web", LIMIT)?;
    cluster.available(NS, "client", LIMIT)?;
    Ok(String::new())
}

fn by_name(cluster: &Cluster) -> Result<String> {
    for host in ["web", "web.platform", "web.platform.svc.cluster.local"] {
        let url = format!("http://{host}/status/200");
        let words = [ASK, &["-f", &url]].concat();
        // kube-proxy writes its rules a second after the endpoints are there.
        eventually(LIMIT, host, || {
            cluster.exec(NS, "deploy/client", "client", &words)
        })?;
    }
    let ip = cluster.exec(
        NS,
        "deploy/client",
        "client",
        &[ASK, &["http://web/ip"]].concat(),
    )?;
    ensure!(
        ip.contains("10.244."),
        "the client's address is not a pod's: {ip}"
    );
    Ok(String::new())
}

fn outside(cluster: &Cluster) -> Result<String> {
    let words = [ASK, &["http://example.com/"]].concat();
    let error = match cluster.exec(NS, "deploy/client", "client", &words) {
        Ok(answer) => anyhow::bail!("there is an answer: {answer}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.contains("Could not resolve host"), "{error}");
    Ok(String::new())
}

fn node_port(cluster: &Cluster) -> Result<String> {
    let port = cluster.node_port(NS, "web", "http")?;
    let answer = cluster.ask_port(port, |call| call, "/status/418")?;
    ensure!(answer.status == 418, "status {}", answer.status);
    Ok(format!("port {port}"))
}

fn token(cluster: &Cluster) -> Result<String> {
    let token = cluster.kubectl(&[
        "-n",
        NS,
        "create",
        "token",
        "default",
        "--audience=istio-ca",
    ])?;
    for (audience, expected) in [("istio-ca", true), ("other", false)] {
        let review = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.trim(), "audiences": [audience]},
        });
        let words = ["create", "-o", "json", "-f", "-"];
        let answer = cluster.kubectl_fed(&words, &review.to_string())?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let found = answer["status"]["authenticated"].as_bool().unwrap_or(false);
        ensure!(
            found == expected,
            "audience {audience}: authenticated is {found}"
        );
    }
    Ok(String::new())
}

fn logs(cluster: &Cluster) -> Result<String> {
    let log = cluster.kubectl(&["-n", NS, "logs", "-l", "app=web"])?;
    ensure!(log.contains("GET /status/418"), "{log}");
    Ok(String::new())
}

/// Nothing listens where the traffic is sent to, so that a redirected connection is refused; the proxy's own user is not
/// redirected.
fn redirection(cluster: &Cluster) -> Result<String> {
    cluster.apply(&["-n", NS], include_str!("../../files/redirected.yaml"))?;
    cluster.wait_for(LIMIT, "-n platform pod/redirected", "Ready", "True")?;
    let words = [ASK, &["-f", "http://web/status/200"]].concat();
    cluster.exec(NS, "redirected", "proxy", &words)?;
    let error = match cluster.exec(NS, "redirected", "app", &words) {
        Ok(answer) => anyhow::bail!("the application is not redirected: {answer}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.contains("Failed to connect"), "{error}");
    cluster.kubectl(&[
        "-n",
        NS,
        "delete",
        "pod",
        "redirected",
        "--now",
        "--wait=false",
    ])?;
    Ok(String::new())
}

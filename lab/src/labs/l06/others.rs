//! A second host on the port, and proxies that have no business with the certificates.

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::calls::apply;
use super::super::mesh::{EFFECT, admin, name, pods, pods_are};
use super::client::{HELLOWORLD, HTTPBIN, ROOT, curl, file, shown};
use super::{CREDENTIAL, NAMES, TEAPOT, create, manifest, pair, replace, teapot};
use crate::cluster::Cluster;
use crate::run::eventually;

/// The sidecar of `sleep` is told to show the certificate to a host, so it asks for the Secret, which is in its own
/// namespace, too. Its service account may not list Secrets.
pub(super) fn sidecar(cluster: &Cluster) -> Result<String> {
    let own = pair(cluster, HTTPBIN)?;
    let ca = format!("--from-file=ca.crt={}", file(cluster, ROOT)?);
    let mut words = vec!["create", "secret", "generic", CREDENTIAL, &ca];
    let named: Vec<String> = own
        .iter()
        .map(|flag| {
            flag.replace("--key=", "--from-file=tls.key=")
                .replace("--cert=", "--from-file=tls.crt=")
        })
        .collect();
    words.extend(named.iter().map(String::as_str));
    cluster.kubectl(&words)?;
    let rule = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "asks-for-a-secret", "namespace": "default"},
        "spec": {
            "host": "httpbin",
            "workloadSelector": {"matchLabels": {"app": "sleep"}},
            "trafficPolicy": {"tls": {"mode": "MUTUAL", "credentialName": CREDENTIAL}},
        },
    });
    cluster.apply(&[], &rule.to_string())?;
    let sleep = pods(cluster, "default", "app=sleep")?;
    let sleep = sleep.first().map(name).unwrap_or_default().to_owned();
    eventually(EFFECT, "the sidecar asks", || {
        let dump = admin(cluster, "default", &sleep, "config_dump")?;
        ensure!(
            dump.contains(&format!("kubernetes://{CREDENTIAL}")),
            "no cluster names the Secret"
        );
        Ok(())
    })?;
    let log = eventually(EFFECT, "the control plane says why", || {
        let log = cluster.logs("istio-system", "deploy/istiod", "discovery")?;
        let found = log
            .lines()
            .find(|line| line.contains("a secret is not served") && line.contains(CREDENTIAL));
        ensure!(found.is_some(), "the log does not say so");
        Ok(found.unwrap_or_default().to_owned())
    })?;
    ensure!(!log.contains("PRIVATE KEY"), "the log holds a key");
    let secrets = admin(
        cluster,
        "default",
        &sleep,
        "config_dump?resource=dynamic_active_secrets",
    )?;
    // A CA is for everybody; certificate and key are not.
    ensure!(
        !secrets.contains(&format!("\"kubernetes://{CREDENTIAL}\"")),
        "the sidecar has the Secret: {secrets}"
    );
    teapot(cluster, ROOT)?;
    cluster.kubectl(&["delete", "destinationrule", "asks-for-a-secret"])?;
    cluster.kubectl(&["delete", "secret", CREDENTIAL])?;
    Ok(String::new())
}

pub(super) fn alone(cluster: &Cluster) -> Result<String> {
    replace(cluster, "tls", CREDENTIAL, &pair(cluster, HTTPBIN)?)?;
    apply(cluster, &manifest("helloworld-v1.yaml"))?;
    pods_are(cluster, "default", "app=helloworld-v1", 1, 2)?;
    for name in ["mygatewayv1.yaml", "helloworld-v1vs.yaml"] {
        apply(cluster, &manifest(name))?;
    }
    eventually(EFFECT, "httpbin alone", || {
        teapot(cluster, ROOT)?;
        curl(cluster, HELLOWORLD, "/hello", ROOT, &[])?.refused()
    })?;
    create(
        cluster,
        "tls",
        "helloworld-credential",
        &pair(cluster, HELLOWORLD)?,
    )?;
    eventually(EFFECT, "hello", || {
        curl(cluster, HELLOWORLD, "/hello", ROOT, &[])?.is(200)
    })?;
    Ok(String::new())
}

pub(super) fn two_hosts(cluster: &Cluster) -> Result<String> {
    let answer = curl(cluster, HELLOWORLD, "/hello", ROOT, &[])?.is(200)?;
    for words in [
        "HTTP/2 200",
        "content-type: text/html; charset=utf-8",
        "Hello version: v1, instance: helloworld-v1-",
    ] {
        answer.clone().has(words)?;
    }
    let names = ["subject=CN = helloworld-v1.example.com, O = helloworld organization"];
    shown(cluster, HELLOWORLD, &[], &names)?;
    shown(cluster, HTTPBIN, &[], &NAMES)?;
    curl(cluster, HTTPBIN, TEAPOT, ROOT, &[])?.is(418)?;
    curl(cluster, HTTPBIN, "/hello", ROOT, &[])?.is(404)?;
    curl(cluster, HELLOWORLD, TEAPOT, ROOT, &[])?.is(404)?;
    Ok(String::new())
}

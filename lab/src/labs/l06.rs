//! L06: TLS at the ingress gateway: one host, two by SNI, client certificates, and certificates exchanged under load.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::calls::{Visitor, apply, apps, delete};
use super::mesh::{EFFECT, ISTIO, nothing_rejected, pods_are};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

use client::{HTTPBIN, NEW_ROOT, ROOT, curl, file, handshake, not_shown, shown};

mod client;
mod mutual;
mod others;
mod rotation;

pub(super) const STEPS: &[Step] = &[
    needed("L06.1", "openssl makes the certificates", certificates),
    step(
        "L06.5",
        "a Gateway before its Secret: no handshake, and port 80 goes on",
        before_secret,
    ),
    needed(
        "L06.3",
        "the Secret is there: TLS 1.3, HTTP/2, the host's certificate",
        simple,
    ),
    step(
        "L06.4",
        "versions, unknown names, other hosts, plain text",
        variations,
    ),
    step(
        "L06.4b",
        "a chain is shown whole, and other paths answer 404",
        chain,
    ),
    step(
        "L06.8",
        "a sidecar gets no key, not even of its own namespace",
        others::sidecar,
    ),
    step(
        "L06.6",
        "deleted and made anew from another root",
        rotation::anew,
    ),
    step(
        "L06.7",
        "exchanged under load, no request fails",
        rotation::under_load,
    ),
    needed(
        "L06.9",
        "a second host of one port, whose Secret is missing, fails alone",
        others::alone,
    ),
    step("L06.10", "two hosts by SNI", others::two_hosts),
    needed(
        "L06.13",
        "MUTUAL refuses who shows no certificate",
        mutual::asked,
    ),
    step(
        "L06.14",
        "a client certificate of the CA gets in, another does not",
        mutual::shown_certificates,
    ),
    step(
        "L06.12",
        "all kinds of Secrets: tls, generic keys, -cacert",
        mutual::kinds,
    ),
    step(
        "L06.15",
        "MUTUAL without a CA lets nobody in",
        mutual::no_ca,
    ),
    step("L06.17", "no proxy has rejected anything", nothing_rejected),
    step("L06.16", "nothing is left behind", clean_up),
];

const FOLDER: &str = "L06-tls-ingress";
const CREDENTIAL: &str = "httpbin-credential";
const TEAPOT: &str = "/status/418";
/// The certificate's subject and issuer, as openssl writes them.
const NAMES: [&str; 2] = [
    "subject=CN = httpbin.example.com, O = httpbin organization",
    "issuer=O = example Inc., CN = example.com",
];

fn manifest(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn certificates(cluster: &Cluster) -> Result<String> {
    for place in ["", "new_certificates/"] {
        client::root(cluster, place)?;
        client::leaf(cluster, place, "httpbin", "httpbin organization", "0")?;
        client::leaf(cluster, place, "client", "client organization", "2")?;
    }
    client::leaf(cluster, "", "helloworld-v1", "helloworld organization", "1")?;
    apps(cluster)?;
    Ok(String::new())
}

/// Makes a Secret of the gateway's namespace by `kubectl create secret`.
fn create(cluster: &Cluster, kind: &str, name: &str, words: &[String]) -> Result<()> {
    let mut line = vec!["create", "-n", ISTIO, "secret", kind, name];
    line.extend(words.iter().map(String::as_str));
    cluster.kubectl(&line).map(drop)
}

/// The flags of `kubectl create secret tls` for a certificate of the folder.
fn pair(cluster: &Cluster, name: &str) -> Result<Vec<String>> {
    Ok(vec![
        format!("--key={}", file(cluster, &format!("{name}.key"))?),
        format!("--cert={}", file(cluster, &format!("{name}.crt"))?),
    ])
}

fn remove(cluster: &Cluster, names: &[&str]) -> Result<()> {
    let words = ["-n", ISTIO, "delete", "secret", "--ignore-not-found"];
    cluster.kubectl(&[&words, names].concat()).map(drop)
}

/// The teapot, by a client that trusts one root.
fn teapot(cluster: &Cluster, ca: &str) -> Result<client::Said> {
    curl(cluster, HTTPBIN, TEAPOT, ca, &[])?.is(418)
}

fn before_secret(cluster: &Cluster) -> Result<String> {
    for name in ["sdsgateway.yaml", "sdsvirtualserver.yaml"] {
        apply(cluster, &manifest(name))?;
    }
    eventually(EFFECT, "a listener that knows no certificate", || {
        curl(cluster, HTTPBIN, TEAPOT, ROOT, &[])?.refused()
    })?;
    let page = Visitor::default().get(cluster, "/productpage")?;
    ensure!(page.status == 200, "port 80: status {}", page.status);

    let objects = cluster.kubectl(&["get", "gateways,secrets,pods", "-A", "-o", "json"])?;
    let path = cluster.folder().join("objects.json");
    fs::write(&path, objects).context("the objects")?;
    let path = path.to_string_lossy();
    let threshold = "--failure-threshold=Error";
    let found = cluster.meltemi(&["analyze", "-A", threshold, "-o", "json", &path]);
    // An Error ends the program with exit code 79 under `-o log` only.
    let found = found?;
    for words in [
        "IST0101",
        "Referenced credentialName not found: \\\"httpbin-credential\\\"",
    ] {
        ensure!(found.contains(words), "no {words}: {found}");
    }
    Ok(String::new())
}

fn simple(cluster: &Cluster) -> Result<String> {
    let pair = pair(cluster, HTTPBIN)?;
    create(cluster, "tls", CREDENTIAL, &pair)?;
    for name in ["sdsgateway.yaml", "sdsvirtualserver.yaml"] {
        apply(cluster, &manifest(name))?;
    }
    let answer = eventually(EFFECT, "the teapot", || teapot(cluster, ROOT))?;
    for words in [
        "SSL connection using TLSv1.3",
        "ALPN: server accepted h2",
        "subject: CN=httpbin.example.com; O=httpbin organization",
        "issuer: O=example Inc.; CN=example.com",
        "SSL certificate verify ok",
        "HTTP/2 418",
        "server: istio-envoy",
        "x-more-info:",
        "content-length: 135",
        "-=[ teapot ]=-",
    ] {
        answer.clone().has(words)?;
    }
    shown(
        cluster,
        HTTPBIN,
        &[],
        &[&NAMES[..], &["New, TLSv1.3", "Verify return code: 0 (ok)"]].concat(),
    )?;
    Ok(String::new())
}

fn variations(cluster: &Cluster) -> Result<String> {
    let old = curl(cluster, HTTPBIN, TEAPOT, ROOT, &["--http1.1"])?.is(418)?;
    old.has("HTTP/1.1 418")?;
    shown(cluster, HTTPBIN, &["-tls1_2"], &["New, TLSv1.2"])?;
    // The client would speak the old version, so it is the gateway that refuses.
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let refusal = not_shown(cluster, &[&["-servername", HTTPBIN], &old[..]].concat())?;
    ensure!(
        refusal.contains("alert protocol version"),
        "TLS 1.1: {refusal}"
    );
    not_shown(cluster, &["-servername", "other.example.com"])?;
    not_shown(cluster, &["-noservername"])?;
    curl(cluster, "other.example.com", TEAPOT, ROOT, &[])?.refused()?;
    curl(cluster, HTTPBIN, TEAPOT, NEW_ROOT, &[])?.refused()?;

    let other = "other.example.com";
    let other = client::curl_as(cluster, HTTPBIN, other, TEAPOT, ROOT, &["--http1.1"])?;
    other.is(404).context("another host")?;

    let port = client::port(cluster)?;
    let plain = cluster.ask_port(port, |call| call.header("host", HTTPBIN), TEAPOT);
    ensure!(plain.is_err(), "plain text is answered: {plain:?}");
    Ok(String::new())
}

fn chain(cluster: &Cluster) -> Result<String> {
    client::intermediate(cluster, "authority")?;
    client::by(
        cluster,
        "authority.example.com",
        "chained",
        "/CN=httpbin.example.com/O=chained organization",
        "8",
        &[],
    )?;
    let read = |name: &str| -> Result<String> {
        fs::read_to_string(file(cluster, name)?).with_context(|| format!("reading {name}"))
    };
    let text = read("chained.crt")? + &read("authority.example.com.crt")?;
    fs::write(file(cluster, "chained.crt")?, text).context("the chain")?;
    replace(cluster, "tls", CREDENTIAL, &pair(cluster, "chained")?)?;
    eventually(EFFECT, "the chain", || {
        shown(
            cluster,
            HTTPBIN,
            &[],
            &["O = chained organization", "depth=2 O = example Inc."],
        )
    })?;
    let (_, text) = handshake(cluster, &["-servername", HTTPBIN, "-CAfile", ROOT])?;
    let count = text.matches("BEGIN CERTIFICATE").count();
    ensure!(count == 2, "{count} certificates: {text}");
    teapot(cluster, ROOT)?;
    for path in ["/headers", "/", "/productpage"] {
        curl(cluster, HTTPBIN, path, ROOT, &[])?.is(404)?;
    }
    replace(cluster, "tls", CREDENTIAL, &pair(cluster, HTTPBIN)?)?;
    eventually(EFFECT, "the first certificate", || {
        shown(cluster, HTTPBIN, &[], &NAMES)
    })?;
    Ok("2 certificates".to_owned())
}

/// Changes a Secret in place, as `kubectl create --dry-run | kubectl apply` does; its type may not change.
fn replace(cluster: &Cluster, kind: &str, name: &str, words: &[String]) -> Result<()> {
    let mut line = vec!["create", "-n", ISTIO, "secret", kind, name];
    line.extend(["--dry-run=client", "-o", "yaml"]);
    line.extend(words.iter().map(String::as_str));
    let text = cluster.kubectl(&line)?;
    cluster.apply(&[], &text).map(drop)
}

fn clean_up(cluster: &Cluster) -> Result<String> {
    for name in [
        "mygatewayv2.yaml",
        "sdsvirtualserver.yaml",
        "helloworld-v1vs.yaml",
        "helloworld-v1.yaml",
    ] {
        delete(cluster, &manifest(name))?;
    }
    delete(cluster, "apps/httpbin.yaml")?;
    let secrets = [
        CREDENTIAL,
        "httpbin-credential-cacert",
        "helloworld-credential",
        "bare-credential",
    ];
    remove(cluster, &secrets)?;
    let port = client::port(cluster)?;
    eventually(EFFECT, "nobody listens", || {
        let stream = std::net::TcpStream::connect((crate::node::ADDRESS, port));
        let refused = stream.map(drop).map_err(|error| error.kind());
        ensure!(
            refused == Err(std::io::ErrorKind::ConnectionRefused),
            "a connection to 443: {refused:?}"
        );
        Ok(())
    })?;
    pods_are(cluster, "default", "app=helloworld-v1", 0, 2)?;
    nothing_rejected(cluster)
}

//! Certificates are exchanged while clients come and stay.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::mesh::EFFECT;
use super::client::{self, HTTPBIN, NEW_ROOT, ROOT, curl, https};
use super::{CREDENTIAL, TEAPOT, create, pair, remove, replace, teapot};
use crate::cluster::Cluster;
use crate::run::{eventually, output};

const NEW: &str = "new_certificates/httpbin.example.com";
/// How often the certificate is exchanged under load.
const ROTATIONS: usize = 12;
/// Requests of the client that keeps its connection, at 20 a second.
const KEPT: usize = 600;
/// Between two requests of the client that connects anew.
const PACE: Duration = Duration::from_millis(50);

/// Waits until the certificate of one root is served, and of the other no more.
fn served(cluster: &Cluster, root: &str, other: &str) -> Result<()> {
    eventually(EFFECT, root, || {
        teapot(cluster, root)?;
        curl(cluster, HTTPBIN, TEAPOT, other, &[])?.refused()
    })
    .map(drop)
}

pub(super) fn anew(cluster: &Cluster) -> Result<String> {
    remove(cluster, &[CREDENTIAL])?;
    // The old certificate stays in use meanwhile.
    teapot(cluster, ROOT)?;
    create(cluster, "tls", CREDENTIAL, &pair(cluster, NEW)?)?;
    served(cluster, NEW_ROOT, ROOT)?;
    Ok(String::new())
}

/// The certificates are all of one root, since clients must not fail: both roots have one name, and OpenSSL looks for an
/// issuer by its name.
pub(super) fn under_load(cluster: &Cluster) -> Result<String> {
    for number in 0..ROTATIONS {
        let (files, subject) = (format!("rotation-{number}"), subject(number));
        client::by(cluster, "example.com", &files, &subject, "9", &[])?;
    }
    replace(cluster, "tls", CREDENTIAL, &pair(cluster, HTTPBIN)?)?;
    served(cluster, ROOT, NEW_ROOT)?;
    let port = client::port(cluster)?;
    let client = || -> Result<Command> {
        let mut client = https(cluster, port, HTTPBIN, ROOT)?;
        client.arg(format!("-HHost:{HTTPBIN}"));
        Ok(client)
    };
    let (kept, url) = (client()?, format!("https://{HTTPBIN}:{port}{TEAPOT}"));
    let ended = AtomicBool::new(false);
    let (kept, fresh, rotated) = thread::scope(|scope| {
        let kept = scope.spawn(|| keep(kept, &url));
        let fresh = scope.spawn(|| -> Result<(usize, Vec<String>)> {
            let (mut sent, mut failures) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                if let Err(error) = connect(client()?, &url) {
                    failures.push(format!("{error:#}"));
                }
                sent += 1;
                thread::sleep(PACE);
            }
            Ok((sent, failures))
        });
        let rotated = rotate(cluster);
        let kept = kept.join();
        ended.store(true, Ordering::Relaxed);
        (kept, fresh.join(), rotated)
    });
    rotated?;
    let gone = |_| anyhow::anyhow!("a client panicked");
    let connections = kept.map_err(gone)??;
    let (sent, failures) = fresh.map_err(gone)??;
    ensure!(
        failures.is_empty(),
        "{} failed: {failures:?}",
        failures.len()
    );
    ensure!(sent > ROTATIONS, "only {sent} requests");
    ensure!(
        connections == 1,
        "the kept connection was made {connections} times"
    );
    Ok(format!(
        "{ROTATIONS} certificates, {KEPT} requests on one connection, {sent} on connections of their own, 0 failed"
    ))
}

/// A subject that no other certificate has.
fn subject(number: usize) -> String {
    format!("/CN={HTTPBIN}/O=rotation {number}")
}

fn rotate(cluster: &Cluster) -> Result<()> {
    for number in 0..ROTATIONS {
        let files = format!("rotation-{number}");
        replace(cluster, "tls", CREDENTIAL, &pair(cluster, &files)?)?;
        eventually(EFFECT, &files, || {
            let organization = format!("O = rotation {number}\n");
            client::shown(cluster, HTTPBIN, &[], &[&organization])
        })?;
    }
    Ok(())
}

/// Many requests by one curl; how many connections it made.
fn keep(mut client: Command, url: &str) -> Result<usize> {
    client.args(["--rate", "20/s", "-o", "/dev/null"]);
    client.args(["-w", "%{http_code} %{num_connects}\n"]);
    let said = output(client.arg(format!("{url}?[1-{KEPT}]")), "")?;
    let printed = String::from_utf8_lossy(&said.stdout);
    let errors = String::from_utf8_lossy(&said.stderr);
    let mut connections = 0;
    for line in printed.lines() {
        let (status, made) = line.split_once(' ').context("no figures")?;
        ensure!(status == "418", "status {status}: {errors}");
        connections += made.parse::<usize>().context("a count")?;
    }
    let count = printed.lines().count();
    ensure!(
        count == KEPT && said.status.success(),
        "{count} of {KEPT} answers: {errors}"
    );
    Ok(connections)
}

fn connect(mut client: Command, url: &str) -> Result<()> {
    client.args(["-o", "/dev/null", "-w", "%{http_code}"]);
    let said = output(client.arg(url), "")?;
    let status = String::from_utf8_lossy(&said.stdout);
    let error = String::from_utf8_lossy(&said.stderr);
    ensure!(status == "418", "status {status}: {}", error.trim());
    Ok(())
}

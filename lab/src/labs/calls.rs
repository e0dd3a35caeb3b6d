//! Requests of several labs, and what proxies wrote about them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use meltemi_demo::{Answer, Call};

use super::l02::through_ingress;
use super::manifests;
use super::mesh::{EFFECT, pods_are};
use crate::cluster::Cluster;
use crate::run::eventually;

/// What curl in a pod was answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: u16,
    /// Head and body.
    pub(super) text: String,
    /// From the beginning to the end.
    pub(super) seconds: f64,
}

impl Reply {
    /// An error unless the status is this.
    pub(super) fn is(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "status {}, not {status}: {}",
            self.status,
            self.text
        );
        Ok(self)
    }

    /// An error unless head or body have these words.
    pub(super) fn has(self, words: &str) -> Result<Self> {
        ensure!(self.text.contains(words), "no {words}: {}", self.text);
        Ok(self)
    }

    /// An error unless it took so many seconds.
    pub(super) fn took(self, from: f64, to: f64) -> Result<Self> {
        let seconds = self.seconds;
        ensure!(
            (from..=to).contains(&seconds),
            "it took {seconds} s, not {from} to {to}: {}",
            self.text
        );
        Ok(self)
    }
}

/// curl in `default/sleep`, with its flags and the address. A connection that breaks is an error.
pub(super) fn curl(cluster: &Cluster, words: &[&str]) -> Result<Reply> {
    let common = [
        "curl",
        "-s",
        "-S",
        "-i",
        "-m",
        "20",
        "-w",
        "\n%{http_code} %{time_total}",
    ];
    let said = cluster.exec(
        "default",
        "deploy/sleep",
        "sleep",
        &[&common, words].concat(),
    )?;
    let (text, figures) = said.trim_end().rsplit_once('\n').context("no figures")?;
    let (status, seconds) = figures.split_once(' ').context("no figures")?;
    Ok(Reply {
        status: status.parse().context("a status")?,
        text: text.to_owned(),
        seconds: seconds.parse().context("a time")?,
    })
}

/// So many requests in one shell; how many had each status.
pub(super) fn statuses(
    cluster: &Cluster,
    url: &str,
    flags: &str,
    count: usize,
) -> Result<BTreeMap<u16, usize>> {
    let script = format!(
        "for i in $(seq {count}); do curl -s -o /dev/null -m 20 -w '%{{http_code}}\\n' {flags} {url}; done"
    );
    let said = cluster.exec(
        "default",
        "deploy/sleep",
        "sleep",
        &["sh", "-c", &format!("{script}; true")],
    )?;
    let mut counts = BTreeMap::new();
    for line in said.lines() {
        *counts
            .entry(line.trim().parse().context("a status")?)
            .or_insert(0) += 1;
    }
    Ok(counts)
}

/// An error unless all have one status.
pub(super) fn all(counts: &BTreeMap<u16, usize>, status: u16) -> Result<()> {
    ensure!(counts.keys().eq([&status]), "statuses {counts:?}");
    Ok(())
}

/// The lines of a proxy's access log that hold all of these words.
pub(super) fn log_lines(
    cluster: &Cluster,
    ns: &str,
    target: &str,
    words: &[&str],
) -> Result<Vec<String>> {
    lines(cluster, ns, target, "istio-proxy", words)
}

/// The lines of a container's log that hold all of these words.
pub(super) fn lines(
    cluster: &Cluster,
    ns: &str,
    target: &str,
    container: &str,
    words: &[&str],
) -> Result<Vec<String>> {
    let log = cluster.logs(ns, target, container)?;
    let fits = |line: &&str| words.iter().all(|word| line.contains(word));
    Ok(log.lines().filter(fits).map(str::to_owned).collect())
}

/// Waits for a line of an access log; it is written some time after the answer.
pub(super) fn logged(cluster: &Cluster, ns: &str, target: &str, words: &[&str]) -> Result<String> {
    eventually(EFFECT, "the access log", || {
        let mut found = log_lines(cluster, ns, target, words)?;
        found
            .pop()
            .with_context(|| format!("no line with {words:?}"))
    })
}

/// Applies a file of a lab.
pub(super) fn apply(cluster: &Cluster, file: &str) -> Result<()> {
    cluster.apply_file(&[], &manifests()?.join(file)).map(drop)
}

/// Removes what a file of a lab made; what is gone already is no error.
pub(super) fn delete(cluster: &Cluster, file: &str) -> Result<()> {
    let file = manifests()?.join(file);
    let file = file.to_string_lossy();
    let words = ["delete", "--ignore-not-found", "--wait=false", "-f", &file];
    cluster.kubectl(&words).map(drop)
}

/// sleep and httpbin, 2/2.
pub(super) fn apps(cluster: &Cluster) -> Result<()> {
    for app in ["sleep", "httpbin"] {
        apply(cluster, &format!("apps/{app}.yaml"))?;
        pods_are(cluster, "default", &format!("app={app}"), 1, 2)?;
    }
    Ok(())
}

/// Somebody in front of the ingress gateway, logged in or not.
#[derive(Debug, Default)]
pub(super) struct Visitor {
    cookie: Option<String>,
}

impl Visitor {
    /// Logs in.
    pub(super) fn named(cluster: &Cluster, user: &str) -> Result<Self> {
        let answer = through_ingress(cluster, "/login", |call| Call {
            method: "POST".to_owned(),
            body: format!("username={user}&passwd=x"),
            ..call.header("content-type", "application/x-www-form-urlencoded")
        })?;
        let cookie = answer.header("set-cookie").context("no cookie")?;
        let cookie = cookie.split(';').next().unwrap_or_default();
        Ok(Self {
            cookie: Some(cookie.to_owned()),
        })
    }

    /// A request through the gateway; it waits longer than any delay of the labs.
    pub(super) fn get(&self, cluster: &Cluster, path: &str) -> Result<Answer> {
        through_ingress(cluster, path, |call| {
            let call = match &self.cookie {
                Some(cookie) => call.header("cookie", cookie),
                None => call,
            };
            Call {
                timeout_ms: 20_000,
                ..call
            }
        })
    }

    /// Which versions of reviews answered so many requests; every answer must be 200.
    pub(super) fn reviews(
        &self,
        cluster: &Cluster,
        count: usize,
    ) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for number in 0..count {
            let answer = self.get(cluster, "/api/v1/products/0/reviews")?;
            ensure!(
                answer.status == 200,
                "request {number}: status {}: {}",
                answer.status,
                answer.body
            );
            *counts.entry(version(&answer.body)?).or_insert(0) += 1;
        }
        Ok(counts)
    }

    /// Waits until one version answers, and then asks a hundred times.
    pub(super) fn sees_only(&self, cluster: &Cluster, version: &str) -> Result<()> {
        eventually(EFFECT, version, || {
            only(&self.reviews(cluster, 5)?, version)
        })?;
        only(&self.reviews(cluster, 100)?, version)
    }
}

fn only(counts: &BTreeMap<String, usize>, version: &str) -> Result<()> {
    ensure!(counts.keys().eq([version]), "reviews {counts:?}");
    Ok(())
}

/// The version of the pod that wrote the reviews; its stars must be those of the version.
fn version(body: &str) -> Result<String> {
    for (version, color) in [("v1", None), ("v2", Some("black")), ("v3", Some("red"))] {
        if body.contains(&format!("\"podname\": \"reviews-{version}")) {
            let colors = ["black", "red"].map(|c| body.contains(&format!("\"color\": \"{c}\"")));
            let wanted = ["black", "red"].map(|c| color == Some(c));
            ensure!(colors == wanted, "{version} with other stars: {body}");
            return Ok(version.to_owned());
        }
    }
    bail!("no version of reviews: {body}")
}

//! Scripted checks: what a user would try by hand, with numbers. Every wait is for an effect that can be seen, with a
//! deadline; nothing is believed because time has passed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::agent::Agent;
use crate::control_plane::ControlPlane;
use crate::examples::write_file;
use crate::http::{Answer, Call, Connection};
use crate::manifest::{documents, read_folder};
use crate::mesh::View;
use crate::plan::Role;
use crate::say::say;
use crate::site::Site;
use crate::wait::Patience;

mod changes;
mod load;
mod restart;
mod subsets;
mod traffic;

/// How long an edit may take until its effect is seen. The labs ask for 5 s; a loaded machine gets more.
const EFFECT_LIMIT: Duration = Duration::from_secs(20);
const START_LIMIT: Duration = Duration::from_secs(180);

/// A group of checks that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Section {
    /// Bookinfo through the gateway, routing steps, outbound policy.
    Traffic,
    /// Routing edits and endpoint changes under load lose nothing.
    Changes,
    /// Killing and restarting the control plane under load loses nothing and transfers nothing.
    Restart,
}

impl Section {
    /// All of them, in the order in which they build on each other.
    pub const ALL: [Self; 3] = [Self::Traffic, Self::Changes, Self::Restart];
}

/// The control plane's metrics that checks read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetricNames {
    /// Gauge of connected proxies (Istio: `pilot_xds`).
    pub connected: String,
    /// Counter of resources sent to proxies since the start.
    pub resources_sent: String,
    /// Counter of bytes sent to proxies since the start; shown when it is there.
    pub bytes_sent: String,
}

impl Default for MetricNames {
    fn default() -> Self {
        Self {
            connected: "pilot_xds".to_owned(),
            resources_sent: "meltemi_xds_resources_sent_total".to_owned(),
            bytes_sent: "meltemi_xds_bytes_sent_total".to_owned(),
        }
    }
}

/// The outcome of one check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Numbers, or why it does not hold.
    pub detail: String,
    /// How long it took.
    pub seconds: f64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.passed { "ok  " } else { "FAIL" };
        write!(
            f,
            "{mark} {}: {} ({:.1} s)",
            self.name, self.detail, self.seconds
        )
    }
}

/// The outcome of a run of checks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which they were checked.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether everything holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self
            .findings
            .iter()
            .filter(|finding| !finding.passed)
            .count();
        for finding in self.findings.iter().filter(|finding| !finding.passed) {
            writeln!(f, "{finding}")?;
        }
        write!(f, "{} checks, {failed} failed", self.findings.len())
    }
}

/// What checks work with.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) site: Arc<Site>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) control_plane: Arc<ControlPlane>,
}

/// Runs the sections. When the mesh does not start, nothing else is tried.
pub(crate) async fn run(rig: &Rig, sections: &[Section]) -> Report {
    let mut report = Report::default();
    if !check(&mut report, "every pod is ready", rig.started()).await {
        return report;
    }
    for section in sections {
        match section {
            Section::Traffic => traffic::run(rig, &mut report).await,
            Section::Changes => {
                changes::run(rig, &mut report).await;
                subsets::run(rig, &mut report).await;
            }
            Section::Restart => restart::run(rig, &mut report).await,
        }
        let name = format!("no proxy rejected anything ({section:?})");
        check(&mut report, &name, rig.nothing_rejected()).await;
    }
    report
}

/// Makes one check, says its outcome and notes it.
async fn check<F>(report: &mut Report, name: &str, work: F) -> bool
where
    F: Future<Output = Result<String>>,
{
    let begun = Instant::now();
    let (passed, detail) = match work.await {
        Ok(detail) => (true, detail),
        Err(error) => (false, format!("{error:#}")),
    };
    let finding = Finding {
        name: name.to_owned(),
        passed,
        detail,
        seconds: begun.elapsed().as_secs_f64(),
    };
    say(&finding.to_string());
    report.findings.push(finding);
    passed
}

impl Rig {
    async fn started(&self) -> Result<String> {
        let failed = |view: &View| view.pods.iter().find_map(|pod| pod.failure.clone());
        let mut view = self.view.clone();
        let waiting = view.wait_for(|view| view.settled() || failed(view).is_some());
        let outcome = tokio::time::timeout(START_LIMIT, waiting).await;
        let view = match outcome {
            Ok(view) => view.context("the mesh is gone")?.clone(),
            Err(_) => bail!("not within {START_LIMIT:?}"),
        };
        match failed(&view) {
            Some(reason) => bail!("{reason}"),
            None => Ok(format!("{} pods", view.pods.len())),
        }
    }

    /// Waits until the number of ready pods with a label is as given and nothing is on its way in or out.
    async fn settled_with(
        &self,
        label: &str,
        value: &str,
        count: usize,
        limit: Duration,
    ) -> Result<()> {
        let mut view = self.view.clone();
        let there =
            view.wait_for(|view| view.settled() && view.with_label(label, value).len() == count);
        match tokio::time::timeout(limit, there).await {
            Ok(there) => there.map(drop).context("the mesh is gone"),
            Err(_) => bail!("{label}={value} has not {count} ready pods after {limit:?}"),
        }
    }

    /// The agents of all pods with a proxy.
    fn proxies(&self) -> Vec<(String, Agent)> {
        let view = self.view.borrow().clone();
        let with_proxy = view
            .pods
            .iter()
            .filter(|pod| pod.state.plan.role != Role::Plain);
        with_proxy
            .filter_map(|pod| Some((pod.state.plan.key.1.clone(), pod.agent.clone()?)))
            .collect()
    }

    /// The agent of a ready pod of an app.
    fn agent(&self, app: &str) -> Result<Agent> {
        let view = self.view.borrow().clone();
        let pods = view.with_label("app", app);
        let agent = pods.first().and_then(|pod| pod.agent.clone());
        agent.with_context(|| format!("there is no ready pod of {app}"))
    }

    /// One request on the way of a user: from the machine's loopback to the gateway.
    async fn through_gateway(&self, call: &Call) -> Result<Answer> {
        let exchange = async {
            let stream = UnixStream::connect(self.site.loopback_socket())
                .await
                .context("the loopback relay")?;
            Connection::start(stream).await?.send(call).await
        };
        let limit = Duration::from_millis(call.timeout_ms);
        tokio::time::timeout(limit, exchange)
            .await
            .with_context(|| format!("no answer within {limit:?}"))?
    }

    fn gateway_call(&self, path: &str) -> Call {
        let mut call = Call::get(&self.site.ingress.to_string(), path);
        call.timeout_ms = 15_000;
        call
    }

    /// Writes a manifest, whole at once.
    fn apply(&self, name: &str, text: &str) -> Result<()> {
        let path = self.site.manifests.join(name);
        let temporary = self.site.manifests.join(format!(".{name}.next"));
        write_file(&temporary, text)?;
        std::fs::rename(&temporary, &path).with_context(|| format!("writing {name}"))
    }

    fn delete(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.site.manifests.join(name))
            .with_context(|| format!("removing {name}"))
    }

    /// Changes objects of the manifests in place; the answer of `change` says whether it changed one. The former content
    /// of the files comes back, for `restore`.
    fn edit(&self, change: impl Fn(&mut Value) -> bool) -> Result<Vec<(PathBuf, String)>> {
        let mut former = Vec::new();
        for (path, text) in read_folder(&self.site.manifests)? {
            let mut changed = false;
            let mut out = String::new();
            for mut document in documents(&text) {
                let hit = document.value.as_mut().is_some_and(&change);
                changed |= hit;
                out.push_str(if document.separated { "---" } else { "" });
                match document.value.filter(|_| hit) {
                    Some(value) => out.push_str(&format!("\n{value}\n")),
                    None => out.push_str(&document.text),
                }
            }
            if changed {
                self.replace(&path, &out)?;
                former.push((path, text));
            }
        }
        if former.is_empty() {
            bail!("the manifests have no object to change");
        }
        Ok(former)
    }

    fn restore(&self, former: &[(PathBuf, String)]) -> Result<()> {
        former
            .iter()
            .try_for_each(|(path, text)| self.replace(path, text))
    }

    fn replace(&self, path: &std::path::Path, text: &str) -> Result<()> {
        let target = self.site.manifests.join(path);
        let temporary = self.site.manifests.join(".next");
        write_file(&temporary, text)?;
        std::fs::rename(&temporary, &target)
            .with_context(|| format!("writing {}", target.display()))
    }

    /// Every Envoy's count of rejected updates is 0, and each has taken clusters and listeners.
    async fn nothing_rejected(&self) -> Result<String> {
        let proxies = self.proxies();
        let mut routes = 0;
        for (name, agent) in &proxies {
            let stats = agent
                .admin("/stats?filter=update_(rejected|success)$")
                .await
                .with_context(|| name.clone())?;
            for (stat, count) in stats.body.lines().filter_map(|line| line.split_once(": ")) {
                if stat.ends_with("update_rejected") && count != "0" {
                    bail!("{name}: {stat} is {count}");
                }
                routes += usize::from(stat.contains(".rds.") && stat.ends_with("update_success"));
            }
            for needed in [
                "cluster_manager.cds.update_rejected",
                "listener_manager.lds.update_rejected",
            ] {
                if !stats.body.contains(needed) {
                    bail!("{name} has no {needed}");
                }
            }
        }
        Ok(format!(
            "{} proxies, {routes} route configurations",
            proxies.len()
        ))
    }
}

/// Asks until the answer is good; the last reason why it was not becomes the error.
async fn eventually<F, R>(limit: Duration, what: &str, mut ask: F) -> Result<()>
where
    F: FnMut() -> R,
    R: Future<Output = Result<()>>,
{
    let patience = Patience::new(limit);
    loop {
        let Err(error) = ask().await else {
            return Ok(());
        };
        if !patience.lasts().await {
            return Err(error.context(format!("{what}: not within {limit:?}")));
        }
    }
}

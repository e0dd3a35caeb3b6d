//! The control plane of a run: the same executable as a child process, so that it can be killed and started again.

use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::dns::Resolver;
use crate::http::{Call, call};
use crate::site::{Site, node_address, tail};
use crate::wait::until;

const XDS_PORT: u16 = 15010;
const HTTP_PORT: u16 = 8080;
/// Also read from outside, through a relay.
pub(crate) const MONITORING_PORT: u16 = 15014;
const START_LIMIT: Duration = Duration::from_secs(60);

/// The running child, if it runs.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    site: Arc<Site>,
    child: Mutex<Option<Child>>,
}

impl ControlPlane {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            child: Mutex::new(None),
        }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.site.control_plane_log())
            .context("log")?;
        let errors = log.try_clone().context("log")?;
        let child = Command::new(self.site.pod_executable())
            .args(["serve", "--config-dir"])
            .arg(self.site.config())
            .args(["--grpc-addr", &node_address(XDS_PORT).to_string()])
            .args(["--http-addr", &node_address(HTTP_PORT).to_string()])
            .args([
                "--monitoring-addr",
                &node_address(MONITORING_PORT).to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .context("starting the control plane")?;
        *self.child.lock().await = Some(child);
        let ready = || async {
            if let Some(status) = self.ended().await {
                return Some(Err(status));
            }
            let probe = Call::get(&node_address(HTTP_PORT).to_string(), "/ready");
            let answer = call(&Resolver::default(), &probe).await.ok()?;
            (answer.status == 200).then_some(Ok(()))
        };
        match until(START_LIMIT, ready).await {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => bail!(
                "the control plane ended ({status}):\n{}",
                tail(&self.site.control_plane_log())
            ),
            None => bail!(
                "the control plane is not ready after {START_LIMIT:?}:\n{}",
                tail(&self.site.control_plane_log())
            ),
        }
    }

    /// Its status, if it was started and has ended by itself.
    pub(crate) async fn ended(&self) -> Option<String> {
        let mut child = self.child.lock().await;
        let status = child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Kills it with SIGKILL.
    pub(crate) async fn kill(&self) -> Result<()> {
        let Some(mut child) = self.child.lock().await.take() else {
            bail!("the control plane does not run");
        };
        child.kill().await.context("killing the control plane")
    }

    /// The sum of all samples of a metric; `None` when it is not there.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let answer = call(
            &Resolver::default(),
            &Call::get(&node_address(MONITORING_PORT).to_string(), "/metrics"),
        )
        .await
        .ok()?;
        sum(&answer.body, name)
    }

    /// What `ps` prints.
    pub(crate) async fn ps(&self) -> Result<String> {
        let address = node_address(MONITORING_PORT).to_string();
        let output = Command::new(self.site.pod_executable())
            .args(["ps", "--address", &address])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("meltemi ps")?;
        if !output.status.success() {
            bail!(
                "meltemi ps: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout).context("meltemi ps")
    }

    /// A client that connects, refuses the clusters that it is sent for this reason, and stays until it is dropped.
    pub(crate) async fn refusing_client(&self, reason: &str) -> Result<Child> {
        let address = node_address(XDS_PORT).to_string();
        let mut child = Command::new(self.site.pod_executable())
            .args([
                "demo-refusing-client",
                "--address",
                &address,
                "--reason",
                reason,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("meltemi demo-refusing-client")?;
        let stdout = child.stdout.take().context("its output")?;
        let line =
            tokio::time::timeout(START_LIMIT, BufReader::new(stdout).lines().next_line()).await;
        match line.context("the client does not answer")?? {
            Some(line) if line == "refused" => Ok(child),
            other => bail!("the client said {other:?}"),
        }
    }

    /// A bootstrap for one proxy, as the verb prints it.
    pub(crate) async fn bootstrap(
        &self,
        node_id: &str,
        metadata: &std::path::Path,
    ) -> Result<String> {
        let output = Command::new(self.site.pod_executable())
            .args(["bootstrap", "--node", node_id, "--metadata"])
            .arg(metadata)
            .args([
                "--xds-address",
                &node_address(XDS_PORT).to_string(),
                "--admin-port",
                "15000",
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("meltemi bootstrap")?;
        if !output.status.success() {
            bail!(
                "meltemi bootstrap: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout).context("meltemi bootstrap")
    }
}

/// The sum of a metric's samples in Prometheus' text form.
fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line
            .strip_prefix(name)
            .filter(|rest| rest.starts_with(['{', ' ']))?;
        let value = if rest.starts_with('{') {
            rest.rsplit_once("} ")?.1
        } else {
            rest.trim_start()
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    });
    values.fold(None, |total, value| Some(total.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_added() {
        let text = "# TYPE sent counter\nsent_total{type=\"cds\"} 3\nsent_total{type=\"lds\"} 4 1700\nsent_totals 9\nxds 2\n";
        assert_eq!(sum(text, "sent_total"), Some(7.0));
        assert_eq!(sum(text, "xds"), Some(2.0));
        assert_eq!(sum(text, "missing"), None);
    }
}

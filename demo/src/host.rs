//! The process that a user starts: it stays in the machine's own namespaces, prepares a folder, starts the node in
//! namespaces of its own and relays two ports of the loopback to it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::check::Report;
use crate::relay::{tcp_to_unix, unix_to_tcp};
use crate::say::say;
use crate::site::{Mode, Site};
use crate::{Options, envoy, examples, preflight, settings};

const PREFIX: &str = "meltemi-demo-";
const DEFAULT_INGRESS: u16 = 8080;
const DEFAULT_MONITORING: u16 = 15014;
const END_LIMIT: Duration = Duration::from_secs(10);

/// Runs the demo or its checks. A report comes from checks only, and not when somebody interrupts them.
pub(crate) async fn launch(options: Options, mode: Mode) -> Result<Option<Report>> {
    let keep = options.keep;
    let mut signals = Signals::new()?;
    let prepared = tokio::select! {
        prepared = prepare(options, mode) => prepared?,
        () = signals.any() => return Ok(None),
    };
    let Prepared {
        folder,
        site,
        rights,
        relays: _relays,
    } = prepared;
    let node = start_node(&site, rights)?;
    let ended = supervise(node, &mut signals).await;
    let report = std::fs::read(site.report()).ok();
    if keep {
        say(&format!("kept: {}", folder.path.keep().display()));
    }
    if !ended? {
        return Ok(None);
    }
    match (&site.mode, report) {
        (Mode::Demo, _) => bail!("the demo has ended by itself"),
        (Mode::Check(_), None) => bail!("the checks ended without a report"),
        (Mode::Check(_), Some(report)) => {
            Ok(Some(serde_json::from_slice(&report).context("report")?))
        }
    }
}

/// What there is before the node starts.
#[derive(Debug)]
struct Prepared {
    folder: RunFolder,
    site: Site,
    rights: preflight::Rights,
    relays: JoinSet<Result<()>>,
}

async fn prepare(options: Options, mode: Mode) -> Result<Prepared> {
    let rights = preflight::check()?;
    let given = options.envoy.clone();
    let found = tokio::task::spawn_blocking(move || {
        envoy::find_or_install(given.as_deref(), &mut |line| say(line))
    });
    let envoy = found.await.context("looking for Envoy")??;
    let executable = match options.executable {
        Some(executable) => executable,
        None => std::env::current_exe().context("where this program is")?,
    };
    let folder = RunFolder::new()?;
    let run = folder.path.path();
    let ingress = listen(options.ingress_port, DEFAULT_INGRESS).await?;
    let monitoring = listen(options.monitoring_port, DEFAULT_MONITORING).await?;
    let site = Site {
        run: run.to_owned(),
        manifests: manifests(options.dir.as_deref(), run, &mode)?,
        executable,
        envoy,
        ingress: ingress.local_addr().context("ingress")?,
        monitoring: monitoring.local_addr().context("monitoring")?,
        mode,
        metrics: options.metrics,
    };
    for part in site.folders() {
        std::fs::create_dir_all(&part).with_context(|| format!("creating {}", part.display()))?;
    }
    let loopback = UnixListener::bind(site.loopback_socket()).context("the loopback relay")?;
    let ingress_address = site.ingress;
    let mut relays = JoinSet::new();
    relays.spawn(tcp_to_unix(ingress, site.ingress_socket()));
    relays.spawn(tcp_to_unix(monitoring, site.monitoring_socket()));
    relays.spawn(unix_to_tcp(loopback, move || Some(ingress_address)));
    Ok(Prepared {
        folder,
        site,
        rights,
        relays,
    })
}

/// The signals by which a user ends a run.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let stream = |kind| signal(kind).context("signals");
        Ok(Self {
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// A folder of this run only, which other users may pass through: Envoy and applications run as some. Its lock says that
/// the run is alive.
#[derive(Debug)]
struct RunFolder {
    path: TempDir,
    _lock: File,
}

impl RunFolder {
    fn new() -> Result<Self> {
        remove_stale(&std::env::temp_dir());
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .context("creating a folder for the run")?;
        // The lock is taken before it has its name, so that no other run can take it first.
        let unnamed = path.path().join("lock.new");
        let lock = File::create(&unnamed).context("the run's lock")?;
        lock.lock().context("the run's lock")?;
        std::fs::rename(&unnamed, path.path().join("lock")).context("the run's lock")?;
        let mode = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(path.path(), mode).context("the run's folder")?;
        Ok(Self { path, _lock: lock })
    }
}

/// Removes the folders of runs that were killed with SIGKILL and could not do it themselves.
fn remove_stale(parent: &Path) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let free = File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if free {
            // Another user's folder stays: there is no right to remove it.
            let _kept = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The folder to read: the user's own, or a copy of the examples. Checks edit what they read, so they always get a copy.
fn manifests(given: Option<&Path>, run: &Path, mode: &Mode) -> Result<PathBuf> {
    let copy = run.join("manifests");
    match (given, mode) {
        (Some(given), Mode::Demo) => std::fs::canonicalize(given)
            .with_context(|| format!("the folder {} is not there", given.display())),
        (Some(given), Mode::Check(_)) => {
            for (path, text) in crate::manifest::read_folder(given)? {
                examples::write_file(&copy.join(path), &text)?;
            }
            Ok(copy)
        }
        (None, _) => {
            examples::write(&copy)?;
            Ok(copy)
        }
    }
}

/// A loopback listener on the port asked for; without a wish, on the usual one or, when that is taken, on any.
async fn listen(wish: Option<u16>, usual: u16) -> Result<TcpListener> {
    if let Some(port) = wish {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        return TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"));
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("listening on the loopback"),
    }
}

fn start_node(site: &Site, rights: preflight::Rights) -> Result<Child> {
    let config = site.run.join("site.json");
    std::fs::write(&config, serde_json::to_string(site).context("settings")?)
        .context("settings")?;
    Command::new("unshare")
        .args(rights.unshare_arguments())
        .arg("--")
        .arg(&site.executable)
        .args(["demo-part", "node"])
        .arg(config)
        .env("PATH", settings::path_with_system_folders())
        // The lock of the older iptables is in a folder that an unprivileged user may not write to.
        .env("XTABLES_LOCKFILE", site.run.join("xtables.lock"))
        .stdin(Stdio::piped())
        // Ctrl-C goes to this process alone, which then ends the node in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("starting the node")
}

/// Waits until the node ends or somebody wants it to. True when it ended by itself and well.
async fn supervise(mut node: Child, signals: &mut Signals) -> Result<bool> {
    let stdin = node.stdin.take();
    let status = tokio::select! {
        status = node.wait() => status.context("the node")?,
        () = signals.any() => return end(node, stdin).await,
    };
    if !status.success() {
        bail!("the node ended ({status})");
    }
    Ok(true)
}

/// Closes the node's input, which is its sign to end; past the limit the kernel ends it with all its processes.
async fn end(mut node: Child, stdin: Option<tokio::process::ChildStdin>) -> Result<bool> {
    drop(stdin);
    if tokio::time::timeout(END_LIMIT, node.wait()).await.is_err() {
        node.kill().await.context("ending the node")?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_runs_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: &str| parent.path().join(format!("{PREFIX}{name}"));
        for name in ["dead", "alive", "young"] {
            std::fs::create_dir(folder(name)).unwrap();
        }
        File::create(folder("dead").join("lock")).unwrap();
        let alive = File::create(folder("alive").join("lock")).unwrap();
        alive.lock().unwrap();
        remove_stale(parent.path());
        assert!(!folder("dead").exists());
        assert!(folder("alive").exists());
        assert!(folder("young").exists(), "it has no lock yet");
    }
}

//! How `meltemi serve` is wired: in what order things start, when it is ready, and how it ends.
//!
//! 1. read the mesh configuration and bind every address (a wrong flag is said at once);
//! 2. read the objects; until all are read, `/ready` says no and streams are refused (I10);
//! 3. serve; every change becomes a World and then snapshots;
//! 4. on SIGTERM: refuse new streams, end the open ones, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use meltemi_model::mesh::Mesh;
use meltemi_model::{Diagnostic, Diagnostics, Object, Severity};
use meltemi_sources::files;
use meltemi_sources::lower::LowerSettings;
use meltemi_world::Change;
use meltemi_xds::metrics::Metrics;
use meltemi_xds::registry::Registry;
use meltemi_xds::server::{Ads, Limits, transport};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::engine::Engine;
use crate::http::{self, Shown};
use crate::metrics;
use crate::offline::default_mesh;
use crate::served::Served;
use crate::settings::Settings;

/// Batches that may wait while one is being applied. A source that has more to say waits with it.
const WAITING_BATCHES: usize = 16;

/// Runs until `stop` is cancelled, then drains.
pub async fn serve(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    bind(settings).await?.serve(stop).await
}

/// A control plane whose addresses are bound and that has read nothing yet. Who connects waits until it serves.
#[derive(Debug)]
pub struct Bound {
    settings: Settings,
    lowering: LowerSettings,
    mesh: Mesh,
    mesh_findings: Diagnostics,
    grpc: TcpListener,
    http: TcpListener,
    monitoring: TcpListener,
}

/// Where a control plane is reached; asked for port 0, it has one of the kernel's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// ADS in plain text.
    pub grpc: SocketAddr,
    /// `/ready` and `/debug`.
    pub http: SocketAddr,
    /// `/metrics` and `/debug`.
    pub monitoring: SocketAddr,
}

/// Reads the mesh configuration and binds every address, so that a wrong flag is said at once.
pub async fn bind(settings: Settings) -> anyhow::Result<Bound> {
    let lowering = LowerSettings {
        domain: settings.domain.as_str().into(),
        cluster_id: settings.cluster_id.as_str().into(),
        features: settings.features,
        ..LowerSettings::default()
    };
    anyhow::ensure!(
        settings.config_dir.is_dir(),
        "--config-dir {}: no such directory",
        settings.config_dir.display()
    );
    let (mesh, mesh_findings) = mesh(&settings, &lowering)?;
    Ok(Bound {
        grpc: listen("--grpc-addr", settings.grpc).await?,
        http: listen("--http-addr", settings.http).await?,
        monitoring: listen("--monitoring-addr", settings.monitoring).await?,
        settings,
        lowering,
        mesh,
        mesh_findings,
    })
}

type Tasks = JoinSet<anyhow::Result<()>>;

impl Bound {
    /// The addresses.
    pub fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            monitoring: self.monitoring.local_addr()?,
        })
    }

    /// Serves what the config directory holds until `stop` is cancelled, then drains.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (batches, received) = mpsc::channel(WAITING_BATCHES);
        let (directory, lowering) = (self.settings.config_dir.clone(), self.lowering.clone());
        let mut tasks = Tasks::new();
        tasks.spawn(async move {
            files::watch(directory, lowering, batches).await;
            anyhow::bail!("the watch of the config directory ended")
        });
        self.run(received, tasks, stop).await
    }

    /// Serves what these batches say, whoever read them, until `stop` is cancelled, then drains.
    pub async fn serve_batches(
        self,
        batches: mpsc::Receiver<files::Batch>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        self.run(batches, Tasks::new(), stop).await
    }

    async fn run(
        self,
        batches: mpsc::Receiver<files::Batch>,
        mut tasks: Tasks,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let Addresses {
            grpc,
            http,
            monitoring,
        } = self.addresses()?;
        info!(%grpc, %http, %monitoring, "listening");
        let engine = Arc::new(Engine::new(self.mesh));
        let streams = Arc::new(Registry::default());
        let mut registered = prometheus_client::registry::Registry::default();
        let xds_metrics = Metrics::new(&mut registered);
        metrics::register(&mut registered, Arc::clone(&engine));

        let shown = Shown {
            engine: Arc::clone(&engine),
            streams: Arc::clone(&streams),
            metrics: Arc::new(registered),
        };
        let ended = CancellationToken::new();
        for listener in [self.http, self.monitoring] {
            let (shown, ended) = (shown.clone(), ended.clone());
            tasks.spawn(async move { http::serve(listener, shown, ended).await });
        }
        let (writer, quiet) = (Arc::clone(&engine), self.settings.quiet);
        tasks.spawn(async move { write(&writer, batches, quiet, self.mesh_findings).await });

        let drain = CancellationToken::new();
        let ads = Ads::new(
            Arc::new(Served::new(engine)),
            streams,
            xds_metrics,
            Limits::default(),
            drain.clone(),
            SystemTime::now,
        );
        let server = transport(&Limits::default())
            .add_service(ads.clone().into_service())
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(self.grpc),
                drain.clone().cancelled_owned(),
            );
        tasks.spawn(async move { server.await.context("serving ADS") });

        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = tasks.join_next() => ended.context("a task panicked").and_then(|r| r),
        };
        info!("draining");
        drain.cancel();
        if tokio::time::timeout(self.settings.drain, ads.drained())
            .await
            .is_err()
        {
            warn!("some streams did not end in time");
        }
        ended.cancel();
        tasks.abort_all();
        result
    }
}

/// The mesh configuration of `--mesh-config`, or the defaults.
fn mesh(settings: &Settings, lowering: &LowerSettings) -> anyhow::Result<(Mesh, Diagnostics)> {
    let Some(path) = &settings.mesh_config else {
        return Ok((default_mesh(lowering), Diagnostics::new()));
    };
    anyhow::ensure!(
        path.is_file(),
        "--mesh-config {}: no such file",
        path.display()
    );
    let (object, found) = files::load_mesh_config(path, lowering);
    match object {
        Some(Object::Mesh(_, mesh)) => Ok(((*mesh).clone(), found)),
        _ => {
            let reasons: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
            anyhow::bail!("--mesh-config {}: {}", path.display(), reasons.join("; "))
        }
    }
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag} {address}"))
}

/// The one writer. The first change of a burst goes out at once; what comes within the quiet time after it is gathered
/// into one more, so that a burst costs two Worlds rather than one for each change.
async fn write(
    engine: &Arc<Engine>,
    mut batches: mpsc::Receiver<files::Batch>,
    quiet: Duration,
    mesh_findings: Diagnostics,
) -> anyhow::Result<()> {
    let mut reported = Diagnostics::new();
    while let Some(first) = batches.recv().await {
        let mut gathered = vec![first];
        while let Ok(more) = batches.try_recv() {
            gathered.push(more);
        }
        let synced = gathered.iter().any(|b| b.synced);
        let mut found = mesh_findings.clone();
        found.extend(
            gathered
                .last()
                .map(|b| b.diagnostics.clone())
                .unwrap_or_default(),
        );
        report(&found, &mut reported);
        let changes = gathered
            .into_iter()
            .flat_map(|b| b.changes)
            .map(change)
            .collect();
        let started = tokio::time::Instant::now();
        let worker = Arc::clone(engine);
        // Compiling takes the processor for a while; the threads that serve streams must not wait for it.
        let applied = tokio::task::spawn_blocking(move || worker.apply(changes, found))
            .await
            .context("compiling panicked")?;
        if applied.changed {
            let ms = started.elapsed().as_millis();
            info!(
                revision = applied.revision,
                classes = applied.classes,
                proxies = applied.proxies,
                woken = applied.woken,
                ms,
                "pushed"
            );
        }
        if synced && !engine.is_synced() {
            engine.set_synced();
            info!(revision = applied.revision, "synced");
        }
        tokio::time::sleep(quiet).await;
    }
    Ok(())
}

fn change((key, object): (meltemi_model::ObjectKey, Option<Object>)) -> Change {
    match object {
        Some(object) => Change::Apply(object),
        None => Change::Delete(key),
    }
}

/// Logs findings that were not there before.
fn report(found: &Diagnostics, reported: &mut Diagnostics) {
    for diagnostic in found.iter().filter(|d| !reported.contains(d)) {
        match diagnostic.severity {
            Severity::Error => error!("{diagnostic}"),
            Severity::Warning => warn!("{diagnostic}"),
            Severity::Info => info!("{diagnostic}"),
        }
    }
    reported.clone_from(found);
}

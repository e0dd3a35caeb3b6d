//! How `meltemi serve` is wired: in what order things start, when it is ready, and how it ends.
//!
//! 1. read the mesh configuration and bind every address (a wrong flag is said at once);
//! 2. read the objects; until all are read, `/ready` says no and streams are refused (I10);
//! 3. serve; every change becomes a World and then snapshots;
//! 4. on SIGTERM: refuse new streams, end the open ones, stop.
//!
//! What only a cluster has (identities, TLS, webhooks, leadership) is wired in `cluster.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use meltemi_model::mesh::Mesh;
use meltemi_model::{Diagnostic, Diagnostics, Object};
use meltemi_sources::batch::Batch;
use meltemi_sources::files;
use meltemi_sources::kube::{self, KubeSettings};
use meltemi_sources::lower::LowerSettings;
use meltemi_xds::metrics::Metrics;
use meltemi_xds::registry::Registry;
use meltemi_xds::server::{Ads, transport};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::{Site, Surroundings};
use crate::engine::Engine;
use crate::http::{self, Access, Probe, Shown};
use crate::metrics;
use crate::networks;
use crate::offline::default_mesh;
use crate::quarantine;
use crate::served::Served;
use crate::settings::{Objects, Settings};
use crate::vault::Vault;
use crate::webhooks;

mod report;
mod write;

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
    listeners: Listeners,
}

#[derive(Debug)]
struct Listeners {
    grpc: Option<TcpListener>,
    secure_grpc: Option<TcpListener>,
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    monitoring: Option<TcpListener>,
}

/// Where a control plane is reached; asked for port 0, it has one of the kernel's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// ADS in plain text.
    pub grpc: Option<SocketAddr>,
    /// ADS and the CA over TLS.
    pub secure_grpc: Option<SocketAddr>,
    /// `/ready` and `/debug`.
    pub http: Option<SocketAddr>,
    /// The webhooks.
    pub https: Option<SocketAddr>,
    /// `/metrics` and `/debug`.
    pub monitoring: Option<SocketAddr>,
}

/// Reads the mesh configuration and binds every address, so that a wrong flag is said at once.
pub async fn bind(settings: Settings) -> anyhow::Result<Bound> {
    let mut lowering = LowerSettings {
        domain: settings.domain.as_str().into(),
        cluster_id: settings.cluster_id.as_str().into(),
        features: settings.features.clone(),
        ..LowerSettings::default()
    };
    let is_cluster = match &settings.objects {
        Objects::Directory(directory) => {
            anyhow::ensure!(
                directory.is_dir(),
                "--config-dir {}: no such directory",
                directory.display()
            );
            false
        }
        Objects::Cluster(cluster) => {
            lowering.system_namespace = cluster.namespace.as_str().into();
            lowering.revision = cluster.revision.as_str().into();
            true
        }
    };
    let in_cluster = |address: Option<SocketAddr>| address.filter(|_| is_cluster);
    let (mesh, mesh_findings) = mesh(&settings, &lowering)?;
    let listeners = Listeners {
        grpc: listen("--grpc-addr", settings.listen.grpc).await?,
        secure_grpc: listen(
            "--secure-grpc-addr",
            in_cluster(settings.listen.secure_grpc),
        )
        .await?,
        http: listen("--http-addr", settings.listen.http).await?,
        https: listen("--https-addr", in_cluster(settings.listen.https)).await?,
        monitoring: listen("--monitoring-addr", settings.listen.monitoring).await?,
    };
    Ok(Bound {
        settings,
        lowering,
        mesh,
        mesh_findings,
        listeners,
    })
}

type Tasks = JoinSet<anyhow::Result<()>>;

impl Bound {
    /// The addresses.
    pub fn addresses(&self) -> anyhow::Result<Addresses> {
        let address = |listener: &Option<TcpListener>| {
            listener.as_ref().map(TcpListener::local_addr).transpose()
        };
        Ok(Addresses {
            grpc: address(&self.listeners.grpc)?,
            secure_grpc: address(&self.listeners.secure_grpc)?,
            http: address(&self.listeners.http)?,
            https: address(&self.listeners.https)?,
            monitoring: address(&self.listeners.monitoring)?,
        })
    }

    /// Serves until `stop` is cancelled, then drains.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (batches, received) = mpsc::channel(WAITING_BATCHES);
        let mut tasks = Tasks::new();
        let lowering = self.lowering.clone();
        let surroundings = match self.settings.objects.clone() {
            Objects::Directory(directory) => {
                tasks.spawn(async move {
                    files::watch(directory, lowering, batches).await;
                    anyhow::bail!("the watch of the config directory ended")
                });
                None
            }
            Objects::Cluster(cluster) => {
                let client = kube::connect(cluster.kubeconfig.as_deref(), None).await?;
                let counts = Arc::<kube::Counts>::default();
                let settings = KubeSettings::new(lowering);
                let (source, events) = (client.clone(), Arc::clone(&counts));
                tasks.spawn(async move {
                    kube::watch(source, settings, events, batches).await;
                    anyhow::bail!("the watches of the cluster ended")
                });
                Some(Surroundings {
                    client,
                    cluster,
                    counts,
                })
            }
        };
        self.run(received, tasks, surroundings, stop).await
    }

    /// Serves what these batches say, whoever read them, until `stop` is cancelled, then drains. There is no cluster.
    pub async fn serve_batches(
        self,
        batches: mpsc::Receiver<Batch>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        self.run(batches, Tasks::new(), None, stop).await
    }

    async fn run(
        self,
        batches: mpsc::Receiver<Batch>,
        mut tasks: Tasks,
        surroundings: Option<Surroundings>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        info!(addresses = ?self.addresses()?, "listening");
        let Self {
            settings,
            lowering,
            mesh,
            mesh_findings,
            listeners,
        } = self;
        let engine = Arc::new(Engine::new(mesh));
        let streams = Arc::new(Registry::default());
        let mut registered = prometheus_client::registry::Registry::default();
        let xds_metrics = Metrics::new(&mut registered);
        metrics::register(&mut registered, Arc::clone(&engine));
        let vault = Arc::new(Vault::new(&mut registered));
        let mut site = surroundings
            .map(|around| Site::new(around, lowering, Arc::clone(&engine), &mut registered))
            .transpose()?;

        let access = match &site {
            Some(site) => {
                Access::identified(settings.debug.clone(), site.namespace(), site.identify())
            }
            None => Access::local(settings.debug.clone()),
        };
        let mut probes = vec![Probe::new("discovery", engine.synced())];
        probes.extend(site.iter().flat_map(Site::probes));
        let shown = Shown {
            engine: Arc::clone(&engine),
            streams: Arc::clone(&streams),
            metrics: Arc::new(registered),
            access,
            probes: probes.into(),
        };
        let ended = CancellationToken::new();
        for listener in [listeners.http, listeners.monitoring].into_iter().flatten() {
            let (shown, ended) = (shown.clone(), ended.clone());
            tasks.spawn(async move { http::serve(listener, shown, ended).await });
        }
        let found = Arc::clone(&engine);
        tasks.spawn(async move {
            report::report(found).await;
            anyhow::bail!("nobody tells what is found any more")
        });
        let (ear, said) = quarantine::channel();
        let keeper = Arc::clone(&engine);
        tasks.spawn(async move {
            quarantine::keep(keeper, said).await;
            anyhow::bail!("nobody hears what proxies refuse any more")
        });
        let (facts, known) = mpsc::channel(WAITING_BATCHES);
        // Networks of a file are part of the first World: without them, proxies would be sent straight to other networks.
        let file = settings.networks_config.map(networks::File::new);
        let first = file.as_ref().map(networks::File::facts);
        if let Some(file) = file {
            let facts = facts.clone();
            tasks.spawn(async move {
                networks::follow(file, facts).await;
                anyhow::bail!("nobody reads the networks any more")
            });
        }
        let asked = Arc::clone(&engine);
        tasks.spawn(async move {
            let names = || asked.world().networks.names();
            networks::resolve(names, networks::system_resolver, facts).await;
            anyhow::bail!("nobody resolves the gateways of networks any more")
        });
        let (writer, quiet) = (Arc::clone(&engine), settings.quiet);
        tasks.spawn(async move {
            let sources = write::Sources {
                batches,
                facts: known,
            };
            write::write(&writer, sources, first, quiet, mesh_findings).await
        });

        let mut gate = None;
        if let Some(site) = &mut site {
            tokio::select! {
                joined = site.join() => joined?,
                () = stop.cancelled() => return Ok(()),
                Some(ended) = tasks.join_next() => return ended.context("a task panicked").and_then(|r| r),
            }
            gate = site.gate();
        }

        let drain = CancellationToken::new();
        let limits = settings.limits;
        let registrar = match &site {
            Some(site) => site.registrar(limits.max_connection_age)?,
            None => None,
        };
        let ads = Ads::new(
            Arc::new(
                Served::new(engine, gate, settings.check_identity, ear)
                    .with_secrets(vault, site.as_ref().map(Site::permissions))
                    .with_registrar(registrar),
            ),
            streams,
            xds_metrics,
            limits.clone(),
            drain.clone(),
            SystemTime::now,
        );
        if let Some(listener) = listeners.grpc {
            let server = transport(&limits)
                .add_service(ads.clone().into_service())
                .serve_with_incoming_shutdown(
                    TcpListenerStream::new(listener),
                    drain.clone().cancelled_owned(),
                );
            tasks.spawn(async move { server.await.context("serving ADS") });
        }
        if let Some(site) = &site {
            if let Some(listener) = listeners.secure_grpc {
                let server = transport(&limits)
                    .add_service(ads.clone().into_service())
                    .add_optional_service(site.certificates())
                    .serve_with_incoming_shutdown(
                        site.agents(listener)?,
                        drain.clone().cancelled_owned(),
                    );
                tasks.spawn(async move { server.await.context("serving ADS and the CA over TLS") });
            }
            if let Some(listener) = listeners.https {
                let address = listener.local_addr()?;
                let incoming = site.webhooks(listener)?;
                let pages = site.pages().merge(http::readiness(shown.clone()));
                tasks.spawn(webhooks::serve(incoming, address, pages, ended.clone()));
            }
            tasks.spawn(site.watch());
        }

        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = tasks.join_next() => ended.context("a task panicked").and_then(|r| r),
        };
        info!("draining");
        drain.cancel();
        if tokio::time::timeout(settings.drain, ads.drained())
            .await
            .is_err()
        {
            warn!("some streams did not end in time");
        }
        if let Some(site) = site {
            site.leave().await;
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

async fn listen(flag: &str, address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{flag} {address}"))?;
    Ok(Some(listener))
}

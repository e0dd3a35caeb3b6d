//! The control plane in this process: the pieces of `meltemi serve` at an address that nobody had to guess.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use meltemi::engine::Engine;
use meltemi::offline::default_mesh;
use meltemi::quarantine;
use meltemi::served::Served;
use meltemi_model::ProxySnapshot;
use meltemi_sources::files;
use meltemi_sources::lower::LowerSettings;
use meltemi_world::Change;
use meltemi_xds::metrics::Metrics;
use meltemi_xds::registry::Registry;
use meltemi_xds::server::{Ads, Limits, transport};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    engine: Arc<Engine>,
    settings: LowerSettings,
    streams: Arc<Registry>,
    drain: CancellationToken,
    serving: JoinHandle<()>,
}

impl ControlPlane {
    /// Serves what [`crate::world::write`] wrote.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, LowerSettings::default()).await
    }

    /// The same with feature flags.
    pub(crate) async fn start_with(dir: &Path, settings: LowerSettings) -> Self {
        let engine = Arc::new(Engine::new(default_mesh(&settings)));
        read(&engine, dir, &settings);
        engine.set_synced();

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let streams = Arc::new(Registry::default());
        let drain = CancellationToken::new();
        let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default());
        let ads = Ads::new(
            Arc::new(Served::new(
                Arc::clone(&engine),
                None,
                false,
                quarantine::channel().0,
            )),
            Arc::clone(&streams),
            metrics,
            Limits::default(),
            drain.clone(),
            SystemTime::now,
        );
        let ended = drain.clone();
        let serving = transport(&Limits::default())
            .add_service(ads.into_service())
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                ended.cancelled().await;
            });
        Self {
            settings,
            address,
            engine,
            streams,
            drain,
            serving: tokio::spawn(async move { serving.await.expect("the server runs") }),
        }
    }

    /// Takes what is new in the folder. What is gone from it stays.
    pub(crate) fn read_again(&self, dir: &Path) {
        read(&self.engine, dir, &self.settings);
    }

    /// What a connected proxy is served.
    pub(crate) fn served(&self, node: &str) -> Arc<ProxySnapshot> {
        let id = node.split('~').nth(2).expect("a node id");
        let connections = self.streams.of_proxy(id);
        connections
            .first()
            .expect("the proxy is connected")
            .snapshot()
    }

    pub(crate) async fn stop(self) {
        self.drain.cancel();
        self.serving.await.expect("the server ended");
    }
}

fn read(engine: &Engine, dir: &Path, settings: &LowerSettings) {
    let loaded = files::load(&dir.join("objects"), settings);
    let changes = loaded.objects.into_values().map(Change::Apply).collect();
    engine.apply(changes, loaded.diagnostics.into_iter().collect());
}

//! What streams are served from: the engine, kept off the runtime's threads.

use std::sync::Arc;

use meltemi_model::ProxySnapshot;
use meltemi_model::proxy::Proxy;
use meltemi_xds::server::Snapshots;
use tokio::sync::{Semaphore, watch};
use tonic::Status;

use crate::engine::Engine;

/// The engine, as streams see it.
#[derive(Debug)]
pub struct Served {
    engine: Arc<Engine>,
    /// How many proxies may be let in at a time: as many as there are cores. The others wait without a thread.
    doors: Arc<Semaphore>,
}

impl Served {
    /// For this engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine,
            doors: Arc::new(Semaphore::new(cores)),
        }
    }
}

impl Snapshots for Served {
    async fn subscribe(
        &self,
        proxy: &Arc<Proxy>,
    ) -> Result<watch::Receiver<Arc<ProxySnapshot>>, Status> {
        let gone = || Status::unavailable("the control plane is going away");
        let door = Arc::clone(&self.doors).acquire_owned().await;
        let door = door.map_err(|_| gone())?;
        let (engine, proxy) = (Arc::clone(&self.engine), Arc::clone(proxy));
        // One closure, so that a job is done even when the stream ends before.
        let opened = tokio::task::spawn_blocking(move || {
            let _door = door;
            let (subscription, job) = engine.open(&proxy);
            if let Some(job) = job {
                engine.compile(job);
            }
            subscription
        });
        let subscription = opened.await.map_err(|_| gone())?;
        subscription.filled().await.ok_or_else(gone)
    }

    fn ready(&self) -> bool {
        self.engine.is_synced()
    }
}

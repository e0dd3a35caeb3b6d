//! What streams are served from: the engine, kept off the runtime's threads, for those who may have it.

use std::sync::Arc;

use meltemi_ca::authenticate::Caller;
use meltemi_ca::gate::{Gate, verified_identity};
use meltemi_model::ProxySnapshot;
use meltemi_model::proxy::Proxy;
use meltemi_xds::Subscription;
use meltemi_xds::server::Snapshots;
use tokio::sync::{Semaphore, watch};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};
use tracing::warn;

use crate::engine::Engine;
use crate::quarantine::Ear;

/// The engine, as streams see it.
#[derive(Debug)]
pub struct Served {
    engine: Arc<Engine>,
    /// How many proxies may be let in at a time: as many as there are cores. The others wait without a thread.
    doors: Arc<Semaphore>,
    /// Who calls; `None` where nobody knows identities.
    gate: Option<Gate>,
    /// Whether a proxy must be of the namespace and account of its identity.
    check_identity: bool,
    /// Who hears what proxies refuse.
    ear: Ear,
}

impl Served {
    /// For this engine. Without a gate everybody may have everything. `check_identity`: Istio's
    /// PILOT_ENABLE_XDS_IDENTITY_CHECK.
    pub fn new(engine: Arc<Engine>, gate: Option<Gate>, check_identity: bool, ear: Ear) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine,
            gate,
            check_identity,
            ear,
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

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        extensions: &mut Extensions,
    ) -> Result<(), Status> {
        if let Some(gate) = &self.gate
            && let Some(caller) = gate.for_ads(metadata, extensions).await?
        {
            extensions.insert(Arc::new(caller));
        }
        Ok(())
    }

    fn authorize(&self, proxy: &Proxy, extensions: &Extensions) -> Result<(), Status> {
        let caller = extensions.get::<Arc<Caller>>();
        let Some(caller) = caller.filter(|_| self.check_identity) else {
            return Ok(());
        };
        let account = proxy.meta.text("SERVICE_ACCOUNT");
        verified_identity(caller, &proxy.namespace, account)
            .map(drop)
            .inspect_err(|status| {
                warn!(proxy = %proxy.node_id, %status, "identity and node do not match");
            })
    }

    fn answered(&self, proxy: &Arc<Proxy>, subscription: &Subscription) {
        self.ear.hear(proxy, subscription);
    }
}

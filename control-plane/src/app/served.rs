//! What ADS serves: the engine's snapshots, to who may have them.

use std::sync::Arc;

use meltemi_model::ProxySnapshot;
use meltemi_model::proxy::Proxy;
use meltemi_xds::server::Snapshots;
use tokio::sync::watch;

use crate::engine::Engine;

/// The engine as ADS sees it.
#[derive(Debug)]
pub(super) struct Served {
    engine: Arc<Engine>,
}

impl Served {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

impl Snapshots for Served {
    fn subscribe(&self, proxy: &Arc<Proxy>) -> watch::Receiver<Arc<ProxySnapshot>> {
        self.engine.subscribe(proxy)
    }

    fn ready(&self) -> bool {
        self.engine.is_synced()
    }
}

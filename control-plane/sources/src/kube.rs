//! Objects from a Kubernetes API server.
//!
//! One task for each kind follows kube's watcher events, lowers every object at once and drops it; of what was handed
//! on, it keeps names and versions only. A merger gathers what the tasks say into batches.
//!
//! - A list replaces what is known of its kind in one batch; what it lacks is gone.
//! - While the API server errs, stalls or is away, what it said last stays, and it is asked again after a while that
//!   grows, with jitter, to [`Patience::longest`].
//! - A kind whose CustomResourceDefinition is missing does not delay readiness: its watch begins when the definition
//!   appears, and its objects are gone when the definition is.
//! - An object that an edit made unusable keeps its last good version as long as it exists and this process runs, as
//!   files do. It gets a Diagnostic.
//!
//! Read first: `kinds.rs` (what is watched), `task.rs` (one kind), `feed.rs` (what is done about errors).

mod backoff;
mod client;
mod counts;
mod definitions;
mod feed;
mod kinds;
mod merge;
mod raw;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch as newest};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::lower::LowerSettings;

pub use client::{ConnectError, connect};
pub use counts::{Count, Counts, Event};
pub use kinds::{VERBS, Watched, watched};

/// What the source must know.
#[derive(Debug, Clone)]
pub struct KubeSettings {
    /// For lowering.
    pub lower: LowerSettings,
    /// How errors are met.
    pub patience: Patience,
}

impl KubeSettings {
    /// With the usual patience.
    pub fn new(lower: LowerSettings) -> Self {
        Self {
            lower,
            patience: Patience::default(),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After a first error, it is asked again after so long, give or take half.
    pub shortest: Duration,
    /// After many errors too.
    pub longest: Duration,
    /// A list, or one object of a streaming list, that takes longer is asked for again.
    pub list: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            shortest: Duration::from_millis(800),
            longest: Duration::from_secs(30),
            list: Duration::from_secs(60),
        }
    }
}

/// Watches everything in [`watched`] and sends what there is, then what changes, until nobody listens.
pub async fn watch(
    client: Client,
    settings: KubeSettings,
    counts: Arc<Counts>,
    tx: mpsc::Sender<Batch>,
) {
    let kinds = watched();
    let settings = Arc::new(settings);
    let (installed, definitions) = newest::channel(definitions::Installed::default());
    let (said, heard) = mpsc::channel(merge::WAITING);
    let streaming = feed::Streaming::asked(&client, &settings.patience).await;
    let mut tasks = JoinSet::new();
    let ours = kinds
        .iter()
        .filter(|kind| kind.custom)
        .map(Watched::resource);
    tasks.spawn(definitions::follow(
        client.clone(),
        ours.collect(),
        settings.patience,
        streaming.clone(),
        installed,
    ));
    for (index, kind) in kinds
        .iter()
        .enumerate()
        .filter(|(_, kind)| !kind.metadata_only)
    {
        tasks.spawn(task::follow(task::Task {
            index,
            kind: kind.clone(),
            client: client.clone(),
            settings: Arc::clone(&settings),
            streaming: streaming.clone(),
            definitions: definitions.clone(),
            counts: Arc::clone(&counts),
            said: said.clone(),
        }));
    }
    drop((said, definitions));
    tokio::select! {
        () = merge::merge(&kinds, heard, &tx) => {}
        () = tx.closed() => {}
        // A task ends only when nobody listens, or by a panic, which is passed on.
        Some(ended) = tasks.join_next() => {
            if let Err(error) = ended && let Ok(panic) = error.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

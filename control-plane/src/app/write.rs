//! From batches of changes to worlds: the one writer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meltemi_model::{Diagnostics, Object};
use meltemi_sources::batch::Batch;
use meltemi_world::Change;
use tokio::sync::mpsc;
use tracing::info;

use crate::engine::Engine;

/// Applies batches until there are no more. The first change of a burst goes out at once; what comes within the quiet
/// time after it is gathered into one more, so that a burst costs two Worlds rather than one for each change.
pub(super) async fn write(
    engine: &Arc<Engine>,
    mut batches: mpsc::Receiver<Batch>,
    quiet: Duration,
    mesh_findings: Diagnostics,
) -> anyhow::Result<()> {
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

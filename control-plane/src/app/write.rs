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
use crate::networks::Facts;

/// Where changes come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// Objects.
    pub(super) batches: mpsc::Receiver<Batch>,
    /// What is known of networks besides.
    pub(super) facts: mpsc::Receiver<Facts>,
}

/// What is to be applied together.
#[derive(Debug, Default)]
struct Gathered {
    changes: Vec<Change>,
    synced: bool,
}

/// What was said last, by each that has something to say.
#[derive(Debug, Default)]
struct Said {
    mesh: Diagnostics,
    objects: Diagnostics,
    networks: Diagnostics,
}

impl Gathered {
    fn batch(&mut self, batch: Batch, said: &mut Said) {
        self.synced |= batch.synced;
        self.changes.extend(batch.changes.into_iter().map(change));
        said.objects = batch.diagnostics;
    }

    fn facts(&mut self, facts: Facts, said: &mut Said) {
        self.changes.extend(facts.changes.into_iter().map(change));
        if let Some(diagnostics) = facts.diagnostics {
            said.networks = diagnostics;
        }
    }
}

/// Applies batches until there are no more. The first change of a burst goes out at once; what comes within the quiet
/// time after it is gathered into one more, so that a burst costs two Worlds rather than one for each change.
/// `first` is applied with the first of them.
pub(super) async fn write(
    engine: &Arc<Engine>,
    mut sources: Sources,
    first: Option<Facts>,
    quiet: Duration,
    mesh_findings: Diagnostics,
) -> anyhow::Result<()> {
    let mut said = Said {
        mesh: mesh_findings,
        ..Said::default()
    };
    let mut gathered = Gathered::default();
    if let Some(first) = first {
        gathered.facts(first, &mut said);
    }
    loop {
        tokio::select! {
            batch = sources.batches.recv() => match batch {
                Some(batch) => gathered.batch(batch, &mut said),
                None => return Ok(()),
            },
            Some(facts) = sources.facts.recv() => gathered.facts(facts, &mut said),
        }
        while let Ok(more) = sources.batches.try_recv() {
            gathered.batch(more, &mut said);
        }
        while let Ok(more) = sources.facts.try_recv() {
            gathered.facts(more, &mut said);
        }
        let Gathered { changes, synced } = std::mem::take(&mut gathered);
        let found = [&said.mesh, &said.objects, &said.networks];
        let found: Diagnostics = found.into_iter().flatten().cloned().collect();
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
}

fn change((key, object): (meltemi_model::ObjectKey, Option<Object>)) -> Change {
    match object {
        Some(object) => Change::Apply(object),
        None => Change::Delete(key),
    }
}

//! A directory over time: read at the beginning, then whenever something in it changed.
//!
//! The kernel only says when to look and which files to read whatever they look like; what changed is found by
//! comparing. So an event that is lost, or a file system that sends none, costs time and nothing else.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(not(target_os = "linux"))]
mod poll;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use meltemi_model::Diagnostic;

use super::Batch;
use super::tree::{Hints, Tree};
use crate::lower::LowerSettings;

#[cfg(target_os = "linux")]
use kernel::Events;
#[cfg(not(target_os = "linux"))]
use poll::Events;

/// A burst of events ends when none came for so long.
const QUIET: Duration = Duration::from_millis(20);

/// A burst is not waited out for longer than this.
const LONGEST_BURST: Duration = Duration::from_millis(300);

/// A file that is being written is left alone for so long; then its writer is taken to have forgotten to close it.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// Somebody writes it.
    Writing(PathBuf),
    /// It was written, moved, made or removed.
    Changed(PathBuf),
    /// Something happened, and it is not known what.
    Unknown,
}

/// Files that changed or are being written.
#[derive(Debug, Default)]
struct Pending {
    dirty: BTreeSet<PathBuf>,
    writing: BTreeMap<PathBuf, Instant>,
}

impl Pending {
    fn note(&mut self, event: Event, now: Instant) {
        match event {
            Event::Writing(path) => {
                self.writing.insert(path, now);
            }
            Event::Changed(path) => {
                self.writing.remove(&path);
                self.dirty.insert(path);
            }
            Event::Unknown => {}
        }
    }

    /// What the next look must know; what it will deal with is forgotten.
    fn take(&mut self, now: Instant) -> Hints {
        let stuck = |begun: &Instant| now.duration_since(*begun) >= LONGEST_WRITE;
        let (stuck, writing) = std::mem::take(&mut self.writing)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, begun)| stuck(begun));
        self.writing = writing;
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.extend(stuck.into_keys());
        Hints {
            dirty,
            writing: self.writing.keys().cloned().collect(),
        }
    }
}

/// Reads `path`, a directory or a file, and sends what it holds; then sends what changes, until nobody listens.
pub async fn watch(path: PathBuf, settings: LowerSettings, tx: Sender<Batch>) {
    let mut tree = Tree::new(&path, &settings);
    let mut events = Events::new(&path);
    let mut pending = Pending::default();
    let mut last: Option<Vec<Diagnostic>> = None;
    loop {
        let hints = pending.take(Instant::now());
        tree = look(tree, hints).await;
        // What was put into a new directory before it was watched sent no event.
        while events.follow(tree.directories()) {
            tree = look(tree, Hints::default()).await;
        }
        let batch = tree.batch();
        if !batch.changes.is_empty() || last.as_ref() != Some(&batch.diagnostics) {
            debug!(
                changes = batch.changes.len(),
                diagnostics = batch.diagnostics.len(),
                "files read"
            );
            last = Some(batch.diagnostics.clone());
            if tx.send(batch).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = tx.closed() => return,
            () = wait(&mut events, &mut pending) => {}
        }
    }
}

/// Files are read on a thread that may block.
async fn look(mut tree: Tree, hints: Hints) -> Tree {
    let task = tokio::task::spawn_blocking(move || {
        tree.refresh(&hints);
        tree
    });
    match task.await {
        Ok(tree) => tree,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are cancelled only when the runtime ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Returns after a burst of events, or when it is time to look without any.
async fn wait(events: &mut Events, pending: &mut Pending) {
    let first = Instant::now()
        + if pending.writing.is_empty() {
            events.patience()
        } else {
            LONGEST_WRITE
        };
    let Ok(event) = timeout_at(first, events.next()).await else {
        return;
    };
    pending.note(event, Instant::now());
    let end = Instant::now() + LONGEST_BURST;
    loop {
        let quiet = if pending.writing.is_empty() {
            Instant::now() + QUIET
        } else {
            end
        };
        match timeout_at(quiet.min(end), events.next()).await {
            Ok(event) => pending.note(event, Instant::now()),
            Err(_) => return,
        }
    }
}

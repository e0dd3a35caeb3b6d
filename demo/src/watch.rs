//! Notice of changes in the user's folder, with all folders in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use inotify::{Inotify, WatchMask, Watches};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::mesh::Event;

/// An editor's several steps of one save count as one change, once there was quiet for this long.
const QUIET: Duration = Duration::from_millis(60);

/// Sends `Edited` after every change, until nobody listens.
pub(crate) async fn folder(folder: PathBuf, events: mpsc::Sender<Event>) -> Result<()> {
    let inotify = Inotify::init().context("watching for changes")?;
    let mut watches = inotify.watches();
    watch(&mut watches, &folder)?;
    let mut changes = inotify
        .into_event_stream([0_u8; 4096])
        .context("watching for changes")?;
    while let Some(change) = changes.next().await {
        change.context("watching for changes")?;
        while let Ok(Some(_)) = timeout(QUIET, changes.next()).await {}
        // Folders may have come; watching one twice is the same as once.
        watch(&mut watches, &folder)?;
        if events.send(Event::Edited).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn watch(watches: &mut Watches, folder: &Path) -> Result<()> {
    let mask = WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::MODIFY;
    watches
        .add(folder, mask)
        .with_context(|| format!("watching {}", folder.display()))?;
    for entry in std::fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .flatten()
    {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_dir() {
            // It may be gone again.
            let _gone = watch(watches, &entry.path());
        }
    }
    Ok(())
}

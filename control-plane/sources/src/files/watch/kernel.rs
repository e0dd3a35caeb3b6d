//! Events from inotify; without it, from a clock.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio_stream::StreamExt;
use tracing::warn;

use super::Event;
use crate::files::scan::is_config;

/// How long nobody looks when there are no events: file systems over a network send none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same where no events can be had.
const POLL: Duration = Duration::from_secs(1);

/// The kernel's events.
#[derive(Debug)]
pub(super) struct Events {
    root: PathBuf,
    kernel: Option<Kernel>,
}

#[derive(Debug)]
struct Kernel {
    stream: EventStream<Vec<u8>>,
    watches: Watches,
    /// Which directory each watch is for; a directory that is linked to has several names.
    names: Vec<(WatchDescriptor, PathBuf)>,
}

impl Events {
    /// Watches the directory, or that of the file. Must be made before the first look.
    pub(super) fn new(root: &Path) -> Self {
        let kernel = match Inotify::init()
            .and_then(|inotify| inotify.into_event_stream(vec![0; 16 << 10]))
        {
            Ok(stream) => Some(Kernel {
                watches: stream.watches(),
                stream,
                names: Vec::new(),
            }),
            Err(error) => {
                warn!(%error, "no file events; files are looked at every second");
                None
            }
        };
        let mut events = Self {
            root: root.to_owned(),
            kernel,
        };
        events.follow(&BTreeSet::new());
        events
    }

    /// Watches these directories and the root. Says whether one of them was not watched before.
    pub(super) fn follow(&mut self, directories: &BTreeSet<PathBuf>) -> bool {
        let Some(kernel) = &mut self.kernel else {
            return false;
        };
        let mut names = Vec::with_capacity(directories.len() + 1);
        for directory in std::iter::once(&watchable(&self.root)).chain(directories) {
            // Asking again for a directory that is watched gives the same watch; for one that was replaced, a new one.
            if let Ok(watch) = kernel.watches.add(directory, mask()) {
                names.push((watch, directory.clone()));
            }
        }
        let new = names.iter().any(|name| !kernel.names.contains(name));
        kernel.names = names;
        new
    }

    /// How long to wait without an event.
    pub(super) fn patience(&self) -> Duration {
        if self.kernel.is_some() {
            PATIENCE
        } else {
            POLL
        }
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> Event {
        let Some(kernel) = &mut self.kernel else {
            return std::future::pending().await;
        };
        loop {
            match kernel.stream.next().await {
                Some(Ok(event)) => {
                    if let Some(event) = kernel.read(&event) {
                        return event;
                    }
                }
                Some(Err(error)) => {
                    warn!(%error, "file events failed; files are looked at every second");
                    self.kernel = None;
                    return Event::Unknown;
                }
                None => return std::future::pending().await,
            }
        }
    }
}

impl Kernel {
    fn read(&self, event: &EventOwned) -> Option<Event> {
        let names = || self.names.iter().filter(|(watch, _)| *watch == event.wd);
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return Some(Event::Unknown);
        }
        let (_, directory) = names().next()?;
        let Some(name) = &event.name else {
            return Some(Event::Unknown);
        };
        // With several names for one directory the paths are found by comparing.
        if names().count() > 1 || event.mask.contains(EventMask::ISDIR) {
            return Some(Event::Unknown);
        }
        read_file(directory, name, event.mask)
    }
}

fn read_file(directory: &Path, name: &OsString, mask: EventMask) -> Option<Event> {
    let path = directory.join(name);
    if mask.contains(EventMask::MODIFY) && !is_config(&path) {
        return None;
    }
    let made_empty = || std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == 0);
    if mask.contains(EventMask::MODIFY) || (mask.contains(EventMask::CREATE) && made_empty()) {
        return Some(Event::Writing(path));
    }
    Some(Event::Changed(path))
}

fn mask() -> WatchMask {
    WatchMask::ATTRIB
        | WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MODIFY
        | WatchMask::MOVED_FROM
        | WatchMask::MOVED_TO
        | WatchMask::MOVE_SELF
}

/// A file is watched through its directory, since editors replace files.
fn watchable(root: &Path) -> PathBuf {
    if root.is_dir() {
        return root.to_owned();
    }
    match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

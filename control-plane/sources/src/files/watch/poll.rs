//! Where the kernel's events are not known: a clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Event;

/// Nothing but a clock.
#[derive(Debug)]
pub(super) struct Events;

impl Events {
    pub(super) fn new(_: &Path) -> Self {
        Self
    }

    pub(super) fn follow(&mut self, _: &BTreeSet<PathBuf>) -> bool {
        false
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    pub(super) async fn next(&mut self) -> Event {
        std::future::pending().await
    }
}

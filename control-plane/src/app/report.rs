//! Findings in the log: each once, when it appears.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_model::{Diagnostic, Severity};
use tracing::{error, info, warn};

use crate::engine::Engine;

/// Logs what is found about objects, and about what they become for the proxies that are connected, as long as there
/// is an engine.
pub(super) async fn report(engine: Arc<Engine>) {
    let mut told = engine.told();
    let mut reported = BTreeSet::new();
    loop {
        let found: BTreeSet<Diagnostic> = engine.diagnostics().into_iter().collect();
        for diagnostic in found.difference(&reported) {
            match diagnostic.severity {
                Severity::Error => error!("{diagnostic}"),
                Severity::Warning => warn!("{diagnostic}"),
                Severity::Info => info!("{diagnostic}"),
            }
        }
        reported = found;
        if told.changed().await.is_err() {
            return;
        }
    }
}

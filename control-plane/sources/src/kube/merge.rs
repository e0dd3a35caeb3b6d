//! What the tasks say, gathered into batches.

use std::collections::BTreeMap;

use meltemi_model::{Diagnostics, Object, ObjectKey, Severity};
use tokio::sync::mpsc::{Receiver, Sender};
use tracing::{debug, info, warn};

use super::Watched;
use super::table::Change;
use crate::batch::Batch;
use crate::lower::anonymous;

/// How much may wait to be merged; tasks that have more to say wait with it.
pub(super) const WAITING: usize = 256;

/// The most that is said; more would bury everything else.
const MAX_DIAGNOSTICS: usize = 1_000;

/// What a task says.
#[derive(Debug)]
pub(super) struct Said {
    /// The place of its kind.
    pub(super) index: usize,
    pub(super) changes: Vec<Change>,
    /// All findings of the kind, if they changed.
    pub(super) findings: Option<Diagnostics>,
    pub(super) standing: Standing,
}

/// How it stands with a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// It is listed and watched.
    Followed,
    /// The API server does not serve it.
    Absent,
    /// It failed more than once, and is asked again.
    Failing,
    /// The API server says no, for this reason.
    Refused(String),
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// Whether it was listed or absent once.
    settled: bool,
    findings: Diagnostics,
}

/// Merges until nobody listens, or nobody speaks.
pub(super) async fn merge(kinds: &[Watched], mut heard: Receiver<Said>, tx: &Sender<Batch>) {
    let mut merger = Merger::new(kinds);
    loop {
        tokio::select! {
            said = heard.recv() => {
                let Some(said) = said else { return };
                merger.hear(said);
                while let Ok(more) = heard.try_recv() {
                    merger.hear(more);
                }
            }
            permit = tx.reserve(), if merger.due() => match permit {
                Ok(permit) => permit.send(merger.batch()),
                Err(_) => return,
            }
        }
    }
}

/// What was heard and not sent, and how it stands with every kind.
struct Merger<'a> {
    kinds: &'a [Watched],
    states: Vec<State>,
    /// Of two changes to an object the later one.
    changes: BTreeMap<ObjectKey, Option<Object>>,
    /// Whether something else than objects changed.
    stale: bool,
}

impl<'a> Merger<'a> {
    fn new(kinds: &'a [Watched]) -> Self {
        let states = kinds.iter().map(|kind| State {
            standing: Standing::Unknown,
            // Nobody tells about these; they are not objects of the mesh.
            settled: kind.metadata_only,
            findings: Diagnostics::new(),
        });
        Self {
            kinds,
            states: states.collect(),
            changes: BTreeMap::new(),
            stale: false,
        }
    }

    fn hear(&mut self, said: Said) {
        let (kind, state) = (&self.kinds[said.index], &mut self.states[said.index]);
        self.changes.extend(said.changes);
        if let Some(findings) = said.findings {
            self.stale |= findings != state.findings;
            state.findings = findings;
        }
        if said.standing == state.standing {
            return;
        }
        let resource = kind.resource();
        match (&state.standing, &said.standing) {
            (_, Standing::Refused(why)) => warn!(resource, why, "the API server refuses"),
            (_, Standing::Failing) => warn!(resource, "cannot be watched; asking again"),
            (_, Standing::Absent) => info!(resource, "not installed; waiting for its definition"),
            (Standing::Refused(_) | Standing::Failing, Standing::Followed) => {
                info!(resource, "watched again");
            }
            (_, Standing::Unknown | Standing::Followed) => debug!(resource, "watched"),
        }
        state.settled |= matches!(said.standing, Standing::Followed | Standing::Absent);
        state.standing = said.standing;
        self.stale = true;
    }

    fn due(&self) -> bool {
        self.stale || !self.changes.is_empty()
    }

    fn batch(&mut self) -> Batch {
        self.stale = false;
        let batch = Batch {
            changes: std::mem::take(&mut self.changes).into_iter().collect(),
            diagnostics: self.diagnostics(),
            synced: self.states.iter().all(|s| s.settled),
        };
        debug!(
            changes = batch.changes.len(),
            diagnostics = batch.diagnostics.len(),
            synced = batch.synced,
            "objects read"
        );
        batch
    }

    fn diagnostics(&self) -> Diagnostics {
        let mut all = Diagnostics::new();
        if self.states.iter().any(|s| s.standing == Standing::Failing) {
            let message = "the Kubernetes API server does not answer, or not for every kind; what it said last is served";
            all.push(anonymous(Severity::Error, "", message));
        }
        for (kind, state) in self.kinds.iter().zip(&self.states) {
            if let Standing::Refused(why) = &state.standing {
                let message = format!(
                    "{} cannot be read from the Kubernetes API server ({why}); let Meltemi's service account {} them",
                    kind.resource(),
                    super::VERBS.join(", ")
                );
                all.push(anonymous(Severity::Error, "", message));
            }
        }
        let found: usize = self.states.iter().map(|s| s.findings.len()).sum();
        let shown = self.states.iter().flat_map(|s| &s.findings);
        all.extend(shown.take(MAX_DIAGNOSTICS).cloned());
        if found > MAX_DIAGNOSTICS {
            let message = format!(
                "{} more errors and warnings are not shown",
                found - MAX_DIAGNOSTICS
            );
            all.push(anonymous(Severity::Warning, "", message));
        }
        all
    }
}

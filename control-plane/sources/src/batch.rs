//! What every source hands over.

use meltemi_model::{Diagnostic, Object, ObjectKey};

/// What changed since the last batch. A batch is one moment: no World shows half of it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// New and changed objects; `None`: the object is gone.
    pub changes: Vec<(ObjectKey, Option<Object>)>,
    /// Everything that is to be said now, not only what is new.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether everything that there is has been read at least once.
    pub synced: bool,
}

//! What the benches share: worlds to compile, the table of counts, and the seam to what is measured.

pub mod anchors;
pub mod cases;
pub mod changed;
pub mod churn;
pub mod counts;
pub mod grown;
pub mod patches;

use std::path::PathBuf;

use anyhow::Result;

use crate::corpus::NodeSpec;

/// What one generation of one type gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generated {
    /// Resources.
    pub resources: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Inputs that the memo did not know: resources that had to be built.
    pub misses: u64,
}

/// What is measured. Everything that is not generation (files, YAML, lowering) happens in `load` and `change`.
pub trait Subject {
    /// A new world, for a proxy, with an empty memo.
    fn load(&mut self, files: &[PathBuf], node: &NodeSpec) -> Result<()>;
    /// The same world and proxy again from what was read, with an empty memo: as after `load`, but quicker.
    fn forget(&mut self) -> Result<()>;
    /// Files are laid over those that were loaded; the memo stays.
    fn change(&mut self, files: &[PathBuf]) -> Result<()>;
    /// Files are read, to be laid over those that were loaded when `next` is generated.
    fn announce(&mut self, files: &[PathBuf]) -> Result<()>;
    /// Generates `cds`, `eds`, `lds`, `rds` or `sds`, with `init` the world and the scope, with `next` the
    /// same after what was announced, or with `all` the scope and a
    /// whole snapshot, and says what it gave.
    fn generate(&mut self, kind: &str) -> Result<Generated>;
}

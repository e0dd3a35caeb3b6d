//! Worlds with what the real istiod 1.31 served for them, and how our answer compares.

mod align;
mod answer;
mod classify;
mod command;
pub mod compare;
mod load;
mod order;
mod outcome;
pub mod report;
mod run;
mod thresholds;
pub mod unified;

pub use answer::{Answer, Compiler, Recorded, TYPES};
pub use classify::unsupported_kinds;
pub use command::Command;
pub use load::{Case, Corpus, Locality, NodeSpec};
pub use outcome::{NodeOutcome, ResourceDifference, Side, Verdict, WorldOutcome};
pub(crate) use run::compare_answers;
pub use run::{Selection, in_parallel, run};
pub use thresholds::{Allowed, violations};

//! Findings that need more than one object: duplicate and shadowed routes, missing subsets and gateways, conflicting
//! Gateways, workloads that are not in the mesh. Messages and codes are those of `istioctl analyze`. Pure.
//!
//! This crate must never know files, Kubernetes' client, worlds or Envoy. What it needs of others (validation of one
//! object, annotations of pods, certificates with a clock, lines of fields) are functions that the caller hands over
//! ([`Judges`]).
//!
//! Read first: `analyze.rs` (what runs, and what is kept), `analyzers.rs` (the table of analyzers, one small file each),
//! `message/table.rs` (codes, levels and texts).

mod analyze;
mod analyzers;
mod defaults;
mod glob;
mod hosts;
mod input;
mod kind;
mod labels;
mod mesh;
mod message;
mod object;
#[cfg(test)]
mod tests;

pub use analyze::{Options, Report, Suppression, analyze};
pub use analyzers::{ALL, Analyzer, ON_REQUEST};
pub use defaults::default_objects;
pub use input::{Input, Judges};
pub use kind::Kind;
pub use mesh::Mesh;
pub use message::{Level, Message, MessageType, TYPES};
pub use object::Object;

//! The control plane as a library: what `meltemi`'s verbs are made of.
//!
//! Read first: `app.rs` (how everything is wired), `engine.rs` (from changes to snapshots), `offline.rs` (the same
//! without a server).

pub mod analyze;
pub mod app;
pub mod bootstrap;
pub mod cli;
mod cluster;
pub mod engine;
pub mod http;
pub mod metrics;
pub mod networks;
pub mod offline;
pub mod quarantine;
pub mod render;
pub mod served;
pub mod settings;
pub mod simulation;
pub mod vault;
pub mod webhooks;

//! Tables of lowered objects, the stages that join them, and the immutable World that everything is compiled from.
//!
//! This crate must never know where objects come from, what Envoy's messages look like, or who is connected.
//!
//! Read first: `store.rs` (the only way in), `world.rs` (the stages in order), `scope.rs` (what one class may see).

#[cfg(test)]
mod fixtures;
pub mod ordered;
pub mod scope;
pub mod stages;
pub mod store;
pub mod world;

pub use scope::{EgressScope, Scope, ScopeKey, ScopedService};
pub use store::{Change, Store};
pub use world::World;

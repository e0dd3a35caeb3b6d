//! The invariants of ARCHITECTURE.md that are about worlds and histories of any shape. `worlds.rs` of the kit makes
//! them; `mesh.rs` runs them. Each invariant has a file.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod bad_objects;
mod endpoints;
mod histories;
mod mesh;
#[path = "../server/ads_client/refer.rs"]
mod refer;
mod references;
mod scopes;
mod tokens;
mod versions;
mod worlds;

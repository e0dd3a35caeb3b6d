//! The invariants of ARCHITECTURE.md that are about worlds and histories of any shape. `worlds.rs` of the kit makes
//! them; `mesh.rs` runs them. Each invariant has a file.

mod bad_objects;
mod endpoints;
mod histories;
mod mesh;
mod references;
mod versions;
mod worlds;

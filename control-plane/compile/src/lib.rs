//! From a World and a class of proxies to what that class is served.
//!
//! `Plan` lists the Inputs of all resources, `Memo` turns each Input into a shared, encoded Resource at most once. This
//! crate must never know connections, sockets or files.
//!
//! Read first: `compiler.rs` (the whole way), `memo.rs` (why nothing is built twice), `plan.rs` (which resources).

pub mod classify;
pub mod compiler;
#[cfg(test)]
mod fixtures;
pub mod memo;
mod patched;
pub mod plan;
pub mod secrets;

pub use classify::classify;
pub use compiler::{Compiled, Compiler, Scopes};
pub use memo::Counts;
pub use patched::Patches;

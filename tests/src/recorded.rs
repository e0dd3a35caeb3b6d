//! Inputs and outputs of istiod 1.31's own unit tests: what a proxy is given in a world of objects, mesh configuration,
//! feature flags and an in-memory registry, all in one file (`../shared/corpus/xds-recorded`, `simulation`).
//!
//! Read first: `case.rs` (the form of a file), `world.rs` (a case becomes a world and is compiled), `compare.rs` (what
//! was recorded, and what does not count).

mod case;
mod compare;
mod expected;
mod mesh;
mod node;
mod normal;
mod registry;
mod unrecorded;
mod world;

pub use case::{Case, Instance, Port, ProxySpec, RegistryService, cases};
pub use compare::{compare_case, recorded};
pub use expected::{Expected, violations};
pub use world::{Built, Compiled, build};

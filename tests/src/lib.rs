//! The test kit: what the suites under `tests/tests` and the benches share.
//!
//! It sees worlds (files), nodes (JSON) and answers (JSON), and must never know how Meltemi is built inside. Only
//! `recorded` does: its cases say what no file can (registries in memory), so it hands rows to the library.
//! Read first: `corpus.rs` (recorded worlds), `corpus/compare.rs` (when two resources are equal), `bin/corpus.rs`
//! (the tool of daily work). `rust_source.rs` reads Rust as far as the repo rules need it.

pub mod bench;
pub mod corpus;
pub mod features;
pub mod golden;
pub mod ports;
pub mod recorded;
pub mod rust_source;
pub mod shared;
pub mod worlds;

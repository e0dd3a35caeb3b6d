//! Where objects come from: files (and later Kubernetes), and how what users write becomes the lowered model.
//!
//! Kubernetes' and Istio's own types end here. This crate must never know what Envoy is told, nor who is connected.
//!
//! Read first: `lower.rs` (one object), `yaml.rs` (a file's text), `files.rs` (a directory, and how it is watched).

pub mod files;
pub mod lower;
pub mod yaml;

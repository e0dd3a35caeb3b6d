//! Where objects come from: files and Kubernetes, and how what users write becomes the lowered model.
//!
//! Kubernetes' and Istio's own types end here. This crate must never know what Envoy is told, nor who is connected.
//!
//! Read first: `lower.rs` (one object), `files.rs` (a directory, and how it is watched), `kube.rs` (a cluster).

pub mod batch;
pub mod files;
pub mod kube;
pub mod lower;
pub mod yaml;

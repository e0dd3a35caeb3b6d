//! Sidecar injection.

pub mod template;

//! What Istio's webhook says about an object: errors, for which it is refused, and warnings. Pure: the same object gives
//! the same findings, whoever asks (the webhook, `meltemi validate`, lowering, analysis).
//!
//! The decisions are those of Istio 1.31 (`pkg/config/validation`), also where they are odd; the words are Istio's where
//! users search for them.
//!
//! This crate must never know other objects, proxies or the cluster. Envoy's API is asked about the values of EnvoyFilters
//! only.
//!
//! Read first: `object.rs` (an object as a whole), `kinds/virtual_service.rs` (a kind), `rules.rs` (what kinds share).

mod findings;
pub mod kinds;
pub mod mesh;
mod object;
pub mod rules;
#[cfg(test)]
mod tests;

pub use findings::{Check, Finding, Findings};
pub use object::{ALWAYS_REJECT, Meta, Outcome, Spec, read, review, validate};

//! What Meltemi asks of the Kubernetes API server and writes to it.
//!
//! Questions: is this token good ([`tokens`]), which pods run on that node ([`pods`]), which kubelets are there
//! ([`nodes`]), what does that ConfigMap hold ([`config_maps`]), which revision is the default ([`revisions`]).
//! Writings: the CA's Secret ([`secrets`]), the root certificate in every namespace ([`roots`]), the CA bundle of the
//! webhooks ([`webhooks`]), statuses of ServiceEntries and Ingresses ([`statuses`]), and the locks that decide which replica writes ([`leader`]).
//!
//! It knows nothing of worlds, proxies and streams, nor of certificates beyond their PEM form: the program gives it
//! texts and takes plain structs. Kubernetes types end here, but for [`Client`], which callers pass on unopened.
//!
//! An API server that is away is no reason to fail: everything that runs for long tries again, ever more slowly and
//! with jitter, and nothing that was to be done is forgotten. All that is asked and written stands in [`rbac`].
//!
//! Read first: `leader.rs`, `roots.rs`, `queue.rs`.

pub mod access;
mod backoff;
pub mod config_maps;
mod error;
mod follow;
pub mod leader;
mod metrics;
pub mod nodes;
pub mod pods;
mod queue;
pub mod rbac;
pub mod registration;
pub mod revisions;
pub mod roots;
pub mod secrets;
pub mod selector;
pub mod statuses;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod webhooks;

pub use error::ApiError;
pub use kube::Client;
pub use metrics::{Metrics, Registrations};

//! Meltemi's certificate authority: who calls, what may be signed, and the TLS of the ports that serve it.
//!
//! - [`roots`]: where the signing key comes from, and how it is kept: plugged-in files, the Secret, rotation.
//! - [`authority`]: key, chain and roots; [`csr`] reads requests, [`authority::Authority::issue`] signs them.
//! - [`authenticate`]: who calls; [`node`]: for whom a node's proxy may ask; [`gate`]: the rule both services share.
//! - [`service`]: `istio.v1.auth.IstioCertificateService`; [`signing`]: the pool that signs, apart from pushes.
//! - [`tls`]: the serving certificate, client certificates, the listener.
//! - [`settings`]: everything that can be set, with Istio's names.
//!
//! This crate must never know Kubernetes: Secrets, token reviews and pods are the traits [`roots::SecretStore`],
//! [`authenticate::TokenReviewer`] and [`node::Pods`]. It reads no environment. Keys and tokens never reach logs or Debug.
//!
//! Read first: `authority.rs`, `gate.rs`, `service.rs`.

pub mod authenticate;
pub mod authority;
pub mod csr;
mod der;
pub mod gate;
pub mod identity;
pub mod metrics;
pub mod node;
pub mod pem;
pub mod roots;
pub mod service;
pub mod settings;
pub mod signing;
pub mod tls;

#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::SystemTime;

/// Tells the time; a test has its own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Seconds since 1970; before it, 0.
fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

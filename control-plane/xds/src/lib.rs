//! xDS: sessions, the tonic shell around them, and the registry of live streams.
//!
//! It knows snapshots and proxies and nothing of worlds, classes or compiling: who serves it implements
//! [`server::Snapshots`]. Read first: `session.rs` (the protocol, without sockets), `subscription.rs` (the state of one
//! type), `server.rs` (the shell).

pub mod diff;
#[cfg(test)]
mod fixture;
pub mod message;
pub mod metrics;
pub mod names;
pub mod node;
pub mod registry;
mod rejection;
pub mod server;
pub mod session;
pub mod subscription;
pub mod wire;

pub use diff::Diffs;
pub use message::{Action, Delivery, Interest, Protocol, Request, Response};
pub use metrics::Metrics;
pub use registry::{Connection, Registry, Status, TypeStatus};
pub use rejection::TRIAL;
pub use server::{Ads, Limits, Snapshots};
pub use session::Session;
pub use subscription::Subscription;

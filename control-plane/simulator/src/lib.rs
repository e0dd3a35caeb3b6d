//! What an Envoy does with a connection or a request, computed on the resources that it is served: listener, filter
//! chain, virtual host, route, cluster, endpoints, or at which step it ends and why. Pure.
//!
//! This crate must never know worlds, classes or how resources are made: it reads Envoy's messages and nothing else.
//!
//! ```
//! use meltemi_simulator::{Call, End, Protocol, Resources, simulate};
//!
//! let call = Call { protocol: Protocol::Http1, ..Call::to("10.0.0.1", 80) };
//! let outcome = simulate(&Resources::default(), &call);
//! assert!(matches!(outcome.end, End::Missed(_)));
//! ```
//!
//! Read first: `call.rs` (what is asked), `outcome.rs` (what is answered), `walk.rs` (the way from one to the other).

mod action;
mod address;
mod call;
mod chain;
mod cluster;
mod cors;
mod fault;
mod guard;
mod hash;
mod headers;
mod host;
mod http;
mod inspect;
mod listener;
mod matching;
mod metadata;
mod network;
mod outcome;
mod path;
mod rbac;
mod redirect;
mod resources;
mod route;
mod tls;
mod token;
mod upstream;
mod walk;

pub use call::{Call, Mode, Protocol, Tls};
pub use headers::{HeaderChange, HeaderChanges};
pub use metadata::config_of;
pub use outcome::{
    Destination, End, Endpoint, Mirror, Miss, MissKind, Outcome, Stage, Step, UpstreamTls, Weight,
};
pub use resources::{Kind, Resources, Undecoded};
pub use upstream::next_call;
pub use walk::simulate;

#[cfg(test)]
mod tests;

//! The lowered domain: what Kubernetes and Istio objects mean, and what is served to proxies.
//!
//! Every type here is plain, hashable data. Sources produce it, `world` indexes it, `builders` turn it into Envoy
//! messages. This crate must never know Kubernetes' wire types, protobuf messages, files, clocks or sockets.
//!
//! Read first: `ids.rs` (names), `shared.rs` (why rows are compared by fingerprint), `object.rs` (what a source hands in).

pub mod allocation;
pub mod diagnostic;
pub mod duration;
pub mod envoy_filter;
pub mod flag;
pub mod gateway;
pub mod ids;
pub mod indexed;
pub mod ingress;
pub mod labels;
pub mod mesh;
pub mod network;
pub mod object;
pub mod port;
pub mod proxy;
pub mod proxy_config;
pub mod resource;
pub mod routing;
pub mod secret;
pub mod security;
pub mod service;
pub mod shared;
pub mod sidecar;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod traffic;
pub mod workload;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use ids::{Hostname, Kind, Locality, ObjectKey, Str};
pub use labels::{LabelRequirement, LabelSelector, Labels};
pub use object::{Meta, Object};
pub use resource::{ProxySnapshot, Resource, ResourceSet, ResourceType, Version};
pub use shared::Shared;

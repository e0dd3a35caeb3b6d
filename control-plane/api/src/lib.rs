//! Istio's API as Rust types: what users write in YAML, before anything is made of it.
//!
//! The crate knows names, types and spellings, and nothing else: not what is required, not what a value means, not
//! which objects belong together. Lowering and validation live in `sources`. Field lists are those of Istio 1.31
//! (`istio.io/api` at 5803fb6accf7); each message is a struct with public fields and proto3 defaults, each proto enum an
//! enum, the members of a oneof optional fields of which reading admits one.
//!
//! Read first: `proto_json.rs` (the rules of reading), `virtual_service.rs` (a kind), `kinds.rs` (the table of kinds).

mod bytes;
mod duration;
mod proto_json;

pub mod authorization_policy;
pub mod crd;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod kinds;
pub mod mesh_config;
pub mod mesh_networks;
pub mod peer_authentication;
pub mod proxy_config;
pub mod request_authentication;
pub mod selector;
pub mod service_entry;
pub mod shape;
pub mod shared;
pub mod sidecar;
pub mod telemetry;
pub mod traffic_extension;
pub mod virtual_service;
pub mod wasm_plugin;
pub mod workload_entry;
pub mod workload_group;

pub use bytes::Bytes;
pub use duration::Duration;
pub use proto_json::{FieldError, Parsed, parse, parse_at, parse_spec};

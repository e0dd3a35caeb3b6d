//! Everything that is protobuf: Envoy's messages (re-exported from envoy-types), the few that we declare ourselves, their
//! descriptors, and the one encoder that may give a resource its bytes.
//!
//! - [`envoy`], [`google`]: Envoy's messages; [`pb`] is the root that holds both.
//! - [`ads`]: the aggregated discovery service, server and client, with payloads of shared [`bytes::Bytes`].
//! - [`ca`]: the service that signs workload certificates, server and client.
//! - [`istio`], [`udpa`]: filter configurations of Istio's proxies, and `TypedStruct`.
//! - [`mod@canonical`]: equal messages become equal bytes. [`any`]: packing. [`pool`]: descriptors and JSON. [`merge`]: merging
//!   as EnvoyFilters do.
//!
//! This crate must never know what a mesh is: no service, no route, no proxy; and it does no IO.
//!
//! Read first: `proto/ads.proto`, `src/canonical.rs`, `src/pool.rs`.

pub mod ads;
pub mod any;
pub mod ca;
pub mod canonical;
pub mod istio;
pub mod merge;
pub mod pool;
pub mod udpa;

pub use canonical::{Canonical, encode};
pub use envoy_types::pb;
pub use envoy_types::pb::{envoy, google};
pub use pool::Error;

//! The aggregated discovery service (Envoy: `envoy/service/discovery/v3`), with what we do not read left out.
//!
//! Envoy's own generated messages own their payload as `Vec<u8>`, so every connection would copy every resource. In these the
//! payload is `Bytes`, and all connections share one encoding. On the wire both are the same.

pub use generated::*;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_lifetimes,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::unwrap_used
)]
mod generated {
    tonic::include_proto!("envoy.service.discovery.v3");
}

#[cfg(test)]
mod tests;

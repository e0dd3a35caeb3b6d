//! The certificate service of Istio's agents (`istio.v1.auth.IstioCertificateService`).

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
    tonic::include_proto!("istio.v1.auth");
}

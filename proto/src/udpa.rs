//! `udpa.type.v1`, which Istio still uses where newer APIs have `xds.type.v3`.

pub use generated::TypedStruct;

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    tonic::include_proto!("udpa.r#type.v1");
}

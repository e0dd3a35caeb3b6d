//! Rules about single values and small parts that several kinds share. Each answers for one value; its caller knows the
//! field.

pub mod access;
pub mod cel;
pub mod cidr;
pub mod cipher;
pub mod connection_pool;
pub mod duration;
pub mod export_to;
pub mod gateway_name;
pub mod grpc;
pub mod header;
pub mod host;
pub mod jwks;
pub mod labels;
pub mod load_balancer;
pub mod locality;
pub mod number;
pub mod outlier;
pub mod port;
pub mod protocol;
pub mod regex;
pub mod selector;
pub mod string_match;
pub mod target_ref;
pub mod tls;
pub mod url;
pub mod wasm;

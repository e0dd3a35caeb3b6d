//! Protocols as users name them.

use meltemi_model::port::Protocol;

use crate::Check;

/// The protocol that users may name, in either case. Istio 1.31: `protocol.Parse`, which does not know HBONE.
pub fn protocol(text: &str) -> Protocol {
    match Protocol::parse(text) {
        Protocol::Hbone => Protocol::Unsupported,
        protocol => protocol,
    }
}

/// A protocol that may be left out; then it is detected. Istio 1.31: `ValidateProtocol`.
pub fn known(text: &str) -> Check {
    if text.is_empty() || protocol(text) != Protocol::Unsupported {
        return Ok(());
    }
    Err(format!("unsupported protocol: {text}"))
}

/// Requests of HTTP, without TLS. Istio 1.31: `Instance.IsHTTP`.
pub fn is_http(protocol: Protocol) -> bool {
    use Protocol::{Grpc, GrpcWeb, Http, Http2, HttpProxy};
    matches!(protocol, Http | Http2 | HttpProxy | Grpc | GrpcWeb)
}

/// TLS of either kind. Istio 1.31: `Instance.IsTLS`.
pub fn is_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Tls)
}

/// What is carried as TCP. Istio 1.31: `Instance.IsTCP`.
pub fn is_tcp(protocol: Protocol) -> bool {
    use Protocol::{Https, Mongo, Mysql, Redis, Tcp, Tls};
    matches!(protocol, Tcp | Https | Tls | Mongo | Redis | Mysql)
}

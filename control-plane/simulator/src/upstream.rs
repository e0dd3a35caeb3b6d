//! How an endpoint is spoken to, and the connection that it gets.

use std::net::IpAddr;

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::proxy_protocol_config::Version;
use meltemi_proto::envoy::config::core::v3::{Metadata, TransportSocket};
use meltemi_proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, UpstreamTlsContext,
};
use prost::Message as _;

use crate::call::{Call, Mode, Protocol, Tls};
use crate::matching::shown_string;
use crate::metadata::includes;
use crate::outcome::{Endpoint, Outcome, UpstreamTls};
use crate::tls::{secrets, typed};

const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
/// Where endpoints say which transport socket they need.
const MATCH: &str = "envoy.transport_socket_match";

const PROXY_PROTOCOL: &str =
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";

/// What a connection to an endpoint begins with.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) tls: Option<UpstreamTls>,
    pub(crate) proxy_protocol: Option<u8>,
}

/// The transport socket towards an endpoint. Envoy: the first entry whose labels the endpoint has (its own, else its locality's), else
/// the cluster's socket.
pub(crate) fn socket(
    cluster: &Cluster,
    endpoint: Option<&Metadata>,
    locality: Option<&Metadata>,
) -> Socket {
    let labels =
        |metadata: Option<&Metadata>| metadata.and_then(|m| m.filter_metadata.get(MATCH)).cloned();
    let has = labels(endpoint).or_else(|| labels(locality));
    let entry = cluster.transport_socket_matches.iter().find(|entry| {
        let wanted = entry.r#match.clone().unwrap_or_default();
        includes(has.as_ref(), &wanted)
    });
    let (name, socket) = match entry {
        Some(entry) => (entry.name.as_str(), entry.transport_socket.as_ref()),
        None => ("", cluster.transport_socket.as_ref()),
    };
    let mut found = Socket::default();
    let Some(mut socket) = socket.cloned() else {
        return found;
    };
    if let Some(around) = proxy_protocol(&socket) {
        let version = around.config.map_or(0, |config| config.version);
        found.proxy_protocol = Some(if version == Version::V2 as i32 { 2 } else { 1 });
        match around.transport_socket {
            Some(inner) => socket = inner,
            None => return found,
        }
    }
    found.tls = context(&socket).map(|context| described(&context, name));
    found
}

fn proxy_protocol(socket: &TransportSocket) -> Option<ProxyProtocolUpstreamTransport> {
    let any = typed(socket)?;
    (type_name(&any.type_url) == PROXY_PROTOCOL)
        .then(|| ProxyProtocolUpstreamTransport::decode(any.value.as_slice()).ok())
        .flatten()
}

fn context(socket: &TransportSocket) -> Option<UpstreamTlsContext> {
    let any = typed(socket)?;
    (type_name(&any.type_url) == UPSTREAM)
        .then(|| UpstreamTlsContext::decode(any.value.as_slice()).ok())
        .flatten()
}

fn described(context: &UpstreamTlsContext, matched: &str) -> UpstreamTls {
    let common = context.common_tls_context.clone().unwrap_or_default();
    let certificate = secrets(&common).into_iter().next();
    let inline = (!common.tls_certificates.is_empty()).then(|| "(inline)".to_owned());
    UpstreamTls {
        matched: matched.to_owned(),
        sni: context.sni.clone(),
        alpn: common.alpn_protocols.clone(),
        certificate: certificate.or(inline),
        names: names(&common),
    }
}

fn names(common: &CommonTlsContext) -> Vec<String> {
    let of = |validation: &CertificateValidationContext| -> Vec<String> {
        let typed = validation.match_typed_subject_alt_names.iter();
        let typed = typed.filter_map(|name| name.matcher.as_ref());
        #[allow(deprecated)]
        let all = typed.chain(&validation.match_subject_alt_names);
        all.map(shown_string).collect()
    };
    match &common.validation_context_type {
        Some(ValidationContextType::ValidationContext(validation)) => of(validation),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            let default = combined.default_validation_context.as_ref();
            default.map_or_else(Vec::new, of)
        }
        _ => Vec::new(),
    }
}

/// The connection that an endpoint gets, as the proxy in front of it sees it: the next leg of a request through a mesh.
/// None for endpoints that have no IP address.
pub fn next_call(call: &Call, outcome: &Outcome, endpoint: &Endpoint) -> Option<Call> {
    let address: IpAddr = endpoint.address.parse().ok()?;
    let http = outcome.upstream_host.is_some();
    let destination = outcome.destination.as_ref()?;
    let protocol = match destination.http {
        Some("HTTP/2") => Protocol::Http2,
        Some("as the client") | None => call.protocol,
        Some(_) => Protocol::Http1,
    };
    let mut next = Call {
        address,
        port: endpoint.port,
        mode: Mode::Inbound,
        protocol,
        host: outcome
            .upstream_host
            .clone()
            .unwrap_or_else(|| call.host.clone()),
        path: outcome
            .upstream_path
            .clone()
            .unwrap_or_else(|| call.path.clone()),
        ..call.clone()
    };
    if http {
        next.headers.clone_from(&outcome.upstream_headers);
    }
    // What passes through as it is keeps the client's own TLS.
    let terminated = http || call.tls == Tls::Plaintext;
    match &endpoint.tls {
        Some(tls) => {
            next.tls = if tls.certificate.is_some() {
                Tls::Mtls
            } else {
                Tls::Tls
            };
            next.sni.clone_from(&tls.sni);
            next.alpn = offered(tls, next.protocol, http);
        }
        None if terminated => {
            next.tls = Tls::Plaintext;
            next.sni = String::new();
            next.alpn = Vec::new();
        }
        None => {}
    }
    Some(next)
}

/// What a sidecar offers: its ALPN filter puts the mesh's own names before the plain ones (Istio: `istio.alpn`).
fn offered(tls: &UpstreamTls, protocol: Protocol, http: bool) -> Vec<String> {
    let mesh = tls.alpn.iter().any(|name| name == "istio");
    if http && tls.alpn.is_empty() {
        // Envoy: a pool of connections names its own protocol where the configuration names none.
        let name = if protocol == Protocol::Http2 {
            "h2"
        } else {
            "http/1.1"
        };
        return vec![name.to_owned()];
    }
    if !(mesh && http) {
        return tls.alpn.clone();
    }
    let names: &[&str] = match protocol {
        Protocol::Http2 => &["istio-h2", "istio", "h2"],
        _ => &["istio-http/1.1", "istio", "http/1.1"],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

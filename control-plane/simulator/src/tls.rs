//! The TLS handshake of a filter chain with the client.

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use meltemi_proto::envoy::config::listener::v3::FilterChain;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext,
};
use prost::Message as _;

use crate::call::{Call, Tls};
use crate::outcome::{Miss, MissKind, Stage, Step};

const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// What the handshake left for routes to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminated {
    /// The client showed a certificate, which was accepted.
    pub(crate) certificate: bool,
}

/// Whether the chain ends TLS, and whether client and chain agree.
pub(crate) fn handshake(
    chain: &FilterChain,
    call: &Call,
) -> Result<Option<(Terminated, Step)>, Miss> {
    let Some(socket) = &chain.transport_socket else {
        return Ok(None);
    };
    let Some(any) = typed(socket) else {
        return Err(not_followed(&socket.name));
    };
    match type_name(&any.type_url) {
        RAW => return Ok(None),
        DOWNSTREAM => {}
        other => return Err(not_followed(other)),
    }
    let Ok(context) = DownstreamTlsContext::decode(any.value.as_slice()) else {
        return Err(not_followed(
            "a DownstreamTlsContext that cannot be decoded",
        ));
    };
    let common = context.common_tls_context.unwrap_or_default();
    let asks = context
        .require_client_certificate
        .is_some_and(|flag| flag.value);
    let sni = context.require_sni.is_some_and(|flag| flag.value);
    let secrets = secrets(&common);
    check(call, asks, sni, &secrets)?;
    let shows = if asks {
        "and asks for the client's"
    } else {
        "and asks for none of the client"
    };
    let step = Step {
        stage: Stage::Tls,
        chosen: secrets.join(" "),
        why: format!("the chain ends TLS with this certificate {shows}"),
        config: None,
    };
    Ok(Some((Terminated { certificate: asks }, step)))
}

fn check(call: &Call, asks: bool, require_sni: bool, secrets: &[String]) -> Result<(), Miss> {
    let missed = |kind, why: String| {
        Err(Miss {
            at: Stage::Tls,
            kind,
            why,
            candidates: Vec::new(),
            status: None,
        })
    };
    if call.tls == Tls::Plaintext {
        let why = "the client speaks plaintext, and the chain ends TLS".to_owned();
        return missed(MissKind::InvalidTls, why);
    }
    if require_sni && call.sni.is_empty() {
        let why = "the chain demands a server name, and the client sends none".to_owned();
        return missed(MissKind::InvalidTls, why);
    }
    if call.tls == Tls::Tls && asks {
        let why = "the chain asks for a client certificate, and the client has none".to_owned();
        return missed(MissKind::InvalidMtls, why);
    }
    if call.tls == Tls::Mtls && !asks {
        let why = "the client wants mutual TLS, and the chain asks for no certificate".to_owned();
        return missed(MissKind::InvalidMtls, why);
    }
    if call.tls == Tls::Mtls && !secrets.is_empty() && !secrets.contains(&call.trusts) {
        let why = format!(
            "the client accepts the certificate of {:?} only, and the chain shows {}",
            call.trusts,
            secrets.join(" ")
        );
        return missed(MissKind::InvalidMtls, why);
    }
    Ok(())
}

/// The names of the secrets whose certificates a context shows.
pub(crate) fn secrets(common: &CommonTlsContext) -> Vec<String> {
    let secrets = common.tls_certificate_sds_secret_configs.iter();
    secrets.map(|secret| secret.name.clone()).collect()
}

/// The configuration of a transport socket.
pub(crate) fn typed(socket: &TransportSocket) -> Option<&meltemi_proto::google::protobuf::Any> {
    match &socket.config_type {
        Some(ConfigType::TypedConfig(any)) => Some(any),
        None => None,
    }
}

fn not_followed(socket: &str) -> Miss {
    Miss {
        at: Stage::Tls,
        kind: MissKind::NotFollowed,
        why: format!("the chain's transport socket is {socket}, which is not followed here"),
        candidates: Vec::new(),
        status: None,
    }
}

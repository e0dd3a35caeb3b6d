//! The request that a connection carries, as the connection manager hands it to routes.

use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::CodecType;

use crate::address::joined;
use crate::call::{Call, Protocol, Tls};
use crate::host::settled;
use crate::outcome::{Miss, MissKind, Stage};
use crate::path::{Normalized, normalize};

/// A request after the connection manager looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its port, unless that was stripped.
    pub(crate) host: String,
    /// With its query.
    pub(crate) path: String,
    /// `http` or `https`: what the client's connection is.
    pub(crate) scheme: &'static str,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    /// The values of a header joined by commas, pseudo headers among them. None when it is absent.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        match name {
            ":method" => return Some(self.method.clone()),
            ":path" => return Some(self.path.clone()),
            ":scheme" => return Some(self.scheme.to_owned()),
            ":authority" | "host" | "Host" => return Some(self.host.clone()),
            _ => {}
        }
        let name = name.to_ascii_lowercase();
        let values = self.headers.iter().filter(|(n, _)| *n == name);
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// All but the pseudo headers.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first value of a query parameter, as it is written. Envoy: one without a `=` is empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        let query = query.split_once('#').map_or(query, |(before, _)| before);
        query.split('&').find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (key == name).then_some(value)
        })
    }

    /// A cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.header("cookie")?;
        cookies.split(';').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            (key == name).then(|| value.trim_matches('"').to_owned())
        })
    }

    /// The same with the host that the upstream sees.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// A request that goes on to the routes, or the end that the connection manager itself makes.
#[derive(Debug)]
pub(crate) enum Arrival {
    Request(Request),
    /// Sent to a cleaner path.
    Redirect(String),
}

/// Reads the request.
pub(crate) fn arrive(
    manager: &HttpConnectionManager,
    call: &Call,
    terminated: bool,
) -> Result<Arrival, Miss> {
    codec(manager, call, terminated)?;
    // Clients that are given no name write the address.
    let default_port = if call.tls == Tls::Plaintext { 80 } else { 443 };
    let host = match call.host.as_str() {
        "" if call.port == default_port => joined(&call.address.to_string(), 0),
        "" => joined(&call.address.to_string(), call.port),
        host => host.to_owned(),
    };
    let path = match normalize(&call.path, manager) {
        Normalized::Path(path) => path,
        Normalized::Redirect(path) => return Ok(Arrival::Redirect(path)),
        Normalized::Refused => {
            let why = format!("path {} has escaped slashes, which are refused", call.path);
            return Err(refused(why));
        }
    };
    let mut request = Request {
        method: call.method.clone(),
        host: settled(&host, manager, call.port),
        path,
        scheme: if terminated { "https" } else { "http" },
        headers: call
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect(),
    };
    // Envoy: an edge proxy overwrites what the client says of its connection, others believe it.
    let edge = manager.use_remote_address.is_some_and(|flag| flag.value);
    let believed = !edge || manager.xff_num_trusted_hops > 0;
    if !believed || request.header("x-forwarded-proto").is_none() {
        let scheme = request.scheme;
        request.set_header("x-forwarded-proto", scheme);
    }
    Ok(Arrival::Request(request))
}

fn codec(manager: &HttpConnectionManager, call: &Call, terminated: bool) -> Result<(), Miss> {
    let error = |why: &str, status| {
        Err(Miss {
            at: Stage::Network,
            kind: MissKind::ProtocolError,
            why: why.to_owned(),
            candidates: Vec::new(),
            status,
        })
    };
    if call.tls != Tls::Plaintext && !terminated {
        let why = "the chain expects plain HTTP, and the client speaks TLS";
        return error(why, None);
    }
    match (CodecType::try_from(manager.codec_type), call.protocol) {
        (_, Protocol::Tcp) => error(
            "the chain expects HTTP, and the client speaks something else",
            None,
        ),
        (Ok(CodecType::Http1), Protocol::Http2) => error(
            "the chain expects HTTP/1.1, and the client speaks HTTP/2",
            None,
        ),
        (Ok(CodecType::Http2), Protocol::Http1) => error(
            "the chain expects HTTP/2, and the client speaks HTTP/1.1",
            None,
        ),
        (Ok(CodecType::Http3), _) => error("the chain expects HTTP/3 over QUIC", None),
        _ => Ok(()),
    }
}

fn refused(why: String) -> Miss {
    Miss {
        at: Stage::Network,
        kind: MissKind::Refused,
        why,
        candidates: Vec::new(),
        status: Some(400),
    }
}

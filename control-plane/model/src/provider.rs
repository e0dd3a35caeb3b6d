//! Extension providers: services that the mesh configuration names for policies and telemetry.

use std::time::Duration;

use crate::security::TextMatch;
use crate::{Hostname, Str};

/// The service of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProviderService {
    /// Its namespace; `None`: the only one that has such a service.
    pub namespace: Option<Str>,
    /// Its host.
    pub host: Hostname,
    /// Its port.
    pub port: u16,
}

impl ProviderService {
    /// Reads `host` or `namespace/host`.
    pub fn parse(text: &str, port: u16) -> Self {
        let (namespace, host) = match text.split_once('/') {
            Some((namespace, host)) => (Some(namespace.into()), host),
            None => (None, text),
        };
        Self {
            namespace,
            host: Hostname::new(host),
            port,
        }
    }
}

/// A provider that decides about requests (`envoyExtAuthzHttp`, `envoyExtAuthzGrpc`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtAuthz {
    /// Whom to ask.
    pub service: ProviderService,
    /// How long an answer may take; `None`: 600 s.
    pub timeout: Option<Duration>,
    /// Let requests pass while it cannot be asked.
    pub fail_open: bool,
    /// Routes are chosen again after it answered, since it may have changed headers.
    pub clear_route_cache: bool,
    /// The status that callers see while it cannot be asked; `None`: 403.
    pub status_on_error: Option<u16>,
    /// Send the body with the request.
    pub body: Option<CheckBody>,
    /// How it is spoken to.
    pub protocol: ExtAuthzProtocol,
}

/// `includeRequestBodyInCheck`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckBody {
    /// At most so many bytes.
    pub max_bytes: u32,
    /// Larger bodies are cut, not refused.
    pub allow_partial: bool,
    /// As bytes, not as text.
    pub as_bytes: bool,
}

/// How a provider is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExtAuthzProtocol {
    /// Envoy's gRPC service.
    Grpc,
    /// Plain HTTP: a copy of the request's head.
    Http {
        /// Stands before the request's path.
        path_prefix: Str,
        /// Headers of the request that it is sent.
        request_headers: Vec<TextMatch>,
        /// Headers that it is sent besides, by name.
        extra_headers: Vec<(Str, Str)>,
        /// Headers of its answer that replace those of an allowed request.
        upstream_on_allow: Vec<TextMatch>,
        /// Headers of its answer that callers see when it refuses.
        downstream_on_deny: Vec<TextMatch>,
        /// Headers of its answer that callers see when it allows.
        downstream_on_allow: Vec<TextMatch>,
    },
}

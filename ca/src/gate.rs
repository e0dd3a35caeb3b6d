//! The rule that ADS and the certificate service share: who calls, or why not.
//!
//! Istio 1.31 (`XDS_AUTH`, `XDS_AUTH_PLAINTEXT`): without TLS nobody is asked, and the caller is nobody; with TLS a caller
//! must show a token or a certificate. What went wrong stands in the log; the caller learns only that it failed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Extensions, Status};
use tracing::warn;

use crate::authenticate::{Authenticators, Caller, Credentials};
use crate::metrics::Metrics;
use crate::tls::Peer;

/// The gate in front of both services.
#[derive(Debug, Clone)]
pub struct Gate {
    authenticators: Arc<Authenticators>,
    metrics: Metrics,
}

/// The caller could not prove who it is. Why stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failure")]
pub struct Refused;

impl Gate {
    /// A gate with these ways to authenticate.
    pub fn new(authenticators: Arc<Authenticators>, metrics: Metrics) -> Self {
        Self {
            authenticators,
            metrics,
        }
    }

    /// Who may call.
    pub fn authenticators(&self) -> &Authenticators {
        &self.authenticators
    }

    /// Who calls; `None`: nobody was asked, because the connection is not encrypted.
    ///
    /// # Errors
    /// The caller was asked and could not answer. The reasons are logged here.
    pub async fn caller(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
    ) -> Result<Option<Caller>, Refused> {
        let peer = extensions.get::<Peer>();
        if peer.is_none() && !self.authenticators.settings().plaintext {
            return Ok(None);
        }
        let remote = remote(extensions);
        let credentials = Credentials {
            peer,
            remote,
            metadata,
        };
        match self.authenticators.caller(credentials).await {
            Ok(caller) => Ok(Some(caller)),
            Err(failures) => {
                let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
                let reasons = reasons.join("; ");
                self.metrics.authentication_failures.inc();
                warn!(remote = ?remote, tls = peer.is_some(), %reasons, "authentication failed");
                Err(Refused)
            }
        }
    }

    /// The rule of ADS: as [`Gate::caller`], and nobody is asked when `XDS_AUTH` is off.
    ///
    /// # Errors
    /// Unauthenticated, "authentication failure".
    pub async fn for_ads(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
    ) -> Result<Option<Caller>, Status> {
        if !self.authenticators.settings().xds_auth {
            return Ok(None);
        }
        self.caller(metadata, extensions)
            .await
            .map_err(|refused| Status::unauthenticated(refused.to_string()))
    }

    /// Puts the gate before a service: each of its requests that passes has an `Arc<Caller>` among its extensions, if its
    /// caller was asked.
    pub fn before<S>(&self, service: S) -> Gated<S> {
        Gated {
            gate: self.clone(),
            service,
        }
    }
}

/// Where a connection comes from.
pub(crate) fn remote(extensions: &Extensions) -> Option<std::net::SocketAddr> {
    match extensions.get::<Peer>() {
        Some(peer) => Some(peer.remote),
        None => extensions.get::<TcpConnectInfo>()?.remote_addr(),
    }
}

/// A service behind the gate, by the rule of ADS.
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: Gate,
    service: S,
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Gated<S>
where
    S: Service<http::Request<B>, Response = http::Response<tonic::body::Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let gate = self.gate.clone();
        // The clone may not be ready; the one that was polled is.
        let ready = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, ready);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let metadata = MetadataMap::from_headers(parts.headers.clone());
            // No client can put a caller there, but nothing that comes from elsewhere may stay.
            parts.extensions.remove::<Arc<Caller>>();
            match gate.for_ads(&metadata, &parts.extensions).await {
                Ok(Some(caller)) => {
                    parts.extensions.insert(Arc::new(caller));
                }
                Ok(None) => {}
                Err(status) => return Ok(status.into_http()),
            }
            service.call(http::Request::from_parts(parts, body)).await
        })
    }
}

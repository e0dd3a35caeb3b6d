//! The rule that ADS and the certificate service share: who calls, or why not.
//!
//! Istio 1.31 (`XDS_AUTH`, `XDS_AUTH_PLAINTEXT`): without TLS nobody is asked, and the caller is nobody; with TLS a caller
//! must show a token or a certificate. What went wrong stands in the log; the caller learns only that it failed.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Extensions, Status};
use tracing::warn;

use crate::authenticate::{Authenticators, Caller, Credentials};
use crate::identity::Identity;
use crate::tls::Peer;

/// The gate in front of both services.
#[derive(Debug, Clone)]
pub struct Gate {
    authenticators: Arc<Authenticators>,
}

/// The caller could not prove who it is. Why stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failure")]
pub struct Refused;

impl Gate {
    /// A gate with these ways to authenticate.
    pub fn new(authenticators: Arc<Authenticators>) -> Self {
        Self { authenticators }
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
}

/// Which of a caller's identities a proxy may use that says it is of this namespace and service account (empty: it says
/// none). Istio 1.31: pilot/pkg/xds/auth.go; the trust domain is not compared there, since the gate has done so.
///
/// # Errors
/// PermissionDenied; the message names the identities, which the caller knows.
pub fn verified_identity(
    caller: &Caller,
    namespace: &str,
    service_account: &str,
) -> Result<Identity, Status> {
    let mut identities = caller.identities.iter().filter_map(|id| id.parse().ok());
    let fits = |identity: &Identity| {
        identity.namespace == namespace
            && (service_account.is_empty() || identity.service_account == service_account)
    };
    identities.find(fits).ok_or_else(|| {
        let shown = caller.identities.join(" ");
        Status::permission_denied(format!(
            "authorization failed: no identities ([{shown}]) matched {namespace}/{service_account}"
        ))
    })
}

/// Where a connection comes from.
pub(crate) fn remote(extensions: &Extensions) -> Option<std::net::SocketAddr> {
    match extensions.get::<Peer>() {
        Some(peer) => Some(peer.remote),
        None => extensions.get::<TcpConnectInfo>()?.remote_addr(),
    }
}

#[cfg(test)]
mod tests;

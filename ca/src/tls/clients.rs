//! Client certificates on 15012: optional, and strict when given.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use super::{TlsError, provider};
use crate::authority::parse;
use crate::identity::Identity;

/// Verifies clients against the roots of the moment.
#[derive(Debug)]
pub(super) struct Clients {
    trust_domain: String,
    /// Exchanged with the roots; a handshake uses the one that it finds.
    chains: ArcSwap<Arc<dyn ClientCertVerifier>>,
}

impl Clients {
    pub(super) fn new(
        trust_domain: &str,
        roots: &[CertificateDer<'static>],
    ) -> Result<Self, TlsError> {
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            chains: ArcSwap::from_pointee(verifier(roots)?),
        })
    }

    pub(super) fn set_roots(&self, roots: &[CertificateDer<'static>]) -> Result<(), TlsError> {
        self.chains.store(Arc::new(verifier(roots)?));
        Ok(())
    }
}

fn verifier(roots: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let added = store.add(root.clone());
        added.map_err(|error| TlsError::Roots(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
        .allow_unauthenticated()
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| TlsError::Roots(error.to_string()))
}

/// The identity in a certificate. Istio 1.31 (pkg/spiffe): exactly one URI, which is an identity.
pub(super) fn identity(certificate: &CertificateDer<'_>) -> Result<Identity, String> {
    let certificate = parse(certificate)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| "its names cannot be read")?
        .ok_or("it has no names")?;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err("it must have exactly one URI among its names".to_owned());
    };
    let identity = uri.parse::<Identity>();
    identity.map_err(|error| format!("its URI {uri:?} is {error}"))
}

/// Go verifies a chain twice, once for each use; so a certificate that lists its uses must list both.
fn serves_both(certificate: &CertificateDer<'_>) -> Result<(), String> {
    let certificate = parse(certificate)?;
    let usage = certificate
        .extended_key_usage()
        .map_err(|_| "its usage cannot be read")?;
    match usage {
        Some(usage)
            if !usage.value.any && !(usage.value.server_auth && usage.value.client_auth) =>
        {
            Err("it is not for both servers and clients".to_owned())
        }
        _ => Ok(()),
    }
}

/// Why a certificate with a good chain is refused. The listener logs it; the client gets an alert without it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: they would outlive the roots.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chains = self.chains.load_full();
        let verified = chains.verify_client_cert(end_entity, intermediates, now)?;
        serves_both(end_entity)
            .and_then(|()| {
                let identity = identity(end_entity)?;
                if identity.trust_domain == self.trust_domain {
                    return Ok(());
                }
                let domain = identity.trust_domain;
                Err(format!("no cert pool found for trust domain {domain}"))
            })
            .map_err(|reason| CertificateError::Other(OtherError(Arc::new(Refused(reason)))))?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .load()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .load()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.load().supported_verify_schemes()
    }
}

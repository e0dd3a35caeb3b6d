//! Keys and certificates as operators and Secrets hold them, and the checks before they sign anything.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use super::{Authority, Expiry};
use crate::settings::Lifetimes;
use crate::{csr, pem};

/// A signing certificate with all that belongs to it, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The certificate that signs; others after it are ignored.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The certificates between a leaf and the root, as peers get them; empty when the signer is the root.
    pub chain: String,
    /// The roots.
    pub roots: String,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("certificate", &self.certificate)
            .field("key", &"(secret)")
            .field("chain", &self.chain)
            .field("roots", &self.roots)
            .finish()
    }
}

/// What is wrong with keys and certificates. The operator must mend them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// A part cannot be read.
    #[error("the {part} cannot be used: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error("the signing key does not belong to the signing certificate")]
    KeyMismatch,
    /// The signing certificate must not sign certificates.
    #[error("the signing certificate is not authorized to sign other certificates")]
    NotAnAuthority,
    /// No path leads from the signing certificate to a root.
    #[error("the signing certificate does not lead to any of the root certificates: {0}")]
    NoPath(String),
}

/// Parses one certificate; nothing may follow it.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err("bytes follow the certificate".to_owned())
    }
}

/// Whether two bundles hold the same certificates, whatever their order and white space.
pub(crate) fn same_roots(one: &[CertificateDer<'_>], other: &[CertificateDer<'_>]) -> bool {
    let within =
        |a: &[CertificateDer<'_>], b: &[CertificateDer<'_>]| a.iter().all(|c| b.contains(c));
    within(one, other) && within(other, one)
}

fn part(part: &'static str) -> impl Fn(String) -> MaterialError {
    move |reason| MaterialError::Part { part, reason }
}

pub(super) fn load(material: Material, lifetimes: Lifetimes) -> Result<Authority, MaterialError> {
    let signers = pem::certificates(&material.certificate).map_err(part("signing certificate"))?;
    let signer_der = signers
        .into_iter()
        .next()
        .ok_or_else(|| part("signing certificate")("it holds no certificate".to_owned()))?;
    let chain_der = pem::certificates(&material.chain).map_err(part("certificate chain"))?;
    let roots = pem::certificates(&material.roots).map_err(part("root certificate"))?;
    if roots.is_empty() {
        return Err(part("root certificate")(
            "it holds no certificate".to_owned(),
        ));
    }
    let key = key_pair(&material.key).map_err(part("signing key"))?;

    let signer = parse(&signer_der).map_err(part("signing certificate"))?;
    csr::check_key(signer.public_key()).map_err(part("signing certificate"))?;
    if signer.public_key().raw != key.subject_public_key_info() {
        return Err(MaterialError::KeyMismatch);
    }
    if !may_sign(&signer) {
        return Err(MaterialError::NotAnAuthority);
    }
    let chain = parse_all(&chain_der).map_err(part("certificate chain"))?;
    let parsed_roots = parse_all(&roots).map_err(part("root certificate"))?;
    let not_after = path(&signer, &chain, &parsed_roots)?;
    let expiry = Expiry {
        root: end(&parsed_roots[0]),
        chain: (!chain.is_empty()).then(|| end(&signer)),
    };

    Ok(Authority {
        subject: signer.subject().as_raw().to_vec(),
        key_id: key_id(&signer),
        not_after,
        expiry,
        chain: chain_der.iter().map(|c| pem::certificate(c)).collect(),
        root_pem: lines(&material.roots).into(),
        key,
        chain_der,
        roots,
        material,
        lifetimes,
    })
}

/// A key of a kind that we sign with.
fn key_pair(text: &str) -> Result<KeyPair, String> {
    // rcgen's errors are about the form only, yet a key's error is better not repeated.
    KeyPair::try_from(&pem::private_key(text)?)
        .map_err(|_| "it is no RSA, P-256 or P-384 key".to_owned())
}

fn parse_all<'a>(
    certificates: &'a [CertificateDer<'_>],
) -> Result<Vec<X509Certificate<'a>>, String> {
    certificates.iter().map(parse).collect()
}

fn end(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}

fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    usage && certificate.is_ca()
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
}

/// Longer chains are a mistake.
const MAX_DEPTH: usize = 8;

/// Follows signatures from the signer to a root, and tells when the first certificate on the way ends. What a peer holds
/// as its root need not be valid any more in the eyes of all verifiers, but it is counted as well.
fn path(
    signer: &X509Certificate<'_>,
    chain: &[X509Certificate<'_>],
    roots: &[X509Certificate<'_>],
) -> Result<i64, MaterialError> {
    let mut current = signer;
    let mut not_after = end(signer);
    for _ in 0..MAX_DEPTH {
        if roots.iter().any(|root| root.as_raw() == current.as_raw()) {
            return Ok(not_after);
        }
        let ends = roots.iter().filter(|root| signs(root, current)).map(end);
        if let Some(root) = ends.max() {
            return Ok(not_after.min(root));
        }
        let next = chain.iter().find(|next| {
            next.as_raw() != current.as_raw() && signs(next, current) && may_sign(next)
        });
        let Some(next) = next else {
            return Err(MaterialError::NoPath(format!(
                "nothing in chain or roots has signed \"{}\", issued by \"{}\"",
                current.subject(),
                current.issuer()
            )));
        };
        not_after = not_after.min(end(next));
        current = next;
    }
    Err(MaterialError::NoPath(format!(
        "more than {MAX_DEPTH} steps"
    )))
}

fn signs(issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == subject.issuer().as_raw()
        && subject.verify_signature(Some(issuer.public_key())).is_ok()
}

/// The text with exactly one line feed at its end.
fn lines(text: &str) -> String {
    format!("{}\n", text.trim())
}

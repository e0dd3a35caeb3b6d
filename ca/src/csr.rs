//! Certificate requests: what a stranger sends to be signed.
//!
//! Only two things are taken from a request: its public key, and whether it asks for a common name at all. Names in it
//! are never read, so they cannot be forged.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::pem;

/// The longest request that is read, in bytes of PEM. One with an RSA-8192 key has about 3,000.
pub const MAX_BYTES: usize = 16 << 10;
/// The shortest RSA key that is signed.
pub const MIN_RSA_BITS: usize = 2048;
/// The longest; verifying a longer one is a way to keep a server busy.
pub const MAX_RSA_BITS: usize = 8192;

const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// What is taken from a request that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The public key (SubjectPublicKeyInfo) in DER.
    pub public_key: Vec<u8>,
    /// Whether its subject has a common name. Istio 1.31: then the certificate gets one, made from the identity.
    pub wants_common_name: bool,
}

/// Why a request is refused. The caller may know: it wrote the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`MAX_BYTES`].
    #[error("the certificate request has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// Not one PEM block.
    #[error("certificate signing request is not properly encoded: {0}")]
    Encoding(&'static str),
    /// Not PKCS #10, or bytes follow it.
    #[error("the certificate request cannot be parsed")]
    Form,
    /// A key that must not be signed.
    #[error("the key of the certificate request is refused: {0}")]
    Key(String),
    /// It is not signed by its own key.
    #[error("the signature of the certificate request does not verify")]
    Signature,
}

/// Reads and checks a request: one PEM block, nothing after it, a strong key of a known kind, signed by that key.
///
/// # Errors
/// The first reason to refuse it.
pub fn read(text: &str) -> Result<Request, CsrError> {
    if text.len() > MAX_BYTES {
        return Err(CsrError::TooLong(text.len()));
    }
    let der = pem::single(text, &LABELS).map_err(CsrError::Encoding)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| CsrError::Form)?;
    if !rest.is_empty() {
        return Err(CsrError::Form);
    }
    let info = &request.certification_request_info;
    check_key(&info.subject_pki).map_err(CsrError::Key)?;
    let algorithm = &request.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
        return Err(CsrError::Signature);
    }
    request
        .verify_signature()
        .map_err(|_| CsrError::Signature)?;
    let wants_common_name = info
        .subject
        .iter_common_name()
        .any(|name| !name.attr_value().data.is_empty());
    Ok(Request {
        public_key: info.subject_pki.raw.to_vec(),
        wants_common_name,
    })
}

/// Whether a key is of a kind and strength that we sign and sign with: RSA from 2048 bits, P-256, P-384. These are what
/// Istio's agents and ztunnel make, and what every Envoy can use.
pub(crate) fn check_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), String> {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err("a broken RSA key".to_owned());
        };
        let bits = bits(rsa.modulus);
        if bits < MIN_RSA_BITS {
            return Err(format!(
                "RSA with {bits} bits; at least {MIN_RSA_BITS} are needed"
            ));
        }
        if bits > MAX_RSA_BITS {
            return Err(format!(
                "RSA with {bits} bits; at most {MAX_RSA_BITS} are taken"
            ));
        }
        // A small or even exponent makes signatures forgeable or decryption trivial.
        return match rsa.try_exponent() {
            Ok(e) if e >= 65_537 && e % 2 == 1 => Ok(()),
            _ => Err("RSA with a weak exponent".to_owned()),
        };
    }
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
            _ => Err("an elliptic curve other than P-256 and P-384".to_owned()),
        };
    }
    Err("neither RSA nor ECDSA".to_owned())
}

fn bits(number: &[u8]) -> usize {
    let skip = number.iter().take_while(|byte| **byte == 0).count();
    let first = number
        .get(skip)
        .map_or(8, |byte| byte.leading_zeros() as usize);
    ((number.len() - skip) * 8).saturating_sub(first % 8)
}

#[cfg(test)]
mod tests;

//! Whether Envoy will take certificates and keys: it refuses a whole response for one that it cannot read.

use meltemi_model::secret::Validity;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

/// That these are certificates, and when the first is valid.
pub(super) fn certificates(pem: &[u8]) -> Result<Validity, String> {
    let all = blocks(pem)?;
    let mut first = None;
    for (i, der) in all.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| format!("certificate {} cannot be read", i + 1))?;
        let validity = certificate.validity();
        first.get_or_insert(Validity {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        });
    }
    first.ok_or_else(|| "this holds no certificate in PEM (BEGIN CERTIFICATE)".to_owned())
}

/// That this is a key, and that of the first certificate. What is wrong with the certificates is said elsewhere.
pub(super) fn key_of(chain: &[u8], pem: &[u8]) -> Result<(), String> {
    // The reader's error could quote the key.
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        if pem.windows(9).any(|word| word == b"ENCRYPTED") {
            "the key is encrypted; Envoy has no password, so write it without"
        } else {
            "this holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1)"
        }
    })?;
    let Ok(chain) = blocks(chain) else {
        return Ok(());
    };
    let Some(Ok((_, certificate))) = chain.first().map(|der| X509Certificate::from_der(der)) else {
        return Ok(());
    };
    let Ok(key) = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key) else {
        // An algorithm that Envoy may have and we have not, or a broken key: nobody knows.
        return Ok(());
    };
    match key.public_key() {
        Some(public) if *public != *certificate.public_key().raw => {
            Err("the key is not that of the first certificate".to_owned())
        }
        _ => Ok(()),
    }
}

/// That these are lists of revoked certificates.
pub(super) fn revocations(pem: &[u8]) -> Result<(), String> {
    let mut found = false;
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        let list = list.map_err(|_| broken())?;
        CertificateRevocationList::from_der(&list)
            .map_err(|_| "a list of revoked certificates cannot be read".to_owned())?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err("this holds no list of revoked certificates in PEM (BEGIN X509 CRL)".to_owned())
    }
}

fn blocks(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| broken())
}

fn broken() -> String {
    "a PEM block is broken".to_owned()
}

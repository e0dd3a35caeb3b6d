//! Self-signed roots: made, renewed with the same key, and kept in a Secret.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RsaKeySize, SerialNumber, date_time_ymd,
};

use super::{CA_CERT, CA_KEY, CERT_CHAIN, GENERATED, ROOT_CERT, RootsError, SECRET_TYPE};
use super::{CACERTS, Secret};
use crate::authority::{CLOCK_SKEW, Material, MaterialError, parse};
use crate::der::{self, Names};
use crate::settings::{RootKey, Roots};
use crate::{pem, unix};

/// A new root in the Secret that keeps it. Istio 1.31: the same keys, two of them empty.
pub(super) fn new_secret(
    settings: &Roots,
    name: &str,
    now: SystemTime,
) -> Result<Secret, RootsError> {
    let make = |error: rcgen::Error| RootsError::Make(error.to_string());
    let key = new_key(settings.key).map_err(make)?;
    let params = params(settings, now)?;
    let certificate = params.self_signed(&key).map_err(make)?;
    let certificate = pem::certificate(certificate.der());
    let mut secret = Secret {
        kind: SECRET_TYPE.to_owned(),
        ..Secret::default()
    };
    let mut put = |key: &str, value: String| {
        secret.data.insert(key.to_owned(), value.into_bytes());
    };
    put(CA_CERT, certificate.clone());
    put(CA_KEY, key.serialize_pem());
    put(ROOT_CERT, certificate);
    put(CERT_CHAIN, String::new());
    put("key.pem", String::new());
    if name == CACERTS {
        put(GENERATED, String::new());
    }
    Ok(secret)
}

fn new_key(kind: RootKey) -> Result<KeyPair, rcgen::Error> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    match kind {
        RootKey::Rsa2048 => rsa(RsaKeySize::_2048),
        RootKey::Rsa3072 => rsa(RsaKeySize::_3072),
        RootKey::Rsa4096 => rsa(RsaKeySize::_4096),
        RootKey::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        RootKey::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
    }
}

fn params(settings: &Roots, now: SystemTime) -> Result<CertificateParams, RootsError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial)
        .map_err(|_| RootsError::Make("no random numbers".to_owned()))?;
    let mut params = CertificateParams::default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(unix(now).unsigned_abs());
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + settings.root_lifetime;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    let organization = settings.trust_domain.as_str();
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

/// The same root with a new life: its key, its name and its key identifier stay, so that what it has signed verifies with
/// either certificate.
pub(super) fn renewed(
    old: &Material,
    settings: &Roots,
    now: SystemTime,
) -> Result<String, RootsError> {
    let make = |reason: &dyn std::fmt::Display| RootsError::Make(reason.to_string());
    let certificates = pem::certificates(&old.certificate).map_err(|e| make(&e))?;
    let old_der = certificates
        .first()
        .ok_or_else(|| make(&"no certificate"))?;
    let certificate = parse(old_der).map_err(|e| make(&e))?;
    let key = pem::private_key(&old.key).map_err(|e| make(&e))?;
    let key = KeyPair::try_from(&key).map_err(|_| make(&"the key cannot be used"))?;
    let mut params = params(settings, now)?;
    let key_id =
        certificate
            .iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(id.0.to_vec())
                }
                _ => None,
            });
    if let Some(id) = key_id {
        params.key_identifier_method = KeyIdMethod::PreSpecified(id);
    }
    let name = certificate.subject().as_raw();
    let names = Names {
        issuer: name,
        subject: Some(name),
    };
    let der = der::certificate(params, &key, &names, None, &key).map_err(|e| make(&e))?;
    Ok(pem::certificate(&der))
}

/// What a Secret of a self-signed root holds, with the extra roots of the folder.
pub(super) fn from_secret(
    secret: &Secret,
    name: &str,
    settings: &Roots,
) -> Result<Material, RootsError> {
    let text = |key: &'static str| {
        let bytes = secret.data.get(key).filter(|value| !value.is_empty());
        let text = bytes.and_then(|value| String::from_utf8(value.clone()).ok());
        text.ok_or_else(|| RootsError::Material {
            place: format!("the Secret {name}"),
            error: MaterialError::Part {
                part: if key == CA_KEY {
                    "signing key"
                } else {
                    "signing certificate"
                },
                reason: format!("the key \"{key}\" is missing, empty or no text"),
            },
        })
    };
    let certificate = text(CA_CERT)?;
    Ok(Material {
        key: text(CA_KEY)?,
        chain: String::new(),
        roots: with_extra_roots(&certificate, settings)?,
        certificate,
    })
}

/// Istio 1.31: `root-cert.pem` in the folder adds roots, even without a signing key beside it.
pub(super) fn with_extra_roots(certificate: &str, settings: &Roots) -> Result<String, RootsError> {
    let path = settings.dir.join(ROOT_CERT);
    let failed =
        |error: &dyn std::fmt::Display| RootsError::Files(format!("{}: {error}", path.display()));
    let extra = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(certificate.to_owned());
        }
        Err(error) => return Err(failed(&error)),
    };
    let own = pem::certificates(certificate).map_err(|e| failed(&e))?;
    let mut roots = format!("{}\n", certificate.trim());
    for root in pem::certificates(&extra).map_err(|e| failed(&e))? {
        if !own.contains(&root) {
            roots.push_str(&pem::certificate(&root));
        }
    }
    Ok(roots)
}

/// Whether a root is in the last part of its life, or cannot be read.
pub(super) fn is_due(certificate: &str, settings: &Roots, now: SystemTime) -> bool {
    let Ok(certificates) = pem::certificates(certificate) else {
        return true;
    };
    let Some(Ok(certificate)) = certificates.first().map(parse) else {
        return true;
    };
    let validity = certificate.validity();
    let (begin, end) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let grace = end
        .saturating_sub(begin)
        .saturating_mul(i64::from(settings.grace_percent))
        / 100;
    unix(now) >= end.saturating_sub(grace)
}

/// The Secret that holds a renewed root.
pub(super) fn renewed_secret(old: &Secret, certificate: &str) -> Secret {
    let mut secret = old.clone();
    for key in [CA_CERT, ROOT_CERT] {
        secret
            .data
            .insert(key.to_owned(), certificate.as_bytes().to_vec());
    }
    secret
}

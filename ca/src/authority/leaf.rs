//! Certificates that do not sign: of workloads and of our own ports.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};

use super::{Authority, CLOCK_SKEW, IssueError};
use crate::der::{self, Names};
use crate::unix;

/// A name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// An identity.
    Uri(String),
    /// A host.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl San {
    /// A host or an address.
    pub fn host(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) => Self::Dns(text.to_owned()),
        }
    }
}

/// What is to be signed.
pub(crate) struct Leaf<'a> {
    /// SubjectPublicKeyInfo in DER.
    pub(crate) public_key: &'a [u8],
    pub(crate) names: &'a [San],
    /// Whether the first name becomes a common name, too.
    pub(crate) common_name: bool,
    pub(crate) lifetime: Duration,
}

const SUBJECT_ALT_NAME: [u64; 4] = [2, 5, 29, 17];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
/// A common name has no more characters (RFC 5280, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

impl Authority {
    /// Signs a certificate, as Istio 1.31 does: valid from two minutes ago until the end of its life or of its signer's;
    /// usable by servers and clients; its names critical.
    pub(crate) fn sign(&self, leaf: &Leaf<'_>, now: SystemTime) -> Result<Vec<u8>, IssueError> {
        if self.expired(now) {
            return Err(IssueError::Expired);
        }
        let failed = |error: &dyn std::fmt::Display| IssueError::Sign(error.to_string());
        let public = SubjectPublicKeyInfo::from_der(leaf.public_key).map_err(|e| failed(&e))?;
        let mut serial = [0; 16];
        rand::fill(&mut serial).map_err(|_| failed(&"no random numbers"))?;

        let mut params = CertificateParams::default();
        let seconds = i64::try_from(leaf.lifetime.as_secs()).unwrap_or(i64::MAX);
        let end = unix(now).saturating_add(seconds).min(self.not_after);
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(unix(now).unsigned_abs()) - CLOCK_SKEW;
        params.not_after = epoch + Duration::from_secs(end.unsigned_abs());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = subject(leaf);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.custom_extensions = vec![
            critical(&BASIC_CONSTRAINTS, der::wrap(der::SEQUENCE, &[])),
            critical(&SUBJECT_ALT_NAME, general_names(leaf.names)?),
        ];
        let names = Names {
            issuer: &self.subject,
            subject: None,
        };
        let key_id = self.key_id.as_deref();
        der::certificate(params, &public, &names, key_id, &self.key).map_err(|e| failed(&e))
    }
}

/// Empty, unless a common name was asked for. Istio 1.31 (DualUseCommonName): the first identity, never what the request
/// says; and none when it is too long.
fn subject(leaf: &Leaf<'_>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let (true, Some(San::Uri(name) | San::Dns(name))) = (leaf.common_name, leaf.names.first())
        && name.len() <= MAX_COMMON_NAME
    {
        subject.push(DnType::CommonName, name.as_str());
    }
    subject
}

fn critical(oid: &[u64], content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(true);
    extension
}

/// rcgen marks names as critical only beside an empty subject; Istio does so always. So they are written here.
fn general_names(names: &[San]) -> Result<Vec<u8>, IssueError> {
    let mut body = Vec::new();
    for name in names {
        let (tag, content) = match name {
            San::Uri(text) => (0x86, text.as_bytes().to_vec()),
            San::Dns(text) => (0x82, text.as_bytes().to_vec()),
            San::Ip(IpAddr::V4(ip)) => (0x87, ip.octets().to_vec()),
            San::Ip(IpAddr::V6(ip)) => (0x87, ip.octets().to_vec()),
        };
        let text = !matches!(name, San::Ip(_));
        if text && (content.is_empty() || !content.iter().all(u8::is_ascii_graphic)) {
            return Err(IssueError::Identity);
        }
        body.extend(der::wrap(tag, &content));
    }
    Ok(der::wrap(der::SEQUENCE, &body))
}

//! A few strokes of DER: names in certificates are copied byte for byte.
//!
//! rcgen keeps a name as a map of attributes, so a name with two organisational units or `DC=example, DC=com` would come
//! out shorter than it went in, and no verifier would find the issuer. So rcgen writes the certificate, and the names are
//! then put in as they stand in the signer's certificate, before it is signed.

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};

/// Whose names a certificate gets.
pub(crate) struct Names<'a> {
    /// The issuer's name in DER.
    pub(crate) issuer: &'a [u8],
    /// The subject's name in DER; `None`: that of the params.
    pub(crate) subject: Option<&'a [u8]>,
}

/// Writes and signs a certificate.
pub(crate) fn certificate(
    mut params: CertificateParams,
    public: &impl PublicKeyData,
    names: &Names<'_>,
    issuer_key_id: Option<&[u8]>,
    key: &KeyPair,
) -> Result<Vec<u8>, rcgen::Error> {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    params.use_authority_key_identifier_extension = issuer_key_id.is_some();
    issuer.key_identifier_method =
        rcgen::KeyIdMethod::PreSpecified(issuer_key_id.unwrap_or_default().to_vec());
    let unsigned = params.signed_by(public, &Issuer::new(issuer, Unsigned(key.algorithm())))?;
    let broken = || rcgen::Error::CouldNotParseCertificate;
    let (outer, _) = element(unsigned.der()).ok_or_else(broken)?;
    let (tbs, rest) = element(outer.content).ok_or_else(broken)?;
    let (algorithm, _) = element(rest).ok_or_else(broken)?;
    let tbs = with_names(tbs.content, names).ok_or_else(broken)?;
    let signature = key.sign(&tbs)?;
    let mut bits = Vec::with_capacity(signature.len() + 1);
    bits.push(0); // no unused bits
    bits.extend_from_slice(&signature);
    let mut body = tbs;
    body.extend_from_slice(algorithm.whole);
    body.extend(wrap(BIT_STRING, &bits));
    Ok(wrap(SEQUENCE, &body))
}

pub(crate) const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The body of the certificate with its names put in. The fields before them: version, serial number, algorithm; between
/// them: validity (RFC 5280, 4.1).
fn with_names(tbs: &[u8], names: &Names<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(tbs.len() + names.issuer.len() + 64);
    let mut rest = tbs;
    for field in 0..6 {
        let (element, more) = element(rest)?;
        out.extend_from_slice(match (field, names.subject) {
            (3, _) => names.issuer,
            (5, Some(subject)) => subject,
            _ => element.whole,
        });
        rest = more;
    }
    out.extend_from_slice(rest);
    Some(wrap(SEQUENCE, &out))
}

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// The first element of some DER and what follows it. Tags of more than one byte do not occur in a certificate.
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (header, length) = if first < 0x80 {
        (2, first)
    } else {
        let count = first & 0x7f;
        let bytes = der.get(2..2 + count)?;
        if count == 0 || count > 4 {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        (2 + count, length)
    };
    let end = header.checked_add(length)?;
    let (whole, rest) = der.split_at_checked(end)?;
    let content = whole.get(header..)?;
    Some((Element { whole, content }, rest))
}

/// An element with its tag and length.
pub(crate) fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 5);
    out.push(tag);
    if content.len() < 0x80 {
        out.push(content.len() as u8);
    } else {
        let bytes = content.len().to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
    out
}

/// Stands for the signing key while rcgen writes; the signature comes when the names are in.
struct Unsigned(&'static SignatureAlgorithm);

impl PublicKeyData for Unsigned {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0
    }
}

impl SigningKey for Unsigned {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; len];
            let whole = wrap(SEQUENCE, &content);
            let (read, rest) = element(&whole).unwrap();
            assert_eq!((read.content, rest), (content.as_slice(), &[][..]));
        }
    }

    #[test]
    fn broken_lengths_are_refused() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert!(element(der).is_none(), "{der:?}");
        }
    }
}

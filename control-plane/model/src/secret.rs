//! Certificates and keys that users bring, lowered.

use std::fmt;

use bytes::Bytes;

use crate::object::Meta;

/// Bytes that must not be shown. They leave it only where somebody asks for them by name.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Sealed(Bytes);

impl Sealed {
    /// Seals bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the proxy that may have them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What proxies may be served of a Secret, or of a ConfigMap with a CA. Nothing else of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Key, labels, age.
    pub meta: Meta,
    /// A certificate and its key.
    pub pair: Option<KeyPair>,
    /// The certificates of a CA.
    pub root: Option<Root>,
}

/// A certificate and its key. That they belong together was checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPair {
    /// The certificate and what leads to its CA, PEM.
    pub chain: Sealed,
    /// The key, PEM.
    pub key: Sealed,
    /// A stapled OCSP answer, DER.
    pub staple: Option<Sealed>,
    /// When the first certificate is valid.
    pub valid: Validity,
}

/// The certificates of a CA.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Root {
    /// The certificates, PEM.
    pub certificates: Sealed,
    /// What the CA has revoked, PEM.
    pub crl: Option<Sealed>,
    /// When the first certificate is valid.
    pub valid: Validity,
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// From then on.
    pub from: i64,
    /// Until then.
    pub until: i64,
}

impl Validity {
    /// Whether it is valid at a time.
    pub fn holds(self, now: i64) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_do_not_show() {
        let sealed = Sealed::new("ThisIsTheKey");
        assert_eq!(
            format!("{sealed:?} {:?}", Some(&sealed)),
            "12 bytes Some(12 bytes)"
        );
        assert_eq!(sealed.reveal(), b"ThisIsTheKey");
    }

    #[test]
    fn validity_has_both_ends() {
        let valid = Validity {
            from: 10,
            until: 20,
        };
        let holds: Vec<i64> = (8..23).filter(|now| valid.holds(*now)).collect();
        assert_eq!((holds[0], holds.len()), (10, 11));
    }
}

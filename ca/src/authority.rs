//! The authority: a signing key with its chain and roots, and what it signs.

mod leaf;
mod material;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;

use crate::csr::{self, CsrError};
use crate::identity::Identity;
use crate::settings::Lifetimes;
use crate::{pem, unix};

pub(crate) use leaf::Leaf;
pub use leaf::San;
pub use material::{Material, MaterialError};
pub(crate) use material::{parse, same_roots};

/// Clocks differ; a certificate is valid from a little before it was made. Istio 1.31: ClockSkewGracePeriod.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// A signing key with its certificate, chain and roots. It never changes; a new one takes its place.
pub struct Authority {
    key: KeyPair,
    /// The signer's subject in DER, which becomes the issuer of what it signs.
    subject: Vec<u8>,
    /// The signer's key identifier.
    key_id: Option<Vec<u8>>,
    /// When the signer or a certificate between it and the root ends, in seconds since 1970.
    not_after: i64,
    expiry: Expiry,
    /// PEM of each certificate between leaf and root.
    chain: Vec<String>,
    chain_der: Vec<CertificateDer<'static>>,
    root_pem: Arc<str>,
    roots: Vec<CertificateDer<'static>>,
    material: Material,
    lifetimes: Lifetimes,
}

/// When certificates of an authority end, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The first root of the bundle.
    pub root: i64,
    /// The signer; `None` when it is a root itself, without a chain.
    pub chain: Option<i64>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("chain", &self.chain.len())
            .field("roots", &self.roots.len())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The request is refused.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The wish is longer than allowed.
    #[error("requested TTL {} is greater than the max allowed TTL {}", hours(*.wished), hours(.max.as_secs()))]
    Lifetime {
        /// The wish in seconds.
        wished: u64,
        /// What is allowed.
        max: Duration,
    },
    /// The caller has no identity that can be written into a certificate.
    #[error("the caller has no usable identity")]
    Identity,
    /// The signer or its chain has ended: the operator must bring a new one.
    #[error("the signing certificate has expired")]
    Expired,
    /// Writing or signing failed.
    #[error("the certificate could not be generated: {0}")]
    Sign(String),
}

/// A duration as Go prints it: `2161h0m0s`.
fn hours(seconds: u64) -> String {
    format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Authority {
    /// An authority from keys and certificates that have been checked: the key belongs to the certificate, which may sign
    /// certificates and leads to a root.
    ///
    /// # Errors
    /// What is wrong with them, for the operator.
    pub fn new(material: Material, lifetimes: Lifetimes) -> Result<Self, MaterialError> {
        material::load(material, lifetimes)
    }

    /// Signs a request for a workload.
    ///
    /// The answer is the leaf, then each certificate between it and the root, then all roots as one element; each in PEM
    /// with a line feed at its end. The names are the identities and nothing else: those of the request are not read.
    ///
    /// # Errors
    /// See [`IssueError`]; [`IssueError::Csr`] and [`IssueError::Lifetime`] are the caller's to mend.
    pub fn issue(
        &self,
        csr: &str,
        identities: &[String],
        wished_seconds: i64,
        now: SystemTime,
    ) -> Result<Vec<String>, IssueError> {
        let request = csr::read(csr)?;
        let lifetime = self.lifetime(wished_seconds)?;
        if identities.is_empty() || identities.iter().any(|id| id.parse::<Identity>().is_err()) {
            return Err(IssueError::Identity);
        }
        let names: Vec<San> = identities.iter().cloned().map(San::Uri).collect();
        let leaf = Leaf {
            public_key: &request.public_key,
            names: &names,
            common_name: request.wants_common_name,
            lifetime,
        };
        let der = self.sign(&leaf, now)?;
        let mut out = Vec::with_capacity(self.chain.len() + 2);
        out.push(pem::certificate(&der));
        out.extend(self.chain.iter().cloned());
        out.push(self.root_pem.to_string());
        Ok(out)
    }

    /// Istio 1.31: nothing or less than it means the default; more than the maximum is an error.
    fn lifetime(&self, wished_seconds: i64) -> Result<Duration, IssueError> {
        let wished = u64::try_from(wished_seconds).unwrap_or_default();
        let Lifetimes { default, max } = self.lifetimes;
        match wished {
            0 => Ok(default),
            _ if wished > max.as_secs() => Err(IssueError::Lifetime { wished, max }),
            _ => Ok(Duration::from_secs(wished)),
        }
    }

    /// All roots in PEM, as they go to agents and into ConfigMaps.
    pub fn root_pem(&self) -> Arc<str> {
        self.root_pem.clone()
    }

    /// All roots.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The certificates between a leaf and the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain_der
    }

    /// When its certificates end.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Whether nothing that it signs can be valid.
    pub(crate) fn expired(&self, now: SystemTime) -> bool {
        self.not_after <= unix(now)
    }
}

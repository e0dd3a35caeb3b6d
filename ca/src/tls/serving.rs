//! The certificate that our own ports show.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PublicKeyData as _};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::provider;
use crate::authority::{Authority, IssueError, Leaf, San, parse};
use crate::settings::{Serving, ServingFiles};
use crate::{pem, unix};

/// Why our ports have no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority did not sign.
    #[error("the serving certificate could not be issued: {0}")]
    Issue(#[from] IssueError),
    /// A file cannot be used; the operator must mend it.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The roots cannot be used to check clients.
    #[error("the roots cannot be used for client certificates: {0}")]
    Roots(String),
    /// Anything else of TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// A certificate with its key, and whose clients are believed.
pub(super) struct Made {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) roots: Vec<CertificateDer<'static>>,
}

pub(super) fn make(
    authority: &Authority,
    settings: &Serving,
    now: SystemTime,
) -> Result<Made, TlsError> {
    match &settings.files {
        Some(files) => read(files, authority),
        None => issue(authority, settings, now),
    }
}

/// Istio 1.31 makes a key of the authority's kind. Here it is ECDSA with every authority: a handshake then costs a tenth
/// of RSA-2048, and every client that speaks TLS 1.2 can verify it.
fn issue(authority: &Authority, settings: &Serving, now: SystemTime) -> Result<Made, TlsError> {
    let kind = if authority.key().algorithm() == &rcgen::PKCS_ECDSA_P384_SHA384 {
        &rcgen::PKCS_ECDSA_P384_SHA384
    } else {
        &rcgen::PKCS_ECDSA_P256_SHA256
    };
    let key = KeyPair::generate_for(kind).map_err(|e| IssueError::Sign(e.to_string()))?;
    let names: Vec<San> = settings.names.iter().map(|name| San::host(name)).collect();
    let public = key.subject_public_key_info();
    let leaf = Leaf {
        public_key: &public,
        names: &names,
        common_name: false,
        lifetime: settings.lifetime,
    };
    let leaf = CertificateDer::from(authority.sign(&leaf, now)?);
    let mut chain = vec![leaf];
    chain.extend(authority.chain().iter().cloned());
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok(Made {
        key: Arc::new(CertifiedKey::from_der(chain, private, &provider())?),
        roots: authority.roots().to_vec(),
    })
}

fn read(files: &ServingFiles, authority: &Authority) -> Result<Made, TlsError> {
    let failed = |path: &std::path::Path, reason: String| TlsError::File {
        path: path.display().to_string(),
        reason,
    };
    let text = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| failed(path, error.to_string()))
    };
    let certificates = |path: &std::path::Path| {
        let all = pem::certificates(&text(path)?).map_err(|reason| failed(path, reason))?;
        if all.is_empty() {
            return Err(failed(path, "it holds no certificate".to_owned()));
        }
        Ok(all)
    };
    let chain = certificates(&files.certificate)?;
    let private = pem::private_key(&text(&files.key)?).map_err(|e| failed(&files.key, e))?;
    let key = CertifiedKey::from_der(chain, private, &provider())
        .map_err(|error| failed(&files.key, error.to_string()))?;
    let roots = match &files.roots {
        Some(path) => certificates(path)?,
        None => authority.roots().to_vec(),
    };
    Ok(Made {
        key: Arc::new(key),
        roots,
    })
}

/// What the files held at a look; nothing without files.
#[derive(PartialEq, Eq)]
pub(super) struct Seen(Vec<Option<Vec<u8>>>);

impl Seen {
    pub(super) fn now(settings: &Serving) -> Self {
        let files = settings.files.iter();
        let paths = files.flat_map(|f| [Some(&f.certificate), Some(&f.key), f.roots.as_ref()]);
        Self(
            paths
                .flatten()
                .map(|path| std::fs::read(path).ok())
                .collect(),
        )
    }
}

/// Begin and end of the certificate, in seconds since 1970.
fn validity(key: &CertifiedKey) -> Option<(i64, i64)> {
    let certificate = parse(key.cert.first()?).ok()?;
    let validity = certificate.validity();
    Some((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

/// Whether half of its life is over.
pub(super) fn is_due(key: &CertifiedKey, now: SystemTime) -> bool {
    until_due(key, now).is_zero()
}

/// How long until half of its life is over, at most an hour: the clock may be set.
pub(super) fn until_due(key: &CertifiedKey, now: SystemTime) -> Duration {
    let Some((begin, end)) = validity(key) else {
        return Duration::ZERO;
    };
    let due = begin + (end - begin) / 2;
    let left = u64::try_from(due - unix(now)).unwrap_or_default();
    Duration::from_secs(left.min(3600))
}

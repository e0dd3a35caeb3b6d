//! What the tests of this crate share: authorities, requests, callers, logs.

pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use tracing_subscriber::fmt::MakeWriter;

use crate::Clock;
use crate::authenticate::{Review, TokenReviewer};
use crate::authority::{Authority, Material};
use crate::settings::Lifetimes;

/// A time long after the epoch; every test begins here.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A clock that a test sets.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn at_noon() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000)))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let seconds = self.0.clone();
        Arc::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst))
        })
    }
}

pub(crate) fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

pub(crate) fn p256() -> KeyPair {
    key(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params.not_before = params.not_before.replace_year(2000).unwrap();
    params
}

/// A self-signed root.
pub(crate) fn root(name: &str, algorithm: &'static SignatureAlgorithm) -> Material {
    root_with(name, key(algorithm), |_| ())
}

pub(crate) fn root_with(
    name: &str,
    key: KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> Material {
    let mut params = ca_params(name);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap().pem();
    Material {
        roots: certificate.clone(),
        certificate,
        key: key.serialize_pem(),
        chain: String::new(),
    }
}

/// An intermediate below a root of another kind.
pub(crate) fn intermediate(algorithm: &'static SignatureAlgorithm) -> Material {
    let root_params = ca_params("the root");
    let root = CertifiedIssuer::self_signed(root_params, p256()).unwrap();
    let key = key(algorithm);
    let certificate = ca_params("an intermediate")
        .signed_by(&key, &root)
        .unwrap()
        .pem();
    Material {
        chain: certificate.clone(),
        certificate,
        key: key.serialize_pem(),
        roots: root.pem(),
    }
}

pub(crate) fn authority(material: Material) -> Authority {
    Authority::new(material, Lifetimes::default()).unwrap()
}

/// A request for a certificate, with names that must never be believed.
pub(crate) fn csr(key: &KeyPair) -> String {
    csr_with(key, |_| ())
}

pub(crate) fn csr_with(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    let forged = "spiffe://cluster.local/ns/kube-system/sa/forged";
    params.subject_alt_names = vec![rcgen::SanType::URI(forged.try_into().unwrap())];
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// A request with a key that rcgen would not make, as OpenSSL wrote it once.
pub(crate) const WEAK_RSA: &str = include_str!("testing/rsa1024.csr");
pub(crate) const P521: &str = include_str!("testing/p521.csr");
pub(crate) const ED25519: &str = include_str!("testing/ed25519.csr");
pub(crate) const SHA1: &str = include_str!("testing/sha1.csr");

/// Reviews tokens from a table.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) reviews: Mutex<BTreeMap<String, Review>>,
    pub(crate) calls: AtomicUsize,
}

#[tonic::async_trait]
impl TokenReviewer for Table {
    async fn review(&self, token: &str, audiences: &[String]) -> Result<Review, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if token.contains("unreachable") {
            return Err("connection refused".to_owned());
        }
        let mut review = self.reviews.lock().get(token).cloned().unwrap_or_default();
        // As an API server does: those that were asked for and fit.
        review.audiences.retain(|a| audiences.contains(a));
        if review.authenticated && review.audiences.is_empty() {
            review.authenticated = false;
            review.error = "token audiences do not match".to_owned();
        }
        Ok(review)
    }
}

impl Table {
    pub(crate) fn with(tokens: &[(&str, Review)]) -> Arc<Self> {
        let table = Self::default();
        for (token, review) in tokens {
            table
                .reviews
                .lock()
                .insert((*token).to_owned(), review.clone());
        }
        Arc::new(table)
    }
}

/// A good review of a pod's token.
pub(crate) fn review(namespace: &str, account: &str, pod: &str) -> Review {
    Review {
        authenticated: true,
        error: String::new(),
        username: format!("system:serviceaccount:{namespace}:{account}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        audiences: vec!["istio-ca".to_owned()],
        extra: [
            ("authentication.kubernetes.io/pod-name", pod.to_owned()),
            ("authentication.kubernetes.io/pod-uid", format!("uid-{pod}")),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), vec![value]))
        .collect(),
    }
}

/// Everything that is logged on this thread while the guard lives.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

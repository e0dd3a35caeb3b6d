use std::path::Path;

use super::*;
use crate::authority::parse;
use crate::pem;
use crate::settings::RootKey;
use crate::testing::{Hand, csr, intermediate, p256, root, root_with};

const DAY: Duration = Duration::from_secs(24 * 3600);
const ID: &str = "spiffe://cluster.local/ns/a/sa/b";

fn settings(dir: &Path) -> Roots {
    Roots {
        dir: dir.to_owned(),
        key: RootKey::P256,
        root_lifetime: DAY * 100,
        attempts: 3,
        first_pause: Duration::ZERO,
        ..Roots::default()
    }
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

fn plug(dir: &Path, material: &Material) {
    write(
        dir,
        &[
            (CA_CERT, &material.certificate),
            (CA_KEY, &material.key),
            (CERT_CHAIN, &material.chain),
            (ROOT_CERT, &material.roots),
        ],
    );
}

async fn opened(
    settings: Roots,
    store: &Arc<MemoryStore>,
    hand: &Hand,
) -> Result<(Arc<Live>, Upkeep), RootsError> {
    let store: Arc<dyn SecretStore> = store.clone();
    open(settings, Lifetimes::default(), Some(store), hand.clock()).await
}

#[tokio::test]
async fn a_root_is_made_once_and_then_reused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let (first, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    let secret = store.read(SECRET).await.unwrap().unwrap();
    assert_eq!(secret.kind, "istio.io/ca-root");
    let keys: Vec<_> = secret.data.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "ca-cert.pem",
            "ca-key.pem",
            "cert-chain.pem",
            "key.pem",
            "root-cert.pem"
        ]
    );
    assert!(secret.data["cert-chain.pem"].is_empty() && secret.data["key.pem"].is_empty());
    let (again, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    assert_eq!(first.authority().root_pem(), again.authority().root_pem());
    assert_eq!(store.read(SECRET).await.unwrap().unwrap().version, "1");

    let der = first.authority().roots()[0].clone();
    let root = parse(&der).unwrap();
    assert_eq!(root.subject().to_string(), "O=cluster.local");
    assert!(root.is_ca());
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.flags == 1 << 5, "keyCertSign");
}

/// As istiod leaves it: RSA in PKCS #1, made by another program.
#[tokio::test]
async fn an_existing_secret_is_never_regenerated() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let material = root("cluster.local", &rcgen::PKCS_RSA_SHA256);
    let secret = |key: &str| Secret {
        kind: SECRET_TYPE.to_owned(),
        data: [(CA_CERT, material.certificate.as_str()), (CA_KEY, key)]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .collect(),
        version: String::new(),
    };
    store.create(SECRET, &secret(&material.key)).await.unwrap();
    let (live, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    assert_eq!(
        live.authority().root_pem().trim(),
        material.certificate.trim()
    );

    // A broken one is an error, with the place and without the key; it is not replaced.
    for key in [p256().serialize_pem(), "nonsense".to_owned(), String::new()] {
        let store = Arc::<MemoryStore>::default();
        store.create(SECRET, &secret(&key)).await.unwrap();
        let error = opened(settings(dir.path()), &store, &hand)
            .await
            .unwrap_err();
        assert!(matches!(error, RootsError::Material { .. }), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("istio-ca-secret"), "{text}");
        assert!(key.is_empty() || !text.contains(key.lines().nth(1).unwrap_or(&key)));
        assert_eq!(store.read(SECRET).await.unwrap().unwrap().version, "1");
    }
}

/// A store in which another replica is always a moment faster.
struct Faster {
    store: MemoryStore,
    other: Secret,
}

#[tonic::async_trait]
impl SecretStore for Faster {
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        self.store.read(name).await
    }

    async fn create(&self, name: &str, _: &Secret) -> Result<(), StoreError> {
        self.store.create(name, &self.other).await?;
        Err(StoreError::Conflict)
    }

    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.store.update(name, secret).await
    }
}

#[tokio::test]
async fn whoever_loses_the_race_takes_the_winners_root() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::at_noon();
    let settings = settings(dir.path());
    let other = root::new_secret(&settings, SECRET, (hand.clock())()).unwrap();
    let theirs = String::from_utf8(other.data[CA_CERT].clone()).unwrap();
    let store = Faster {
        store: MemoryStore::default(),
        other,
    };
    let (live, _) = open(
        settings,
        Lifetimes::default(),
        Some(Arc::new(store)),
        hand.clock(),
    )
    .await
    .unwrap();
    assert_eq!(live.authority().root_pem().trim(), theirs.trim());
}

/// A store that does not answer at first.
struct Slow(MemoryStore, parking_lot::Mutex<u32>);

#[tonic::async_trait]
impl SecretStore for Slow {
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        let left = {
            let mut left = self.1.lock();
            *left = left.saturating_sub(1);
            *left
        };
        if left > 0 {
            return Err(StoreError::Other("connection refused".to_owned()));
        }
        self.0.read(name).await
    }

    async fn create(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.0.create(name, secret).await
    }

    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.0.update(name, secret).await
    }
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for_but_not_forever() {
    let dir = tempfile::tempdir().unwrap();
    for (failures, works) in [(2, true), (9, false)] {
        let store = Slow(
            MemoryStore::default(),
            parking_lot::Mutex::new(failures + 1),
        );
        let opened = open(
            settings(dir.path()),
            Lifetimes::default(),
            Some(Arc::new(store)),
            Hand::at_noon().clock(),
        );
        match opened.await {
            Ok(_) => assert!(works),
            Err(error) => {
                assert!(!works);
                assert_eq!(
                    error.to_string(),
                    "the Secret istio-ca-secret: connection refused"
                );
            }
        }
    }
}

#[tokio::test]
async fn cacerts_holds_a_made_root_when_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let in_cacerts = Roots {
        in_cacerts: true,
        ..settings(dir.path())
    };
    let (live, _) = opened(in_cacerts.clone(), &store, &hand).await.unwrap();
    assert!(store.read(SECRET).await.unwrap().is_none());
    let secret = store.read(CACERTS).await.unwrap().unwrap();
    assert!(secret.data.contains_key("istio-generated"));

    // Mounted, it is not taken for plugged-in keys.
    for (name, value) in &secret.data {
        std::fs::write(dir.path().join(name), value).unwrap();
    }
    let (again, upkeep) = opened(in_cacerts.clone(), &store, &hand).await.unwrap();
    assert!(matches!(upkeep.source, Source::Stored { .. }));
    assert_eq!(again.authority().root_pem(), live.authority().root_pem());

    // An older istio-ca-secret comes first.
    let older = root::new_secret(&settings(dir.path()), SECRET, (hand.clock())()).unwrap();
    store.create(SECRET, &older).await.unwrap();
    let (older_live, _) = opened(in_cacerts, &store, &hand).await.unwrap();
    assert_ne!(
        older_live.authority().roots()[0],
        live.authority().roots()[0]
    );
}

#[tokio::test]
async fn extra_roots_of_the_folder_are_appended_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let extra = root("extra", &rcgen::PKCS_ECDSA_P256_SHA256);
    write(dir.path(), &[(ROOT_CERT, &extra.certificate)]);
    let (live, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    let pem = live.authority().root_pem();
    let roots = pem::certificates(&pem).unwrap();
    assert_eq!(roots.len(), 2);
    assert_eq!(roots[1], pem::certificates(&extra.certificate).unwrap()[0]);
    write(dir.path(), &[(ROOT_CERT, &pem)]);
    let (live, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    assert_eq!(live.authority().roots().len(), 2);
}

#[tokio::test]
async fn a_root_is_rotated_in_the_last_fifth_and_trust_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let settings = settings(dir.path());
    let (one, mut first) = opened(settings.clone(), &store, &hand).await.unwrap();
    let (two, mut second) = opened(settings, &store, &hand).await.unwrap();
    let bundle = one.root_bundle();
    let before = one.authority();
    let ids = [ID.to_owned()];
    let old_leaf = before
        .issue(&csr(&p256()), &ids, 0, (hand.clock())())
        .unwrap();

    hand.forward(DAY * 79);
    first.step().await;
    assert_eq!(one.authority().root_pem(), before.root_pem(), "not yet");

    hand.forward(DAY * 2);
    first.step().await;
    let after = one.authority();
    assert_ne!(after.root_pem(), before.root_pem());
    assert!(bundle.has_changed().unwrap());
    let (old, new) = (before.roots()[0].clone(), after.roots()[0].clone());
    let (old, new) = (parse(&old).unwrap(), parse(&new).unwrap());
    assert_eq!(old.subject().as_raw(), new.subject().as_raw());
    assert_eq!(old.public_key().raw, new.public_key().raw);
    assert_eq!(old.extensions().len(), new.extensions().len());
    assert_ne!(old.raw_serial(), new.raw_serial());
    assert!(new.validity().not_after.timestamp() > old.validity().not_after.timestamp());
    new.verify_signature(None).unwrap();

    // What either has signed verifies with the other.
    let new_leaf = after
        .issue(&csr(&p256()), &ids, 0, (hand.clock())())
        .unwrap();
    for (leaf, root) in [(&old_leaf, &new), (&new_leaf, &old)] {
        let der = pem::certificates(&leaf[0]).unwrap().remove(0);
        let leaf = parse(&der).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
    }

    // The other replica finds it; nobody rotates twice.
    assert_eq!(store.read(SECRET).await.unwrap().unwrap().version, "2");
    second.step().await;
    first.step().await;
    assert_eq!(two.authority().root_pem(), after.root_pem());
    assert_eq!(store.read(SECRET).await.unwrap().unwrap().version, "2");
}

#[tokio::test]
async fn an_expired_root_is_renewed_and_a_deleted_secret_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let (live, mut upkeep) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    hand.forward(DAY * 400);
    let ids = [ID.to_owned()];
    let now = || (hand.clock())();
    assert!(
        live.authority()
            .issue(&csr(&p256()), &ids, 0, now())
            .is_err()
    );
    upkeep.step().await;
    live.authority()
        .issue(&csr(&p256()), &ids, 0, now())
        .unwrap();

    let before = live.authority().root_pem();
    upkeep.source = Source::Stored {
        store: Arc::<MemoryStore>::default(),
        name: SECRET,
    };
    upkeep.step().await;
    assert_eq!(live.authority().root_pem(), before);
}

/// Rotation through a store in which somebody else writes first, once.
struct Raced {
    store: Arc<MemoryStore>,
    race: parking_lot::Mutex<Option<Secret>>,
}

#[tonic::async_trait]
impl SecretStore for Raced {
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        self.store.read(name).await
    }

    async fn create(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.store.create(name, secret).await
    }

    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        let other = self.race.lock().take();
        if let Some(other) = other {
            self.store.update(name, &other).await?;
        }
        self.store.update(name, secret).await
    }
}

#[tokio::test]
async fn two_replicas_that_rotate_at_once_end_with_one_root() {
    let dir = tempfile::tempdir().unwrap();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let settings = settings(dir.path());
    let (live, mut upkeep) = opened(settings.clone(), &store, &hand).await.unwrap();
    hand.forward(DAY * 90);
    let secret = store.read(SECRET).await.unwrap().unwrap();
    let material = root::from_secret(&secret, SECRET, &settings).unwrap();
    let theirs = root::renewed(&material, &settings, (hand.clock())()).unwrap();
    let race = root::renewed_secret(&secret, &theirs);
    upkeep.source = Source::Stored {
        store: Arc::new(Raced {
            store: store.clone(),
            race: parking_lot::Mutex::new(Some(race)),
        }),
        name: SECRET,
    };
    upkeep.step().await;
    assert_eq!(live.authority().root_pem().trim(), theirs.trim());
}

#[tokio::test]
async fn plugged_in_keys_come_first_in_both_layouts() {
    let hand = Hand::at_noon();
    let store = Arc::<MemoryStore>::default();
    let material = intermediate(&rcgen::PKCS_ECDSA_P384_SHA384);
    let dir = tempfile::tempdir().unwrap();
    plug(dir.path(), &material);
    let (live, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    let istio = live.authority();
    assert_eq!((istio.chain().len(), istio.roots().len()), (1, 1));

    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("tls.crt", &material.certificate),
            ("tls.key", &material.key),
            ("ca.crt", &material.roots),
        ],
    );
    let (live, _) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    let tls = live.authority();
    assert_eq!(
        (tls.chain().len(), tls.roots().len()),
        (2, 1),
        "tls.crt and ca.crt"
    );
    assert!(
        store.read(SECRET).await.unwrap().is_none(),
        "no root was made"
    );
}

#[tokio::test]
async fn an_incomplete_or_wrong_folder_is_an_error_that_names_it() {
    let hand = Hand::at_noon();
    let good = intermediate(&rcgen::PKCS_ECDSA_P256_SHA256);
    let ended = root_with("x", p256(), |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let ended = Material {
        chain: ended.certificate.clone(),
        ..ended
    };
    type Arrange<'a> = Box<dyn Fn(&Path) + 'a>;
    let remove = |name: &'static str| -> Arrange<'_> {
        let good = &good;
        Box::new(move |dir| {
            plug(dir, good);
            std::fs::remove_file(dir.join(name)).unwrap();
        })
    };
    let cases: Vec<(Arrange<'_>, &str)> = vec![
        (remove(CA_KEY), "ca-key.pem missing"),
        (remove(CA_CERT), "ca-cert.pem missing"),
        (remove(ROOT_CERT), "root-cert.pem missing"),
        (remove(CERT_CHAIN), "cert-chain.pem missing"),
        (
            Box::new(|dir| write(dir, &[("tls.crt", &good.certificate)])),
            "tls.key, ca.crt missing",
        ),
        (
            Box::new(|dir| {
                plug(dir, &good);
                write(dir, &[(ROOT_CERT, &ended.certificate)]);
            }),
            "does not lead",
        ),
        (Box::new(|dir| plug(dir, &ended)), "has expired"),
    ];
    for (arrange, why) in cases {
        let dir = tempfile::tempdir().unwrap();
        arrange(dir.path());
        let store = Arc::<MemoryStore>::default();
        let error = opened(settings(dir.path()), &store, &hand)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
        assert!(store.read(SECRET).await.unwrap().is_none());
    }
    let nowhere = open(
        settings(Path::new("/nonexistent")),
        Lifetimes::default(),
        None,
        hand.clock(),
    );
    assert!(matches!(nowhere.await, Err(RootsError::Nowhere(_))));
}

#[tokio::test]
async fn changed_files_are_taken_over_by_the_rule_of_istio() {
    let hand = Hand::at_noon();
    let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
    let (a, b) = (intermediate(kind), intermediate(kind));
    let both = format!("{}{}", a.roots, b.roots);
    let with_roots = |material: &Material, roots: &str| Material {
        roots: roots.to_owned(),
        ..material.clone()
    };
    for (multi_root, steps) in [
        // Other roots are refused altogether.
        (
            false,
            vec![
                (with_roots(&a, &both), false),
                (b.clone(), false),
                (a.clone(), true),
            ],
        ),
        // A bundle that holds the old one, the new signer, then the new root alone.
        (
            true,
            vec![
                (b.clone(), false),
                (with_roots(&a, &both), true),
                (with_roots(&b, &both), true),
                (b.clone(), true),
                (a.clone(), false),
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        plug(dir.path(), &a);
        let settings = Roots {
            multi_root,
            ..settings(dir.path())
        };
        let (live, mut upkeep) = open(settings, Lifetimes::default(), None, hand.clock())
            .await
            .unwrap();
        for (step, (material, taken)) in steps.into_iter().enumerate() {
            plug(dir.path(), &material);
            upkeep.step().await;
            let now = live.authority();
            assert_eq!(*now.material() == material, taken, "{multi_root} {step}");
        }
        // Half-written files change nothing.
        let before = live.authority();
        std::fs::write(dir.path().join(CA_KEY), "").unwrap();
        upkeep.step().await;
        assert!(Arc::ptr_eq(&live.authority(), &before));
    }
}

#[tokio::test]
async fn i9_secrets_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _guard) = crate::testing::Log::start();
    let (store, hand) = (Arc::<MemoryStore>::default(), Hand::at_noon());
    let (live, mut upkeep) = opened(settings(dir.path()), &store, &hand).await.unwrap();
    hand.forward(DAY * 90);
    upkeep.step().await;
    let secret = store.read(SECRET).await.unwrap().unwrap();
    let key = String::from_utf8(secret.data[CA_KEY].clone()).unwrap();
    let line = key.lines().nth(1).unwrap();
    let shown = format!("{live:?} {upkeep:?} {store:?} {secret:?} {}", log.text());
    assert!(log.text().contains("rotated the root certificate"));
    assert!(
        !shown.contains(line) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}

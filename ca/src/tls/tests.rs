use std::io;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::pem;
use crate::settings::{Callers, Handshakes, Lifetimes, ServingFiles};
use crate::system_clock;
use crate::testing::wire::{Client, HOST, Server};
use crate::testing::{Log, Table, authority, csr, intermediate, p256, root, root_with};

const SLEEP: &str = "spiffe://cluster.local/ns/default/sa/sleep";
const KIND: &rcgen::SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;

async fn start(authority: Authority) -> Server {
    Server::start(authority, Callers::default(), Table::with(&[]), None).await
}

fn chain_for(authority: &Authority, id: &str) -> (Vec<String>, rcgen::KeyPair) {
    let key = p256();
    let now = std::time::SystemTime::now();
    let chain = authority.issue(&csr(&key), &[id.to_owned()], 3600, now);
    (chain.unwrap(), key)
}

/// Whether the server takes this client. With TLS 1.3 a client learns only from the first bytes whether its certificate
/// was taken; a server of HTTP/2 speaks first.
async fn taken(client: &Client) -> io::Result<()> {
    let mut stream = client.connect().await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map(|_| ())
}

#[tokio::test]
async fn a_client_certificate_is_optional_and_strict_when_given() {
    let ours = root("cluster.local", KIND);
    let issuer = authority(ours.clone());
    let server = start(authority(ours.clone())).await;
    taken(&server.client()).await.unwrap();

    let (chain, key) = chain_for(&issuer, SLEEP);
    taken(&server.client().showing(&chain, &key)).await.unwrap();

    let (foreign, foreign_key) = chain_for(&authority(root("cluster.local", KIND)), SLEEP);
    let (unknown, unknown_key) = chain_for(&authority(root("foreign", KIND)), SLEEP);
    let (other, other_key) = chain_for(&issuer, "spiffe://other/ns/default/sa/sleep");
    let crafted = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let signer = rcgen::KeyPair::from_pem(&ours.key).unwrap();
        let signer = rcgen::Issuer::from_ca_cert_pem(&ours.certificate, signer).unwrap();
        let key = p256();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(SLEEP.try_into().unwrap())];
        change(&mut params);
        let leaf = params.signed_by(&key, &signer).unwrap().pem();
        (vec![leaf, String::new()], key)
    };
    use rcgen::{ExtendedKeyUsagePurpose as Usage, SanType};
    let fine = crafted(&|_| ());
    taken(&server.client().showing(&fine.0, &fine.1))
        .await
        .unwrap();
    let cases = [
        ("BadSignature", (foreign, foreign_key)),
        ("UnknownIssuer", (unknown, unknown_key)),
        (
            "no cert pool found for trust domain other",
            (other, other_key),
        ),
        (
            "exactly one URI",
            crafted(&|p| {
                p.subject_alt_names
                    .push(SanType::URI(SLEEP.try_into().unwrap()))
            }),
        ),
        (
            "exactly one URI",
            crafted(&|p| {
                p.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())]
            }),
        ),
        ("no names", crafted(&|p| p.subject_alt_names.clear())),
        (
            "not of the form",
            crafted(&|p| p.subject_alt_names = vec![SanType::URI("https://x".try_into().unwrap())]),
        ),
        (
            "both servers and clients",
            crafted(&|p| p.extended_key_usages = vec![Usage::ClientAuth]),
        ),
        (
            "EkuContext",
            crafted(&|p| p.extended_key_usages = vec![Usage::ServerAuth]),
        ),
        (
            "xpired",
            crafted(&|p| p.not_after = rcgen::date_time_ymd(2001, 1, 1)),
        ),
    ];
    for (why, (chain, key)) in cases {
        let (log, _guard) = Log::start();
        taken(&server.client().showing(&chain, &key))
            .await
            .expect_err(why);
        let text = log.text();
        assert!(
            text.contains("WARN") && text.contains("client certificate refused"),
            "{text}"
        );
        assert!(text.contains("remote=127.0.0.1:"), "{text}");
        let why = if why == "EkuContext" {
            "invalid peer certificate"
        } else {
            why
        };
        assert!(text.contains(why), "{why}: {text}");
    }
    taken(&server.client()).await.unwrap();
}

#[tokio::test]
async fn certificate_and_roots_follow_the_authority_while_connections_live() {
    let old = root("cluster.local", KIND);
    let new = intermediate(KIND);
    let server = start(authority(old.clone())).await;
    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (tls, live, stop) = (server.tls.clone(), server.live.clone(), stop.clone());
        async move { tls.follow(live, system_clock(), stop).await }
    });
    let (old_chain, old_key) = chain_for(&authority(old), SLEEP);
    let (new_chain, new_key) = chain_for(&authority(new.clone()), SLEEP);
    let before = server.client();
    let mut open = before.connect().await.unwrap();
    taken(&before.clone().showing(&old_chain, &old_key))
        .await
        .unwrap();

    let shown = server.tls.certificate.current.load_full();
    server.live.replace(authority(new));
    while Arc::ptr_eq(&shown, &server.tls.certificate.current.load_full()) {
        tokio::task::yield_now().await;
    }
    let after = server.client();
    taken(&after).await.unwrap();
    taken(&after.clone().showing(&new_chain, &new_key))
        .await
        .unwrap();
    taken(&before)
        .await
        .expect_err("the old roots do not verify the new certificate");
    taken(&after.clone().showing(&old_chain, &old_key))
        .await
        .expect_err("the old root is gone");
    let mut byte = [0];
    open.read_exact(&mut byte)
        .await
        .expect("the old connection lives");
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_serving_certificate_in_files_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let settings = Serving {
        names: vec![HOST.to_owned()],
        files: Some(ServingFiles {
            certificate: path("tls.crt"),
            key: path("tls.key"),
            roots: Some(path("ca.crt")),
        }),
        ..Serving::default()
    };
    let ours = authority(root("cluster.local", KIND));
    let clock = system_clock();
    let missing = Tls::new(&ours, "cluster.local", settings.clone(), &clock).unwrap_err();
    assert!(missing.to_string().contains("tls.crt"), "{missing}");

    let write = |authority: &Authority| {
        let (chain, key) = chain_for(authority, SLEEP);
        std::fs::write(path("tls.crt"), &chain[0]).unwrap();
        std::fs::write(path("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(path("ca.crt"), authority.root_pem().as_bytes()).unwrap();
    };
    let theirs = authority(root("another", KIND));
    write(&theirs);
    let seen = serving::Seen::now(&settings);
    let tls = Tls::new(&ours, "cluster.local", settings.clone(), &clock).unwrap();
    let first = tls.certificate.current.load_full();
    write(&theirs);
    assert!(seen != serving::Seen::now(&settings));
    tls.renew(&ours, &clock).unwrap();
    let second = tls.certificate.current.load_full();
    assert_ne!(first.cert, second.cert);

    // Key and certificate that do not fit, as in the middle of a change: the old ones stay, the key is not told.
    let key = p256().serialize_pem();
    std::fs::write(path("tls.key"), &key).unwrap();
    let error = tls.renew(&ours, &clock).unwrap_err().to_string();
    assert!(error.contains("tls.key"), "{error}");
    assert!(!error.contains(key.lines().nth(1).unwrap()));
    assert!(Arc::ptr_eq(&second, &tls.certificate.current.load_full()));
}

#[tokio::test]
async fn webhooks_speak_both_versions_of_http_and_ask_for_no_certificate() {
    let ours = authority(root("cluster.local", KIND));
    let clock = system_clock();
    let serving = Serving {
        names: vec![HOST.to_owned(), "127.0.0.1".to_owned()],
        ..Serving::default()
    };
    let tls = Tls::new(&ours, "cluster.local", serving, &clock).unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut incoming = listen(socket, tls.for_webhooks().unwrap(), Handshakes::default());
    let foreign = authority(root("x", KIND));
    let (chain, key) = chain_for(&foreign, SLEEP);
    let client = Client {
        address,
        roots: ours.roots().to_vec(),
        shown: None,
    };
    // Not asked for, so not refused either.
    let _client = client.showing(&chain, &key).connect().await.unwrap();
    let connection = incoming.accept().await.unwrap();
    assert!(connection.peer().identities.is_empty());
    let config = tls.for_webhooks().unwrap();
    assert_eq!(
        config.alpn_protocols,
        [b"h2".to_vec(), b"http/1.1".to_vec()]
    );
    assert_eq!(tls.for_agents().unwrap().alpn_protocols, [b"h2".to_vec()]);
}

#[tokio::test]
async fn silent_peers_hold_nobody_up_and_are_thrown_out() {
    let limits = Handshakes {
        timeout: Duration::from_millis(200),
        at_once: 2,
    };
    let ours = authority(root("cluster.local", KIND));
    let server =
        Server::with_limits(ours, Callers::default(), Table::with(&[]), None, limits).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(
            tokio::net::TcpStream::connect(server.address)
                .await
                .unwrap(),
        );
    }
    // All places are taken again and again, and yet it comes through: every silent peer is thrown out in time.
    taken(&server.client()).await.unwrap();
    for mut stream in silent {
        let mut byte = [0];
        assert_eq!(
            stream.read(&mut byte).await.unwrap_or(0),
            0,
            "closed without a word"
        );
    }
}

#[test]
fn the_serving_certificate_is_renewed_at_half_of_its_life() {
    use crate::testing::noon;
    let material = root_with("x", p256(), |params| {
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(1_800_000_000 + 30 * 24 * 3600);
    });
    let ours = Authority::new(material, Lifetimes::default()).unwrap();
    let settings = Serving {
        names: vec![HOST.to_owned(), "10.0.0.1".to_owned()],
        ..Serving::default()
    };
    let made = serving::make(&ours, &settings, noon()).unwrap();
    let days = |n: u64| noon() + Duration::from_secs(n * 24 * 3600);
    assert!(!serving::is_due(&made.key, noon()));
    assert!(!serving::is_due(&made.key, days(14)));
    assert!(serving::is_due(&made.key, days(16)));
    assert_eq!(
        serving::until_due(&made.key, noon()),
        Duration::from_secs(3600)
    );

    let leaf: &CertificateDer<'_> = &made.key.cert[0];
    let leaf = crate::authority::parse(leaf).unwrap();
    // Ten years are wished; the signer's end is the limit.
    assert_eq!(
        leaf.validity().not_after.timestamp(),
        1_800_000_000 + 30 * 24 * 3600
    );
    let names = leaf.subject_alternative_name().unwrap().unwrap().value;
    let names: Vec<String> = names
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            format!("DNSName({HOST})"),
            "IPAddress(0a:00:00:01)".to_owned()
        ]
    );
}

#[test]
fn private_keys_stay_private() {
    let ours = authority(root("x", KIND));
    let serving = Serving {
        names: vec![HOST.to_owned()],
        ..Serving::default()
    };
    let tls = Tls::new(&ours, "cluster.local", serving, &system_clock()).unwrap();
    let shown = format!("{tls:?}");
    assert!(
        !shown.contains("PRIVATE") && !shown.contains("Pkcs8"),
        "{shown}"
    );
    assert!(pem::private_key("-----BEGIN PRIVATE KEY-----\nsecret\n").is_err());
}

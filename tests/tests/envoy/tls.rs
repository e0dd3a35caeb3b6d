//! TLS at a gateway as clients meet it: certificates of Secrets, two hosts by SNI, client certificates, and a rotation
//! under load.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meltemi_tests::golden::{Case, Node};
use meltemi_tests::ports::unused;
use meltemi_tests::shared::skipped;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;
use crate::plane::ControlPlane;
use crate::process::{self, Envoy};

mod rotations;

const SIMPLE: &str = "simple.example.com";
const MUTUAL: &str = "mutual.example.com";

/// Requests that each kind of client sends after the new certificate was seen.
const AFTER: u32 = 20;

/// A CA and its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key).expect("a certificate").pem();
    Authority {
        issuer: Issuer::new(params, key),
        pem,
    }
}

/// A certificate and its key, PEM.
fn leaf(authority: &Authority, host: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([host.to_owned()]).expect("a host");
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn secret(name: &str, (certificate, key): &(String, String), ca: Option<&Authority>) -> Value {
    let mut data = json!({"tls.crt": certificate, "tls.key": key});
    if let Some(ca) = ca {
        data["ca.crt"] = ca.pem.as_str().into();
    }
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"},
        "type": "kubernetes.io/tls", "stringData": data})
}

/// Both hosts at one port, with the same application behind them.
fn gateway(port: u16, application: SocketAddr) -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let server = |name: &str, host: &str, tls: Value| json!({"port": {"number": port, "name": name, "protocol": "HTTPS"}, "hosts": [host], "tls": tls});
    vec![
        object(
            "Gateway",
            "edge",
            json!({"selector": {"istio": "edge"}, "servers": [
                server("simple", SIMPLE, json!({"mode": "SIMPLE", "credentialName": "simple"})),
                server("mutual", MUTUAL, json!({"mode": "MUTUAL", "credentialName": "mutual"})),
            ]}),
        ),
        object(
            "VirtualService",
            "app",
            json!({"hosts": [SIMPLE, MUTUAL], "gateways": ["edge"],
            "http": [{"route": [{"destination": {"host": "app.example.org"}}]}]}),
        ),
        object(
            "ServiceEntry",
            "app",
            json!({"hosts": ["app.example.org"], "resolution": "STATIC",
            "ports": [{"number": application.port(), "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": application.ip()}]}),
        ),
    ]
}

fn write(dir: &Path, name: &str, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    fs::write(dir.join("objects").join(name), list.to_string()).expect("a file");
}

/// Answers every request with 200.
async fn application(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut text = Vec::new();
            let mut part = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut part).await {
                text.extend_from_slice(&part[..count]);
                if text.ends_with(b"\r\n\r\n") {
                    text.clear();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Whom a client trusts, and what it shows.
fn client(roots: &[&Authority], own: Option<&(String, String)>) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let der = CertificateDer::from_pem_slice(root.pem.as_bytes()).expect("PEM");
        store.add(der).expect("a certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            let own = builder.with_client_auth_cert(vec![certificate], key);
            own.expect("a pair")
        }
    };
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Arc::new(config)
}

type Connection = BufReader<TlsStream<TcpStream>>;

async fn connect(port: u16, host: &str, config: &Arc<ClientConfig>) -> Result<Connection, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let connector = TlsConnector::from(Arc::clone(config));
    let secured = connector.connect(name, stream).await;
    Ok(BufReader::new(secured.map_err(|error| error.to_string())?))
}

/// One request on a connection, answered with 200.
async fn request(connection: &mut Connection, host: &str) -> Result<(), String> {
    let answer = answer(connection, host).await?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// What the application says to one request.
async fn answer(connection: &mut Connection, host: &str) -> Result<Vec<u8>, String> {
    let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        connection.write_all(text.as_bytes()).await?;
        connection.flush().await?;
        while !answer.ends_with(b"\r\n\r\nok") {
            answer.push(connection.read_u8().await?);
        }
        Ok::<_, std::io::Error>(())
    };
    let ended = match tokio::time::timeout(Duration::from_secs(10), exchange).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    };
    match ended {
        Ok(()) => Ok(answer),
        Err(error) => Err(format!(
            "{error} after {:?}",
            String::from_utf8_lossy(&answer)
        )),
    }
}

async fn call(port: u16, host: &str, config: &Arc<ClientConfig>) -> Result<(), String> {
    let mut connection = connect(port, host, config).await?;
    request(&mut connection, host).await
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let waiting = async {
        while !is_so().await {
            tick.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not so after {PATIENCE:?}: {what}");
}

fn case(dir: &Path) -> Case {
    let metadata =
        json!({"MELTEMI_IDENTITY": "none", "NAMESPACE": "default", "LABELS": {"istio": "edge"}});
    let Value::Object(metadata) = metadata else {
        unreachable!("a map")
    };
    Case {
        name: "tls".to_owned(),
        dir: dir.to_path_buf(),
        node: Node {
            istiod_env: Default::default(),
            id: "router~127.0.0.1~edge-0.default~default.svc.cluster.local".to_owned(),
            cluster: "edge.default".to_owned(),
            locality: String::new(),
            metadata,
            extensions: Vec::new(),
            secrets: Vec::new(),
            show: Vec::new(),
        },
    }
}

/// The load of a rotation: requests, and what went wrong.
#[derive(Default)]
struct Load {
    kept: AtomicU32,
    fresh: AtomicU32,
    failures: Failures,
}

/// What went wrong, in words.
#[derive(Default)]
struct Failures(parking_lot::Mutex<Vec<String>>);

impl Failures {
    fn add(&self, failure: String) {
        self.0.lock().push(failure);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_served_rotated_and_asked_for() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("objects")).expect("a folder");
    let port = unused();
    let behind = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let world = gateway(port, behind.local_addr().expect("an address"));
    let serving = tokio::spawn(application(behind));
    let (old, new, clients) = (authority("old"), authority("new"), authority("clients"));
    let mutual = leaf(&old, MUTUAL);
    write(dir.path(), "world.json", &world);
    write(
        dir.path(),
        "secrets.json",
        &[
            secret("simple", &leaf(&old, SIMPLE), None),
            secret("mutual", &mutual, Some(&clients)),
        ],
    );
    let plane = ControlPlane::start(dir.path()).await;
    let envoy = Envoy::start(&program, &case(dir.path()), plane.address, dir.path()).await;

    let trusts_old = client(&[&old], None);
    until("the gateway serves", async || {
        call(port, SIMPLE, &trusts_old).await.is_ok()
    })
    .await;
    let shows = |authority| client(&[&old], Some(&leaf(authority, "client.example.com")));
    let own = shows(&clients);
    assert_eq!(call(port, MUTUAL, &own).await, Ok(()));
    assert_eq!(call(port, SIMPLE, &own).await, Ok(()), "none is asked for");
    for (what, host, config) in [
        ("no client certificate", MUTUAL, &trusts_old),
        ("a client certificate of another CA", MUTUAL, &shows(&new)),
        ("an unknown host", "other.example.com", &own),
        ("a server of an unknown CA", SIMPLE, &client(&[&new], None)),
    ] {
        assert!(call(port, host, config).await.is_err(), "{what}");
    }

    // Both kinds of clients trust both CAs, so that nothing but the gateway can be at fault.
    let load = Arc::new(Load::default());
    let stop = CancellationToken::new();
    let both = client(&[&old, &new], None);
    let mut kept = connect(port, SIMPLE, &both).await.expect("a connection");
    let (of_kept, until_stop) = (Arc::clone(&load), stop.clone());
    let keeping = tokio::spawn(async move {
        while !until_stop.is_cancelled() {
            if let Err(error) = request(&mut kept, SIMPLE).await {
                of_kept.failures.add(format!("kept: {error}"));
                return;
            }
            of_kept.kept.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (of_fresh, until_stop) = (Arc::clone(&load), stop.clone());
    let connecting = tokio::spawn(async move {
        while !until_stop.is_cancelled() {
            if let Err(error) = call(port, SIMPLE, &both).await {
                of_fresh.failures.add(format!("new: {error}"));
            }
            of_fresh.fresh.fetch_add(1, Ordering::Relaxed);
        }
    });
    write(
        dir.path(),
        "secrets.json",
        &[
            secret("simple", &leaf(&new, SIMPLE), None),
            secret("mutual", &mutual, Some(&clients)),
        ],
    );
    plane.read_again(dir.path());
    let trusts_new = client(&[&new], None);
    until("the new certificate is served", async || {
        call(port, SIMPLE, &trusts_new).await.is_ok()
    })
    .await;
    assert!(
        call(port, SIMPLE, &trusts_old).await.is_err(),
        "the old one is gone"
    );
    let count = |count: &AtomicU32| count.load(Ordering::Relaxed);
    let seen = (count(&load.kept), count(&load.fresh));
    until("both kinds of clients went on", async || {
        let failed = !load.failures.all().is_empty();
        failed || (count(&load.kept) >= seen.0 + AFTER && count(&load.fresh) >= seen.1 + AFTER)
    })
    .await;
    stop.cancel();
    keeping.await.expect("a client");
    connecting.await.expect("a client");
    assert_eq!(load.failures.all(), Vec::<String>::new());
    let stats = envoy.stats().await;
    let rejected = stats
        .iter()
        .filter(|(name, count)| name.ends_with("update_rejected") && **count > 0);
    assert_eq!(rejected.count(), 0);
    serving.abort();
    envoy.stop().await;
    plane.stop().await;
}

//! One Envoy takes the worlds of the corpus, one after the other, over one stream. What each proxy of a world would be
//! served is compiled for an upstream Envoy without identity, and handed to the one that runs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{BufMut as _, Bytes, BytesMut};
use meltemi::bootstrap::Request;
use meltemi::offline;
use meltemi_model::proxy::Proxy;
use meltemi_model::{Locality, ProxySnapshot, Resource, ResourceSet, ResourceType};
use meltemi_sources::lower::LowerSettings;
use meltemi_tests::corpus::{Case, Corpus, NodeSpec};
use meltemi_tests::shared::{skipped, xds_corpus};
use meltemi_xds::metrics::Metrics;
use meltemi_xds::registry::{Registry, Status as StreamStatus};
use meltemi_xds::server::{Ads, Limits, Snapshots, transport};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::process::{self, Envoy};
use crate::{DUMPS, PATIENCE, dumped, names, rejections, settled, wanted};

/// Worlds that ask for what no Envoy takes, and get it from istiod, too.
const WRONG: [(&str, &str); 2] = [
    (
        "envoyfilter/filter-class",
        "it adds HTTP filters behind the router",
    ),
    (
        "gateway/https-optional-mutual",
        "its verifyCertificateSpki is no hash",
    ),
];

const NODE: &str = "sidecar~10.0.0.1~corpus.default~default.svc.cluster.local";
const PROXY: &str = "corpus.default";

/// Hands every stream the newest snapshot, and tells who came.
struct Fed {
    newest: watch::Receiver<Arc<ProxySnapshot>>,
    came: mpsc::Sender<Arc<Proxy>>,
}

impl Snapshots for Fed {
    async fn subscribe(
        &self,
        proxy: &Arc<Proxy>,
    ) -> Result<watch::Receiver<Arc<ProxySnapshot>>, Status> {
        // Only the first one is waited for.
        let _ = self.came.try_send(Arc::clone(proxy));
        Ok(self.newest.clone())
    }

    fn ready(&self) -> bool {
        true
    }
}

/// A server whose snapshots the test writes.
struct Feeder {
    address: SocketAddr,
    newest: watch::Sender<Arc<ProxySnapshot>>,
    came: mpsc::Receiver<Arc<Proxy>>,
    streams: Arc<Registry>,
}

impl Feeder {
    async fn start() -> Self {
        let (newest, receiver) = watch::channel(Arc::new(ProxySnapshot::empty()));
        let (sender, came) = mpsc::channel(1);
        let fed = Fed {
            newest: receiver,
            came: sender,
        };
        let streams = Arc::new(Registry::default());
        let limits = Limits::default();
        let ads = Ads::new(
            Arc::new(fed),
            Arc::clone(&streams),
            Metrics::new(&mut prometheus_client::registry::Registry::default()),
            limits.clone(),
            CancellationToken::new(),
            SystemTime::now,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = transport(&limits)
            .add_service(ads.into_service())
            .serve_with_incoming(TcpListenerStream::new(listener));
        // It ends with the test's runtime.
        tokio::spawn(serving);
        Self {
            address,
            newest,
            came,
            streams,
        }
    }
}

/// What one proxy of a world is served.
struct Fodder {
    id: String,
    snapshot: ProxySnapshot,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_envoy_takes_every_recorded_world() {
    let (Some(program), Some(dir)) = (process::find(), xds_corpus()) else {
        skipped("no envoy or no corpus");
        return;
    };
    let corpus = Corpus::load(&dir).expect("the corpus is well formed");
    let mut feeder = Feeder::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let request = Request {
        node: NODE.to_owned(),
        cluster: String::new(),
        metadata: json!({}),
        xds_host: feeder.address.ip().to_string(),
        xds_port: feeder.address.port(),
        admin_port: 0,
    };
    let mut envoy = Envoy::start_as(&program, &request, folder.path()).await;
    let arrival = tokio::time::timeout(PATIENCE, feeder.came.recv()).await;
    let proxy = arrival.ok().flatten().expect("Envoy connects");
    let certificates = Certificates::write(folder.path());

    // Compiling goes ahead of Envoy.
    let (sender, mut fodder) = mpsc::channel(4);
    let compiling = tokio::task::spawn_blocking(move || {
        let worlds = std::iter::once(&corpus.base).chain(&corpus.cases);
        let worlds = worlds.filter(|case| WRONG.iter().all(|(id, _)| *id != case.id()));
        let proxies = worlds.flat_map(|case| case.nodes.iter().map(move |node| (case, node)));
        for (case, node) in proxies {
            let next = compiled(case, node, &proxy, &certificates);
            if sender.blocking_send(next).is_err() {
                return;
            }
        }
    });
    let (mut count, mut refused) = (0, Vec::new());
    while let Some(next) = fodder.recv().await {
        count += 1;
        let taken = takes(&feeder, &mut envoy, next.snapshot).await;
        if let Err(problem) = taken {
            refused.push(format!("{}: {problem}", next.id));
        }
        if envoy.runs().is_err() {
            refused.push(envoy.log(folder.path()));
            break;
        }
    }
    drop(fodder);
    compiling.await.expect("compiling does not panic");
    let rejected: Vec<_> = rejections(&envoy.stats().await).err().into_iter().collect();
    envoy.stop().await;
    refused.extend(rejected);
    let told = refused.join("\n");
    assert!(
        refused.is_empty(),
        "{} of {count} proxies:\n{told}",
        refused.len()
    );
    assert!(count > 300, "{count} proxies");
}

/// Compiles for a node as an upstream Envoy would describe it.
fn compiled(case: &Case, node: &NodeSpec, envoy: &Proxy, certificates: &Certificates) -> Fodder {
    let mut metadata = node.metadata.clone();
    metadata["MELTEMI_IDENTITY"] = "none".into();
    let locality = node.locality.joined().unwrap_or_default();
    let locality = Locality::parse(&locality);
    let mut proxy = Proxy::parse(&node.id, &node.cluster, locality, &metadata, [])
        .expect("a node of the corpus is valid");
    proxy.capabilities = envoy.capabilities;
    let folder = tempfile::tempdir().expect("a folder");
    let files = case.files.iter().enumerate().map(|(i, file)| {
        let text = fs::read_to_string(file).expect("a world");
        let copy = folder.path().join(format!("{i}.yaml"));
        fs::write(&copy, certificates.named_in(&text)).expect("a file");
        copy
    });
    let files: Vec<PathBuf> = files.collect();
    let input = offline::read(&files, &LowerSettings::default()).expect("a world");
    let snapshot = offline::compile_for(&input, &proxy).snapshot;
    Fodder {
        id: format!("{}@{}", case.id(), node.name),
        snapshot: unbound(&snapshot),
    }
}

/// Files that worlds name below `/etc`, and that Envoy reads when it takes a resource.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Writes one of each.
    pub(crate) fn write(dir: &Path) -> Self {
        let write = |name: &str, text: String| {
            fs::write(dir.join(name), text).expect("a file");
        };
        for (names, key_file, algorithm) in [
            (&["cert.pem"][..], "key.pem", &rcgen::PKCS_ECDSA_P256_SHA256),
            (
                &["ec.crt", "ec.pem"],
                "ec.key",
                &rcgen::PKCS_ECDSA_P256_SHA256,
            ),
            (&["rsa.crt", "rsa.pem"], "rsa.key", &rcgen::PKCS_RSA_SHA256),
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let params = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]);
            let signed = params
                .expect("a name")
                .self_signed(&key)
                .expect("a certificate");
            for name in names {
                write(name, signed.pem());
            }
            write(key_file, key.serialize_pem());
        }
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        write(
            "ca.pem",
            params.self_signed(&key).expect("a certificate").pem(),
        );
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2120, 1, 1),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let issuer = rcgen::Issuer::new(params, key);
        write(
            "crl.pem",
            list.signed_by(&issuer).expect("a list").pem().expect("PEM"),
        );
        Self(dir.to_path_buf())
    }

    /// A world with these files instead of its own.
    pub(crate) fn named_in(&self, world: &str) -> String {
        let own = format!("{}/", self.0.display());
        let folders = ["/etc/certs/", "/etc/c/", "/etc/"];
        folders
            .iter()
            .fold(world.to_owned(), |text, folder| text.replace(folder, &own))
    }
}

/// The same with listeners that bind no port: those of the corpus are the same in every world, and others on this
/// machine may have them. Envoy checks all the rest.
fn unbound(snapshot: &ProxySnapshot) -> ProxySnapshot {
    let sets = ResourceType::ALL.map(|ty| {
        let set = snapshot.set(ty);
        if ty != ResourceType::Listener {
            return Arc::clone(set);
        }
        let listeners = set.by_name.values().map(|listener| {
            let body = without_port(&listener.body);
            let from = Arc::clone(&listener.from);
            Arc::new(Resource::new(ty, listener.name.clone(), body, from))
        });
        Arc::new(ResourceSet::new(ty, listeners))
    });
    ProxySnapshot::new(snapshot.revision, sets)
}

/// Fields may stand anywhere, and the last one counts: `bind_to_port` (26) is an empty BoolValue, and so false;
/// `transparent` (10) says false in so many words, since a transparent listener without a socket ends Envoy.
fn without_port(listener: &Bytes) -> Bytes {
    let mut body = BytesMut::from(&listener[..]);
    body.put_slice(&[0xd2, 0x01, 0x00]);
    body.put_slice(&[0x52, 0x02, 0x08, 0x00]);
    body.freeze()
}

/// Feeds Envoy and waits until it has taken everything.
async fn takes(feeder: &Feeder, envoy: &mut Envoy, snapshot: ProxySnapshot) -> Result<(), String> {
    let snapshot = Arc::new(snapshot);
    feeder.newest.send_replace(Arc::clone(&snapshot));
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut missing = String::new();
    let arrival = async {
        loop {
            tick.tick().await;
            envoy.runs()?;
            match lacks(feeder, envoy, &snapshot).await? {
                None => return Ok::<(), String>(()),
                Some(what) => missing = what,
            }
        }
    };
    match tokio::time::timeout(PATIENCE / 3, arrival).await {
        Ok(result) => result,
        Err(_) => Err(format!("not taken: {missing}")),
    }
}

/// What Envoy has not taken yet. An error is what it refuses.
async fn lacks(
    feeder: &Feeder,
    envoy: &Envoy,
    snapshot: &Arc<ProxySnapshot>,
) -> Result<Option<String>, String> {
    let connections = feeder.streams.of_proxy(PROXY);
    let Some(connection) = connections.last() else {
        return Ok(Some("a stream".to_owned()));
    };
    // A stream has its own Secrets beside what its class gets.
    let shown = connection.snapshot();
    let is_shown = |ty| shown.set(ty).version == snapshot.set(ty).version;
    if !ResourceType::ALL.into_iter().all(is_shown) {
        return Ok(Some("the snapshot".to_owned()));
    }
    for of_type in connection.types() {
        match of_type.status {
            StreamStatus::Error => {
                let why = of_type.error.unwrap_or_default();
                return Err(format!("{}: {why}", of_type.ty.short()));
            }
            StreamStatus::Stale => return Ok(Some(format!("an answer, {}", of_type.ty.short()))),
            StreamStatus::Synced | StreamStatus::NotSent => {}
        }
    }
    if !settled(&envoy.stats().await) {
        return Ok(Some("warming".to_owned()));
    }
    for (list, path, ty) in DUMPS {
        let dump = dumped(envoy, list).await?;
        let (has, want) = (names(&dump, path), wanted(snapshot, ty));
        // Listeners that drain keep their routes for a while.
        let is_equal = match ty {
            ResourceType::Route => want.is_subset(&has),
            _ => want == has,
        };
        if !is_equal {
            let absent: Vec<_> = want.difference(&has).collect();
            let more: Vec<_> = has.difference(&want).collect();
            return Ok(Some(format!("{list}: without {absent:?}, with {more:?}")));
        }
    }
    Ok(None)
}

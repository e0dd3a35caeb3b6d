//! A control plane of a test, with its directory.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ads_client::{AdsClient, Held, Variant, node};
use meltemi::app;
use meltemi::offline;
use meltemi::settings::{DebugAccess, Listen, Objects, Settings};
use meltemi_model::{ProxySnapshot, ResourceType};
use meltemi_proto::ads::Node;
use meltemi_sources::lower::LowerSettings;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is not seen after so long will not be seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bookinfo's reviews and ratings, with a gateway.
pub(crate) const WORLD: [(&str, &str); 2] = [
    ("world.yaml", include_str!("world.yaml")),
    ("reviews.yaml", include_str!("reviews.yaml")),
];

/// The sidecar of the one pod of `ratings`.
pub(crate) const SIDECAR: &str = "sidecar~10.1.0.9~ratings-0.default~default.svc.cluster.local";

/// Where a control plane of a test is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) monitoring: SocketAddr,
}

/// All of them are bound.
pub(crate) fn addresses(bound: &app::Bound) -> Addresses {
    let bound = bound.addresses().unwrap();
    Addresses {
        grpc: bound.grpc.unwrap(),
        http: bound.http.unwrap(),
        monitoring: bound.monitoring.unwrap(),
    }
}

/// A running control plane.
pub(crate) struct Plane {
    pub(crate) directory: TempDir,
    pub(crate) addresses: Addresses,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

fn settings(directory: PathBuf) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen {
        grpc: Some(any),
        http: Some(any),
        monitoring: Some(any),
        ..Listen::default()
    };
    Settings {
        features: Default::default(),
        objects: Objects::Directory(directory),
        mesh_config: None,
        networks_config: None,
        listen,
        domain: "cluster.local".to_owned(),
        cluster_id: "Kubernetes".to_owned(),
        quiet: Duration::from_millis(1),
        drain: Duration::from_secs(10),
        limits: Default::default(),
        check_identity: true,
        debug: DebugAccess::default(),
    }
}

/// A bound control plane over a directory.
pub(crate) async fn bound(directory: &TempDir) -> app::Bound {
    app::bind(settings(directory.path().join("config")))
        .await
        .unwrap()
}

/// A directory with these files.
pub(crate) fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("config")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join("config").join(name), text).unwrap();
    }
    directory
}

impl Plane {
    /// Starts one over these files, and waits until it is ready.
    pub(crate) async fn start(files: &[(&str, &str)]) -> Self {
        Self::over(directory(files)).await
    }

    async fn over(directory: TempDir) -> Self {
        let bound = bound(&directory).await;
        let addresses = addresses(&bound);
        let stop = CancellationToken::new();
        let served = tokio::spawn(bound.serve(stop.clone()));
        let plane = Self {
            directory,
            addresses,
            stop,
            served,
        };
        plane
            .eventually("/ready", |(status, _)| *status == 200)
            .await;
        plane
    }

    /// Stops it and starts another one over the same files.
    pub(crate) async fn restart(self) -> Self {
        Self::over(self.stop().await).await
    }

    /// Stops as SIGTERM does, and gives the directory back.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        self.directory
    }

    /// Begins to stop.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("config").join(name)
    }

    /// Replaces a file at once, as editors do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// A page of the monitoring address: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(self.addresses.monitoring, path).await
    }

    /// A page as JSON.
    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.1).unwrap()
    }

    /// Waits until a page is as it should be.
    pub(crate) async fn eventually(&self, path: &str, is_so: impl Fn(&(u16, String)) -> bool) {
        eventually(self.addresses.monitoring, path, is_so).await;
    }

    /// Waits until a diagnostic says this.
    pub(crate) async fn says(&self, words: &str) {
        self.eventually("/debug/diagnosticz", |(_, page)| page.contains(words))
            .await;
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let of_it = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let values = page
            .lines()
            .filter(of_it)
            .filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// A client that asks for everything and holds nothing.
    pub(crate) async fn connect(&self, id: &str, variant: Variant) -> AdsClient {
        self.reconnect(id, variant, Held::new()).await
    }

    /// A client that comes back with what it holds.
    pub(crate) async fn reconnect(&self, id: &str, variant: Variant, held: Held) -> AdsClient {
        AdsClient::connect(self.addresses.grpc, describe(id), variant, held)
            .await
            .unwrap()
    }

    /// A client that has everything that its proxy is to have.
    pub(crate) async fn synced(&self, id: &str, variant: Variant) -> AdsClient {
        let mut client = self.connect(id, variant).await;
        self.follow(&mut client, id).await;
        client
    }

    /// Reads until the client has what the directory makes for its proxy.
    pub(crate) async fn follow(&self, client: &mut AdsClient, id: &str) {
        let expected = self.expected(id);
        client
            .until("it has what the directory makes", |client| {
                bodies(client.held()) == expected
            })
            .await
            .unwrap();
    }

    /// What the directory makes for a proxy, compiled without a server.
    pub(crate) fn expected(&self, id: &str) -> Vec<(String, Vec<u8>)> {
        let input = offline::read(
            &[self.directory.path().join("config")],
            &LowerSettings::default(),
        )
        .unwrap();
        let node = offline::Node {
            id: id.to_owned(),
            cluster: String::new(),
            locality: String::new(),
            metadata: metadata(id),
        };
        resources(&offline::compile(&input, &node).unwrap().snapshot)
    }
}

fn resources(snapshot: &ProxySnapshot) -> Vec<(String, Vec<u8>)> {
    let all = ResourceType::ALL
        .into_iter()
        .flat_map(|ty| snapshot.set(ty).by_name.values());
    let mut all: Vec<_> = all
        .map(|r| (format!("{} {}", r.ty.type_url(), r.name), r.body.to_vec()))
        .collect();
    all.sort();
    all
}

/// Type, name and bytes of all that a client holds, in the order of [`Plane::expected`].
pub(crate) fn bodies(held: &Held) -> Vec<(String, Vec<u8>)> {
    let sets = held.iter().flat_map(|(ty, set)| {
        set.iter()
            .map(move |(name, r)| (format!("{ty} {name}"), r.body.to_vec()))
    });
    let mut all: Vec<_> = sets.collect();
    all.sort();
    all
}

fn metadata(id: &str) -> Value {
    let labels = if id.starts_with("router") {
        json!({"istio": "ingressgateway"})
    } else {
        json!({"app": "ratings", "version": "v1"})
    };
    json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "default", "CLUSTER_ID": "Kubernetes", "LABELS": labels})
}

/// How a proxy describes itself on the wire.
pub(crate) fn describe(id: &str) -> Node {
    node(id, &metadata(id))
}

/// Waits until a page is as it should be.
pub(crate) async fn eventually(
    address: SocketAddr,
    path: &str,
    is_so: impl Fn(&(u16, String)) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = get(address, path).await;
        if is_so(&page) {
            return;
        }
        assert!(Instant::now() < deadline, "{path} is still {page:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A page over HTTP: status and body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

//! What a real Envoy refuses at run time hurts nobody else: the object that is to blame is found and held back, all that
//! others change arrives, and once it is mended it is served.
//!
//! The control plane is the whole program in this process, since what is said about an object is said on its pages.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use meltemi::app;
use meltemi::cli::ps;
use meltemi::settings::{DebugAccess, Listen, Objects, Settings};
use meltemi_tests::golden::{Case, Node};
use meltemi_tests::ports::unused;
use meltemi_tests::shared::skipped;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::PATIENCE;
use crate::process::{self, Envoy};

const NODE: &str = "router~127.0.0.1~edge-0.default~default.svc.cluster.local";

/// A control plane over a folder, and one gateway of it.
struct Mesh {
    dir: TempDir,
    envoy: Envoy,
    monitoring: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Mesh {
    /// Starts both over these objects.
    async fn start(program: &Path, objects: &[Value]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("config")).expect("a folder");
        write(dir.path(), "world.json", objects);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = Settings {
            features: Default::default(),
            objects: Objects::Directory(dir.path().join("config")),
            mesh_config: None,
            networks_config: None,
            listen: Listen {
                grpc: Some(any),
                monitoring: Some(any),
                ..Listen::default()
            },
            domain: "cluster.local".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            quiet: Duration::from_millis(1),
            drain: Duration::from_secs(10),
            limits: Default::default(),
            check_identity: true,
            debug: DebugAccess::default(),
        };
        let bound = app::bind(settings).await.expect("free ports");
        let addresses = bound.addresses().expect("addresses");
        let stop = CancellationToken::new();
        let served = tokio::spawn(bound.serve(stop.clone()));
        let metadata = json!({"MELTEMI_IDENTITY": "none", "NAMESPACE": "default", "LABELS": {"istio": "edge"}});
        let case = Case {
            name: "quarantine".to_owned(),
            dir: dir.path().to_path_buf(),
            node: Node {
                id: NODE.to_owned(),
                cluster: "edge.default".to_owned(),
                locality: String::new(),
                metadata: serde_json::from_value(metadata).expect("a map"),
                extensions: Vec::new(),
                secrets: Vec::new(),
                show: Vec::new(),
                istiod_env: Default::default(),
            },
        };
        let xds = addresses.grpc.expect("an address");
        Self {
            envoy: Envoy::start(program, &case, xds, dir.path()).await,
            dir,
            monitoring: addresses.monitoring.expect("an address"),
            stop,
            served,
        }
    }

    fn write(&self, name: &str, objects: &[Value]) {
        write(self.dir.path(), name, objects);
    }

    /// A page of the control plane.
    async fn page(&self, path: &str) -> String {
        let answer = get(self.monitoring, "localhost", path).await;
        answer.map(|answer| answer.body).unwrap_or_default()
    }

    async fn ps(&self) -> String {
        let page = ps::page(&self.monitoring.to_string(), "default").await;
        page.unwrap_or_default()
    }

    /// The objects that are held back now, as the metric counts them.
    async fn held(&self) -> Option<String> {
        let page = self.page("/metrics").await;
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with("meltemi_objects_held_back"))?;
        line.rsplit(' ').next().map(str::to_owned)
    }

    /// Waits until an object is held back, and says so everywhere: the page of streams, `ps`, a diagnostic, the metric.
    async fn holds_back(&self, object: &str, ty: &str) {
        self.until("it is held back", async || {
            let page: Value = serde_json::from_str(&self.page("/debug/syncz").await)?;
            anyhow::ensure!(page[0]["heldBack"] == json!([object]), "{page}");
            let ps = self.ps().await;
            anyhow::ensure!(ps.contains(&format!("held back {object}")), "{ps}");
            let said = self.page("/debug/diagnosticz").await;
            let words = format!("{object}: edge-0.default refuses what it comes to ({ty} ");
            anyhow::ensure!(said.contains(&words), "{said}");
            let held = self.held().await;
            anyhow::ensure!(held.as_deref() == Some("1"), "{held:?} are held back");
            Ok(())
        })
        .await;
    }

    /// Waits until nothing is held back or refused.
    async fn is_well(&self) {
        self.until("all is well", async || {
            let ps = self.ps().await;
            let ill = ps.contains("held back") || ps.contains("NACK");
            anyhow::ensure!(!ill && ps.contains("edge-0.default"), "{ps}");
            let held = self.held().await;
            anyhow::ensure!(held.as_deref() == Some("0"), "{held:?} are held back");
            let said = self.page("/debug/diagnosticz").await;
            anyhow::ensure!(!said.contains("refuses what it comes to"), "{said}");
            Ok(())
        })
        .await;
    }

    async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> anyhow::Result<T>) -> T {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let mut last = String::new();
        let waiting = async {
            loop {
                tick.tick().await;
                match ask().await {
                    Ok(found) => return found,
                    Err(error) => last = format!("{error:#}"),
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let log = || self.envoy.log(self.dir.path());
        waited.unwrap_or_else(|_| panic!("{what}: not after {PATIENCE:?}: {last}\n{}", log()))
    }

    /// Waits until a host answers at a port with a status.
    async fn answers(&self, port: u16, host: &str, path: &str, status: u16) -> Answer {
        self.until(host, async || {
            let answer = get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), host, path).await?;
            anyhow::ensure!(answer.status == status, "{answer:?}");
            Ok(answer)
        })
        .await
    }

    async fn rejected(&self, stat: &str) -> u64 {
        let stats = self.envoy.stats().await;
        stats.get(stat).copied().unwrap_or(0)
    }

    async fn end(self) {
        self.envoy.stop().await;
        self.stop.cancel();
        let served = self.served.await.expect("the server's task");
        served.expect("the server ends well");
    }
}

/// Replaces a file at once, as editors do.
fn write(dir: &Path, name: &str, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let new = dir.join("new");
    fs::write(&new, list.to_string()).expect("a file");
    fs::rename(new, dir.join("config").join(name)).expect("a file");
}

#[derive(Debug)]
struct Answer {
    status: u16,
    lua: bool,
    body: String,
}

async fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let request = http::Request::get(format!("http://{address}{path}"))
        .header("host", host)
        .body(Empty::new())?;
    let asked = async {
        let answer = client.request(request).await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            lua: answer.headers().contains_key("x-lua"),
            body: String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes())
                .into_owned(),
        })
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await?
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let version = if kind == "EnvoyFilter" {
        "v1alpha3"
    } else {
        "v1"
    };
    json!({"apiVersion": format!("networking.istio.io/{version}"), "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn gateway(name: &str, port: u16) -> Value {
    let servers =
        json!([{"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]);
    object(
        "Gateway",
        name,
        &json!({"selector": {"istio": "edge"}, "servers": servers}),
    )
}

/// A host that the gateway answers itself, for paths that match.
fn host(name: &str, gateways: &[&str], uri: &Value, status: u16) -> Value {
    let spec = json!({
        "hosts": [format!("{name}.example.com")],
        "gateways": gateways,
        "http": [{"match": [{"uri": uri}], "directResponse": {"status": status}}],
    });
    object("VirtualService", name, &spec)
}

fn any() -> Value {
    json!({"prefix": "/"})
}

fn lua(code: &str) -> Value {
    let subfilter = json!({"name": "envoy.filters.http.router"});
    let filter =
        json!({"name": "envoy.filters.network.http_connection_manager", "subFilter": subfilter});
    let value = json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    });
    let patch = json!({
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": filter}}},
        "patch": {"operation": "INSERT_BEFORE", "value": value},
    });
    object("EnvoyFilter", "script", &json!({"configPatches": [patch]}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_envoy_cannot_load_is_held_back() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let (port, other) = (unused(), unused());
    let world = [gateway("edge", port), host("first", &["edge"], &any(), 201)];
    let mesh = Mesh::start(&program, &world).await;
    mesh.answers(port, "first.example.com", "/", 201).await;
    mesh.is_well().await;

    // The script is text to every schema; only Envoy's Lua reads it.
    mesh.write(
        "script.json",
        &[lua("function envoy_on_response(handle) handle:")],
    );
    mesh.holds_back("EnvoyFilter default/script", "LDS").await;
    assert!(mesh.rejected("listener_manager.lds.update_rejected").await > 0);
    let answer = mesh.answers(port, "first.example.com", "/", 201).await;
    assert!(!answer.lua);

    // A route of the same listener, and a listener of its own, which the script would be in as well.
    mesh.write(
        "more.json",
        &[
            host("second", &["edge", "wide"], &any(), 202),
            gateway("wide", other),
        ],
    );
    mesh.answers(port, "second.example.com", "/", 202).await;
    mesh.answers(other, "second.example.com", "/", 202).await;
    mesh.answers(port, "first.example.com", "/", 201).await;

    let good = "function envoy_on_response(handle) handle:headers():add('x-lua', 'yes') end";
    mesh.write("script.json", &[lua(good)]);
    mesh.until("the script runs", async || {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for port in [port, other] {
            let answer = get(at(port), "second.example.com", "/").await?;
            anyhow::ensure!(answer.lua && answer.status == 202, "{answer:?}");
        }
        Ok(())
    })
    .await;
    mesh.is_well().await;

    // Spoiled again, it stays as it was when it was good.
    mesh.write(
        "script.json",
        &[lua("function envoy_on_response(handle) end end")],
    );
    mesh.holds_back("EnvoyFilter default/script", "LDS").await;
    let said = mesh.page("/debug/diagnosticz").await;
    assert!(said.contains("served as it was before"), "{said}");
    assert!(mesh.answers(port, "first.example.com", "/", 201).await.lua);
    mesh.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_that_is_too_large_for_envoy_is_held_back() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let port = unused();
    let world = [gateway("edge", port), host("first", &["edge"], &any(), 201)];
    let mesh = Mesh::start(&program, &world).await;
    mesh.answers(port, "first.example.com", "/", 201).await;

    // Each repetition is one that RE2 takes; together they are not.
    let large = json!({"regex": "/(a{100}){100}"});
    mesh.write("large.json", &[host("large", &["edge"], &large, 203)]);
    mesh.holds_back("VirtualService default/large", "RDS").await;
    mesh.answers(port, "large.example.com", "/aa", 404).await;

    mesh.write("second.json", &[host("second", &["edge"], &any(), 202)]);
    mesh.answers(port, "second.example.com", "/", 202).await;
    mesh.answers(port, "first.example.com", "/", 201).await;

    let small = json!({"regex": "/(a{2}){2}"});
    mesh.write("large.json", &[host("large", &["edge"], &small, 203)]);
    mesh.answers(port, "large.example.com", "/aaaa", 203).await;
    mesh.answers(port, "large.example.com", "/aa", 404).await;
    mesh.is_well().await;
    mesh.end().await;
}

/// Envoy cannot bind the port of a Gateway, since somebody else has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_port_is_taken_is_held_back() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let (port, other) = (unused(), unused());
    let world = [
        gateway("edge", port),
        host("first", &["edge", "taken"], &any(), 201),
    ];
    let mesh = Mesh::start(&program, &world).await;
    mesh.answers(port, "first.example.com", "/", 201).await;

    let taken = unused();
    let owner = TcpListener::bind((Ipv4Addr::UNSPECIFIED, taken)).expect("a port");
    mesh.write("taken.json", &[gateway("taken", taken)]);
    mesh.holds_back("Gateway default/taken", "LDS").await;
    let said = mesh.page("/debug/diagnosticz").await;
    let why = format!("cannot bind '0.0.0.0:{taken}'");
    assert!(said.contains(&why), "{said}");

    mesh.write("second.json", &[host("second", &["edge"], &any(), 202)]);
    mesh.answers(port, "second.example.com", "/", 202).await;
    mesh.write("taken.json", &[gateway("taken", other)]);
    mesh.answers(other, "first.example.com", "/", 201).await;
    mesh.answers(port, "first.example.com", "/", 201).await;
    mesh.is_well().await;
    drop(owner);
    mesh.end().await;
}

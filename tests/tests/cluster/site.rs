//! A cluster of a test: a fake API server with a small world, and control planes in it.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meltemi::app::{self, Addresses};
use meltemi::settings::{Cluster, DebugAccess, Listen, Objects, Settings, Variables};
use meltemi_fake_api::FakeApi;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is not seen after so long will not be seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The control plane's namespace.
pub(crate) const SYSTEM: &str = "istio-system";

/// An API server with a mesh configuration and one service, `echo` in `default`.
pub(crate) async fn api() -> FakeApi {
    let api = FakeApi::start().await.unwrap();
    for name in [SYSTEM, "default", "kube-system", "kube-public"] {
        api.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    api.apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": SYSTEM},
        "data": {"mesh": "rootNamespace: istio-system\ndefaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012\n"},
    }));
    api.apply(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"name": "http", "port": 80}]},
    }));
    api.apply(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "echo-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "echo"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": true}}],
    }));
    api.answer("tokenreviews.authentication.k8s.io", |request| {
        Ok(reviewed(&request.body))
    });
    api
}

/// A token names what the API server says of it: `NAMESPACE/ACCOUNT`, or `other-audience:NAMESPACE/ACCOUNT`; anything else
/// is no token (any more).
fn reviewed(review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let (audience, account) = match token.strip_prefix("other-audience:") {
        Some(account) => ("vault", account),
        None => ("istio-ca", token),
    };
    let asked = review["spec"]["audiences"].as_array().unwrap();
    let status = match account.split_once('/') {
        Some((namespace, name)) if asked.contains(&json!(audience)) => json!({
            "authenticated": true,
            "audiences": [audience],
            "user": {
                "username": format!("system:serviceaccount:{namespace}:{name}"),
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
        }),
        _ => {
            json!({"authenticated": false, "error": "the token is not for any of these audiences, or has expired"})
        }
    };
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "status": status})
}

/// A control plane in a cluster.
pub(crate) struct Site {
    pub(crate) addresses: Addresses,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Site {
    /// Starts one; it may not be ready yet.
    pub(crate) async fn start(api: &FakeApi, pod: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, api.kubeconfig().to_string()).unwrap();
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let roots = folder.path().join("cacerts").display().to_string();
        let settings = Settings {
            objects: Objects::Cluster(Box::new(Cluster {
                kubeconfig: Some(kubeconfig),
                namespace: SYSTEM.to_owned(),
                pod: pod.to_owned(),
                revision: "default".to_owned(),
                serving: None,
                variables: Variables::new([
                    ("ROOT_CA_DIR".to_owned(), roots),
                    // No test has the time of production.
                    (
                        "PILOT_WORKLOAD_ENTRY_GRACE_PERIOD".to_owned(),
                        "50ms".to_owned(),
                    ),
                ]),
            })),
            mesh_config: None,
            networks_config: None,
            listen: Listen {
                grpc: any,
                secure_grpc: any,
                http: any,
                https: any,
                monitoring: any,
            },
            domain: "cluster.local".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            features: Default::default(),
            quiet: Duration::from_millis(1),
            drain: Duration::from_secs(10),
            limits: Default::default(),
            check_identity: true,
            debug: DebugAccess::default(),
        };
        let bound = app::bind(settings).await.unwrap();
        let addresses = bound.addresses().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(bound.serve(stop.clone()));
        Self {
            addresses,
            stop,
            served,
            _folder: folder,
        }
    }

    /// Starts one, and waits until it is ready and its roots are distributed.
    pub(crate) async fn ready(api: &FakeApi) -> Self {
        let site = Self::start(api, "istiod-1").await;
        site.becomes(200).await;
        api.until("configmaps", "default", "istio-ca-root-cert", |found| {
            found.is_some()
        })
        .await;
        site
    }

    /// Waits until `/ready` answers so.
    pub(crate) async fn becomes(&self, status: u16) {
        let address = self.addresses.http.unwrap();
        let start = Instant::now();
        loop {
            let (now, page) = get(address, "/ready").await;
            if now == status {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "/ready: {now} {page}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops as SIGTERM does.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self) -> anyhow::Error {
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("it does not end")
            .unwrap()
            .expect_err("it ended well")
    }
}

/// A page: status and body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

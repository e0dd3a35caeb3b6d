//! How long the webhook takes over loopback, with our own templates: one connection for the latency, four for the throughput.
//! Times are printed and not asserted.
#![expect(clippy::print_stdout, reason = "a command line")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_injector::{Environment, Injector, MeshConfig, Settings, Values, builtin, router};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const REQUESTS: usize = 500;
const CONNECTIONS: usize = 4;

fn request() -> Vec<u8> {
    let pod = json!({"metadata": {"generateName": "reviews-v1-7d99fd7978-", "namespace": "bookinfo",
            "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "7d99fd7978"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "reviews-v1-7d99fd7978", "uid": "u", "controller": true}]},
        "spec": {"serviceAccountName": "bookinfo-reviews", "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{"name": "reviews", "image": "reviews:1", "ports": [{"containerPort": 9080, "protocol": "TCP"}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 9080}}, "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}]}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "namespace": "bookinfo", "object": pod}})
    .to_string();
    let head = format!(
        "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        review.len()
    );
    (head + &review).into_bytes()
}

/// Sends requests over one connection, one after the other; how long each took.
async fn run(address: SocketAddr, request: Arc<Vec<u8>>) -> std::io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut out = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        stream.get_mut().write_all(&request).await?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        assert!(
            body.windows(7).any(|part| part == b"\"patch\""),
            "the pod was not injected"
        );
        out.push(begun.elapsed());
    }
    Ok(out)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // libtest's questions (`--list`) are not for a bench.
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let injector = Arc::new(Injector::default());
    injector.set(Arc::new(Settings {
        config: builtin::config(&Environment::new())?,
        values: Values::parse(builtin::VALUES)?,
        mesh: MeshConfig::default(),
        revision: "default".to_owned(),
        compliance_policy: String::new(),
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move { axum::serve(listener, router(injector)).await });
        let request = Arc::new(request());

        let mut times = run(address, request.clone()).await?;
        times.sort();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!(
            "webhook, one connection, {REQUESTS} pods: p50 {:?}, p99 {:?}",
            at(50),
            at(99)
        );

        let begun = Instant::now();
        let all: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(run(address, request.clone())))
            .collect();
        let mut pods = 0;
        for connection in all {
            pods += connection.await??.len();
        }
        let rate = pods as f64 / begun.elapsed().as_secs_f64();
        println!("webhook, {CONNECTIONS} connections: {rate:.0} pods per second");
        server.abort();
        Ok(())
    })
}

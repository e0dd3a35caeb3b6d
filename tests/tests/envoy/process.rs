//! An Envoy of our own, and its admin interface.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use meltemi::bootstrap::{Request, bootstrap};
use meltemi_tests::golden::Case;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::PATIENCE;

/// Counters and gauges by name.
pub(crate) type Stats = BTreeMap<String, u64>;

/// What `cargo xtask test` installs, when there is none on the PATH.
const CACHED: &str = "meltemi/envoy-1.40.0/envoy";
/// The end of Envoy's log that a failure shows.
const SHOWN_LINES: usize = 15;

/// The Envoy on the PATH, or the one of the cache.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("envoy"));
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cached = cache.or(home).map(|folder| folder.join(CACHED));
    on_path.chain(cached).find(|file| file.is_file())
}

pub(crate) struct Envoy {
    child: Child,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts it as the node of a golden.
    pub(crate) async fn start(program: &Path, case: &Case, xds: SocketAddr, dir: &Path) -> Self {
        let request = Request {
            node: case.node.id.clone(),
            cluster: case.node.cluster.clone(),
            metadata: Value::Object(case.node.metadata.clone()),
            xds_host: xds.ip().to_string(),
            xds_port: xds.port(),
            admin_port: 0,
        };
        Self::start_as(program, &request, dir).await
    }

    /// Starts it on the bootstrap of `meltemi bootstrap`, and waits for its admin interface.
    pub(crate) async fn start_as(program: &Path, request: &Request, dir: &Path) -> Self {
        let mut settings = bootstrap(request);
        settings["typed_dns_resolver_config"] = nobody_resolves();
        Self::run(program, &settings, dir, &request.node).await
    }

    /// Starts it on a bootstrap, and waits for its admin interface.
    pub(crate) async fn run(program: &Path, bootstrap: &Value, dir: &Path, name: &str) -> Self {
        let config = dir.join("bootstrap.json");
        fs::write(&config, bootstrap.to_string()).expect("a file");
        let address = dir.join("admin");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&address)
            .arg("--log-path")
            .arg(dir.join("envoy.log"))
            .args(["--log-level", "warning", "--concurrency", "1"])
            .args(["--use-dynamic-base-id", "--disable-hot-restart"])
            .args(["--drain-time-s", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Envoy starts");
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let known = async {
            loop {
                tick.tick().await;
                let written = fs::read_to_string(&address).unwrap_or_default();
                if let Ok(admin) = written.trim().parse() {
                    return Some(admin);
                }
                if child.try_wait().expect("a process of ours").is_some() {
                    return None;
                }
            }
        };
        let known = tokio::time::timeout(PATIENCE, known).await;
        let Ok(Some(admin)) = known else {
            let log = log(dir);
            panic!("{name}: Envoy does not come up: {known:?}\n{log}");
        };
        Self { child, admin }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            other => Err(format!("Envoy ended: {other:?}")),
        }
    }

    /// A page of its admin interface, when it answers.
    pub(crate) async fn admin(&self, path: &str) -> Option<String> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
        let uri = format!("http://{}{path}", self.admin).parse().ok()?;
        let answer = client.get(uri).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        String::from_utf8(body.to_vec()).ok()
    }

    /// All counters and gauges; none while it does not answer.
    pub(crate) async fn stats(&self) -> Stats {
        let text = self.admin("/stats").await.unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        lines
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// The end of its log.
    pub(crate) fn log(&self, dir: &Path) -> String {
        log(dir)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("a process of ours");
    }
}

/// Names are asked for on loopback only, where nobody answers: clusters of DNS names are ready without addresses.
fn nobody_resolves() -> Value {
    let kind = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
    json!({
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": format!("type.googleapis.com/{kind}"),
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 9}}],
            "query_timeout_seconds": 1,
            "query_tries": 1,
        },
    })
}

fn log(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("envoy.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

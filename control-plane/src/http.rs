//! Readiness, metrics and istiod's debug pages, in istiod's JSON.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Extension, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meltemi_xds::registry::Registry;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;

mod access;
mod debug;

pub use access::{Access, Identify};
use access::{Ends, Scope};

/// The release of Istio that Meltemi stands in for.
pub const ISTIO_VERSION: &str = "1.31.0";

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Live streams.
    pub streams: Arc<Registry>,
    /// Registered metrics.
    pub metrics: Arc<prometheus_client::registry::Registry>,
    /// Who may read the debug pages.
    pub access: Access,
    /// What must be so before the control plane is ready.
    pub probes: Arc<[Probe]>,
}

/// Something that must be so before the control plane is ready.
#[derive(Debug, Clone)]
pub struct Probe {
    name: &'static str,
    is_so: watch::Receiver<bool>,
}

impl Probe {
    /// Named as istiod names it.
    pub fn new(name: &'static str, is_so: watch::Receiver<bool>) -> Self {
        Self { name, is_so }
    }
}

/// Serves until `ended` is cancelled.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    ended: CancellationToken,
) -> anyhow::Result<()> {
    let router = router(shown).into_make_service_with_connect_info::<Ends>();
    let serving = axum::serve(listener, router);
    serving
        .with_graceful_shutdown(async move { ended.cancelled().await })
        .await
        .context("serving HTTP")
}

/// All pages. Istio 1.31 serves `/ready` and `/debug` on 8080 and `/metrics` and `/debug` on 15014; here both serve all.
fn router(shown: Shown) -> Router {
    let debug = Router::new()
        .route("/debug/syncz", get(syncz))
        .route("/debug/config_dump", get(config_dump))
        .route("/debug/diagnosticz", get(diagnosticz))
        .route("/debug/networkz", get(networkz))
        .route_layer(from_fn_with_state(shown.access.clone(), access::check));
    Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .merge(debug)
        .fallback(elsewhere)
        .with_state(shown)
}

/// `/ready` alone, for the port of the webhooks.
pub(crate) fn readiness(shown: Shown) -> Router {
    Router::new().route("/ready", get(ready)).with_state(shown)
}

/// Paths are cleaned as Go's mux cleans them: istioctl asks for `//version` and follows.
async fn elsewhere(uri: Uri) -> Response {
    let path = uri.path();
    if !path.contains("//") {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        clean.push('/');
        clean.push_str(part);
    }
    if let Some(query) = uri.query() {
        clean.push('?');
        clean.push_str(query);
    }
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, clean)]).into_response()
}

async fn ready(State(shown): State<Shown>) -> Response {
    let waiting: Vec<&str> = shown
        .probes
        .iter()
        .filter(|probe| !*probe.is_so.borrow())
        .map(|probe| probe.name)
        .collect();
    if waiting.is_empty() {
        return StatusCode::OK.into_response();
    }
    let text = format!("not ready: {}\n", waiting.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shown.metrics) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The release of Istio whose behaviour this is, ours, and a status: istioctl takes the text apart at its dashes.
async fn version() -> String {
    format!(
        "{ISTIO_VERSION}-meltemi.{}-Clean",
        env!("CARGO_PKG_VERSION")
    )
}

#[derive(Debug, Deserialize)]
struct Filter {
    #[serde(default)]
    namespace: String,
}

async fn syncz(State(shown): State<Shown>, Query(filter): Query<Filter>) -> Response {
    json_page(&debug::syncz(
        &shown.engine,
        &shown.streams,
        &filter.namespace,
    ))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default, rename = "proxyID")]
    proxy_id: String,
    include_eds: Option<String>,
}

async fn config_dump(
    State(shown): State<Shown>,
    Extension(scope): Extension<Scope>,
    Query(wanted): Query<Wanted>,
) -> Response {
    if wanted.proxy_id.is_empty() {
        let text = "You must provide a proxyID in the query string\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    // While a proxy reconnects it may have two streams; the newer one tells what it has.
    let connections = shown.streams.of_proxy(&wanted.proxy_id);
    let mut seen = connections
        .iter()
        .filter(|connection| scope.includes(&connection.proxy.namespace));
    match seen.next_back() {
        Some(connection) => json_page(&debug::config_dump(
            connection,
            wanted.include_eds.is_some(),
        )),
        None => {
            let text = "Proxy not connected to this Pilot instance. It may be connected to another instance.\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

async fn diagnosticz(State(shown): State<Shown>) -> Response {
    let lines: Vec<String> = shown
        .engine
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    json_page(&json!(lines))
}

async fn networkz(State(shown): State<Shown>) -> Response {
    json_page(&debug::networkz(&shown.engine))
}

fn json_page(value: &Value) -> Response {
    let text = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

//! Stand-in applications: small servers that behave like the ones in Istio's samples, as far as a mesh can tell.
//!
//! The image name of a container selects the stand-in (`kind`), so manifests run unmodified. Behaviour follows
//! Istio 1.31's Bookinfo, httpbin (the Python one), helloworld and tcp-echo samples.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use crate::dns::Resolver;

mod details;
mod httpbin;
mod kind;
mod productpage;
mod ratings;
mod reviews;
mod simple;
#[cfg(test)]
mod tests;

pub use kind::AppKind;
pub(crate) use kind::app_kind;

/// The headers that Bookinfo copies from an incoming request to its own calls, so that traces and sessions hang together.
const FORWARDED: [&str; 19] = [
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
];

/// What one stand-in is and where it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppConfig {
    /// Which application it plays.
    pub kind: AppKind,
    /// The pod's name, which is its host name.
    pub name: String,
    /// The ports, all with the same behaviour.
    pub ports: Vec<u16>,
    /// The container's environment, for Bookinfo's `REVIEWS_HOSTNAME` and its like.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How it finds the services that it calls.
    #[serde(default)]
    pub resolver: Resolver,
}

impl AppConfig {
    /// The address of a backend of Bookinfo, with the sample's own overrides.
    fn backend(&self, service: &str) -> String {
        let upper = service.to_ascii_uppercase();
        let host = self
            .env
            .get(&format!("{upper}_HOSTNAME"))
            .map_or(service, String::as_str);
        let port = self
            .env
            .get(&format!("{upper}_SERVICE_PORT"))
            .map_or("9080", String::as_str);
        format!("{host}:{port}")
    }
}

/// One running stand-in.
#[derive(Debug)]
struct App {
    config: AppConfig,
    /// What `POST /ratings/<id>` stored.
    ratings: Mutex<BTreeMap<u64, serde_json::Value>>,
}

/// A request, read to its end.
#[derive(Debug)]
struct Request {
    peer: IpAddr,
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The headers that go on to the next service.
    fn forwarded(&self) -> Vec<(String, String)> {
        let value = |name: &&str| Some(((*name).to_owned(), self.header(name)?.to_owned()));
        FORWARDED.iter().filter_map(value).collect()
    }
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "application/json", body)
    }

    fn html(body: impl Into<String>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain", body)
    }

    fn not_found() -> Self {
        Self::text(404, "not found\n")
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Serves a stand-in on all its ports until one of them fails.
pub async fn run_app(config: AppConfig) -> Result<()> {
    let app = Arc::new(App {
        config,
        ratings: Mutex::new(BTreeMap::new()),
    });
    let mut listening = tokio::task::JoinSet::new();
    for port in app.config.ports.clone() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .with_context(|| format!("listening on port {port}"))?;
        listening.spawn(serve_on(Arc::clone(&app), listener));
    }
    while let Some(ended) = listening.join_next().await {
        ended.context("listener")??;
    }
    Ok(())
}

async fn serve_on(app: Arc<App>, listener: TcpListener) -> Result<()> {
    loop {
        let (stream, peer) = listener.accept().await.context("accept")?;
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own business.
            let _gone = if app.config.kind == AppKind::TcpEcho {
                simple::echo(stream).await
            } else {
                serve_http(app, stream, peer.ip()).await
            };
        });
    }
}

async fn serve_http(app: Arc<App>, stream: TcpStream, peer: IpAddr) -> Result<()> {
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move {
            // A task of its own: calls to other services are finished even when the client has gone away.
            let answered = tokio::spawn(exchange(app, peer, request)).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|_| hyper::Response::new(Full::default())))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .context("connection")
}

async fn exchange(
    app: Arc<App>,
    peer: IpAddr,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return response(&Reply::text(400, "the body was cut off\n"));
    };
    let request = Request {
        peer,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let reply = answer(&app, &request).await;
    log_line(&request, &reply);
    response(&reply)
}

/// The variable that makes a stand-in answer everything with this status: a pod that is broken.
const BROKEN: &str = "STAND_IN_STATUS";

async fn answer(app: &App, request: &Request) -> Reply {
    let broken = app
        .config
        .env
        .get(BROKEN)
        .and_then(|code| code.parse().ok());
    if let Some(status) = broken {
        return Reply::text(status, "broken\n");
    }
    match app.config.kind {
        AppKind::Productpage => productpage::answer(app, request).await,
        AppKind::Details => details::answer(request),
        AppKind::Ratings => ratings::answer(app, request),
        AppKind::Reviews(version) => reviews::answer(app, request, version).await,
        AppKind::Httpbin | AppKind::OutsideHttpbin => {
            httpbin::answer(app.config.kind, request).await
        }
        AppKind::Helloworld(version) => simple::helloworld(&app.config, request, version),
        AppKind::Plain => simple::plain(request),
        AppKind::TcpEcho | AppKind::Idle => Reply::not_found(),
    }
}

fn response(reply: &Reply) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::from(reply.body.clone())));
    *response.status_mut() =
        hyper::StatusCode::from_u16(reply.status).unwrap_or(hyper::StatusCode::BAD_REQUEST);
    for (name, value) in &reply.headers {
        if let Ok(value) = hyper::header::HeaderValue::from_str(value) {
            response.headers_mut().append(*name, value);
        }
    }
    response
}

/// One line per request, in the form of the samples' access logs.
fn log_line(request: &Request, reply: &Reply) {
    let time = httpdate::fmt_http_date(SystemTime::now());
    let query = if request.query.is_empty() {
        String::new()
    } else {
        format!("?{}", request.query)
    };
    let agent = request.header("user-agent").unwrap_or("-");
    let Request {
        peer, method, path, ..
    } = request;
    let line = format!(
        "{peer} - - [{time}] \"{method} {path}{query} HTTP/1.1\" {} {} \"-\" \"{agent}\"\n",
        reply.status,
        reply.body.len()
    );
    // The log file may be on a full disk; the answer matters more.
    let _unwritten = std::io::stdout().write_all(line.as_bytes());
}

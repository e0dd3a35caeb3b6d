//! A registry for the node's containerd, which asks it for every registry name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio_util::io::ReaderStream;

use crate::images::{MANIFEST, Store};
use crate::layer;

/// What was given out by tag and may be asked for by digest.
type Given = Mutex<BTreeMap<String, Vec<u8>>>;

#[derive(Debug)]
struct Served {
    store: Store,
    given: Given,
}

/// Serves until the runtime ends.
pub(crate) async fn serve(address: SocketAddr, store: Store) -> Result<()> {
    let served = Arc::new(Served {
        store,
        given: Mutex::default(),
    });
    let router = Router::new()
        .route("/v2/", get(async || "{}"))
        .route("/v2/{*rest}", get(answer))
        .with_state(served);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("the registry's address {address}"))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn answer(
    State(served): State<Arc<Served>>,
    method: Method,
    Path(rest): Path<String>,
) -> Response {
    match served.find(&rest) {
        Some(Found::Bytes(kind, bytes)) => {
            let length = bytes.len() as u64;
            response(
                kind,
                &layer::digest(&bytes),
                length,
                || Body::from(bytes),
                &method,
            )
        }
        Some(Found::File(digest, size, file)) => match tokio::fs::File::open(&file).await {
            Ok(file) => {
                let body = || Body::from_stream(ReaderStream::with_capacity(file, 1 << 20));
                response("application/octet-stream", &digest, size, body, &method)
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
        None => (
            StatusCode::NOT_FOUND,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#,
        )
            .into_response(),
    }
}

enum Found {
    Bytes(&'static str, Vec<u8>),
    File(String, u64, PathBuf),
}

impl Served {
    /// `<name>/manifests/<tag or digest>` or `<name>/blobs/<digest>`.
    fn find(&self, rest: &str) -> Option<Found> {
        if let Some((name, reference)) = rest.rsplit_once("/manifests/") {
            if reference.starts_with("sha256:") {
                return Some(Found::Bytes(MANIFEST, self.given(reference)?));
            }
            let image = self.store.image(name).ok()?;
            let mut given = self.given.lock();
            for bytes in [&image.config, &image.manifest] {
                given.insert(layer::digest(bytes), bytes.clone());
            }
            return Some(Found::Bytes(MANIFEST, image.manifest));
        }
        let (_, digest) = rest.rsplit_once("/blobs/")?;
        if let Some(layer) = self.store.layer(digest) {
            return Some(Found::File(
                layer.digest.clone(),
                layer.size,
                layer.file.clone(),
            ));
        }
        Some(Found::Bytes(
            "application/octet-stream",
            self.given(digest)?,
        ))
    }

    fn given(&self, digest: &str) -> Option<Vec<u8>> {
        let given = self.given.lock();
        given.get(digest).cloned()
    }
}

fn response(
    kind: &'static str,
    digest: &str,
    length: u64,
    body: impl FnOnce() -> Body,
    method: &Method,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), kind.to_owned()),
        (header::CONTENT_LENGTH.as_str(), length.to_string()),
        ("docker-content-digest", digest.to_owned()),
    ];
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        body()
    };
    (headers, body).into_response()
}

//! The webhook: AdmissionReviews in, JSON patches out (Istio 1.31: serveInject). `istioctl kube-inject` posts here, too, with reviews that
//! lack uid, operation and kind: those are not looked at.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::inject::{self, InjectError, Settings, Subject};
use crate::mesh::{ProxyConfigObject, effective_proxy_config};
use crate::metrics::Metrics;
use crate::native::{NativeSidecars, Node, detected};
use crate::normalize::Scalars;
use crate::{decision, openshift, owner, pod, url};

/// The largest review that is read: twice what etcd holds, doubled (Istio 1.31: MaxRequestBodyBytes).
pub const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// What injection knows about the cluster.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `ENABLE_NATIVE_SIDECARS`.
    pub native_sidecars: NativeSidecars,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Whether this is OpenShift (`PLATFORM=openshift`), where namespaces give user ids.
    pub openshift: bool,
    /// The annotations of namespaces, as JSON maps; only read on OpenShift.
    pub namespaces: BTreeMap<String, Value>,
    /// The ProxyConfig objects in the order of their creation.
    pub proxy_configs: Vec<ProxyConfigObject>,
}

/// The injector: the newest settings and surroundings, and what was counted.
#[derive(Debug, Default)]
pub struct Injector {
    settings: ArcSwapOption<Settings>,
    surroundings: ArcSwap<Surroundings>,
    metrics: Metrics,
}

impl Injector {
    /// An injector without settings: it refuses pods until it gets some.
    pub fn new(metrics: Metrics) -> Injector {
        Injector {
            metrics,
            ..Injector::default()
        }
    }

    /// Replaces the settings. Requests that are being answered keep the previous ones.
    pub fn set(&self, settings: Arc<Settings>) {
        self.settings.store(Some(settings));
    }

    /// The settings, if there are any.
    pub fn settings(&self) -> Option<Arc<Settings>> {
        self.settings.load_full()
    }

    /// Replaces what is known about the cluster.
    pub fn surround(&self, surroundings: Arc<Surroundings>) {
        self.surroundings.store(surroundings);
    }

    /// What is known about the cluster.
    pub fn surroundings(&self) -> Arc<Surroundings> {
        self.surroundings.load_full()
    }

    /// The answer to a review that came to a path. It never panics: what goes wrong refuses the pod.
    pub fn review(&self, review: &[u8], path: &str) -> Value {
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(review, path)));
        answer.unwrap_or_else(|panic| {
            let error = format!(
                "injection failed unexpectedly: {}",
                panic_text(panic.as_ref())
            );
            self.failed(&error);
            envelope(&Value::Null, refused(&error))
        })
    }

    fn answer(&self, review: &[u8], path: &str) -> Value {
        let review: Value = match serde_json::from_slice(review) {
            Ok(review) => review,
            Err(error) => {
                self.failed(&format!("could not decode body: {error}"));
                return envelope(&Value::Null, refused(&error.to_string()));
            }
        };
        let version = review["apiVersion"].as_str().unwrap_or_default();
        let kind = review["kind"].as_str().unwrap_or_default();
        let supported = matches!(version, "admission.k8s.io/v1" | "admission.k8s.io/v1beta1");
        if !supported || kind != "AdmissionReview" {
            let error = format!("no kind {kind:?} is registered for version {version:?}");
            self.failed(&error);
            return envelope(&Value::Null, refused(&error));
        }
        let request = &review["request"];
        let response = match self.injected(request, path) {
            Ok(Some(patch)) => {
                let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
                json!({"allowed": true, "patch": patch, "patchType": "JSONPatch"})
            }
            Ok(None) => {
                self.metrics.skip.inc();
                json!({"allowed": true})
            }
            Err(error) => {
                self.failed(&format!("pod injection failed: {error}"));
                refused(&error.to_string())
            }
        };
        envelope(&review, response)
    }

    /// The patch of a pod; none if it is not injected.
    fn injected(&self, request: &Value, path: &str) -> Result<Option<Value>, InjectError> {
        let settings = self
            .settings()
            .ok_or_else(|| InjectError::Pod("the injector has no configuration yet".to_owned()))?;
        let surroundings = self.surroundings();
        let actual = &request["object"];
        if !actual.is_object() {
            return Err(InjectError::Pod("the request holds no pod".to_owned()));
        }
        let mut pod = inject::typed(actual, Scalars::Json)?;
        let own_ns = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        if own_ns.is_empty()
            && let Some(ns) = request["namespace"].as_str().filter(|ns| !ns.is_empty())
        {
            pod["metadata"]["namespace"] = ns.into();
        }
        let ns = pod["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let name = pod::potential_name(&pod);
        if !decision::required(&settings.config, &pod) {
            tracing::info!(%ns, %name, "pod is not injected by policy");
            return Ok(None);
        }
        let original = pod.clone();
        if surroundings.openshift {
            openshift::reset_shared_user(&mut pod);
        }
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let native = detected(surroundings.native_sidecars, &surroundings.nodes, node);
        let namespace = surroundings
            .openshift
            .then(|| surroundings.namespaces.get(&ns))
            .flatten();
        let subject = Subject {
            pod: &pod,
            workload: owner::workload(&pod),
            proxy_config: effective_proxy_config(&pod, &settings.mesh, &surroundings.proxy_configs),
            default_templates: &settings.config.default_templates,
            aliases: &settings.config.aliases,
            injected_annotations: &settings.config.injected_annotations,
            revision: &settings.revision,
            native,
            namespace,
            environment: url::environment(path),
        };
        let injected = inject::injected(&settings, subject)?;
        tracing::info!(%ns, %name, "pod is injected");
        Ok(Some(inject::patch(actual, &original, &injected)))
    }

    fn failed(&self, error: &str) {
        tracing::error!(error, "injection failed");
        self.metrics.failure.inc();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason was given")
}

fn refused(message: &str) -> Value {
    json!({"allowed": false, "status": {"metadata": {}, "message": message}})
}

/// The review that answers a review: its version, its kind, its uid.
fn envelope(review: &Value, mut response: Value) -> Value {
    let uid = review["request"]["uid"].as_str().unwrap_or_default();
    response["uid"] = uid.into();
    let text = |key: &str, or: &str| review[key].as_str().unwrap_or(or).to_owned();
    json!({
        "kind": text("kind", "AdmissionReview"),
        "apiVersion": text("apiVersion", "admission.k8s.io/v1"),
        "response": response,
    })
}

/// The routes of the webhook: `/inject` and, with settings in the path, `/inject/…`.
pub fn router(injector: Arc<Injector>) -> Router {
    Router::new()
        .route("/inject", any(serve))
        .route("/inject/", any(serve))
        .route("/inject/{*rest}", any(serve))
        .with_state(injector)
}

async fn serve(State(injector): State<Arc<Injector>>, request: Request) -> Response {
    injector.metrics.requests.inc();
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let answer = match body_of(body, &parts.headers).await {
        Ok(body) => {
            // The path's escapes stand for what they stand for in Go.
            let path = percent_decoded(parts.uri.path());
            let shared = injector.clone();
            // Templates are other people's programs: they must not hold up the connections of this thread.
            match tokio::task::spawn_blocking(move || shared.review(&body, &path).to_string()).await
            {
                Ok(text) => {
                    injector.metrics.success.inc();
                    // Istio leaves the type to Go, which takes JSON for plain text.
                    let kind = [(header::CONTENT_TYPE, "application/json")];
                    (kind, text).into_response()
                }
                Err(error) => {
                    injector.failed(&error.to_string());
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            }
        }
        Err((status, text)) => {
            injector.failed(&text);
            (status, text + "\n").into_response()
        }
    };
    injector.metrics.time.observe(begun.elapsed().as_secs_f64());
    answer
}

async fn body_of(body: Body, headers: &HeaderMap) -> Result<Vec<u8>, (StatusCode, String)> {
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        let text = format!("Request entity too large: limit is {MAX_BODY_BYTES}");
        (StatusCode::BAD_REQUEST, text)
    })?;
    if body.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "no body found".to_owned()));
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind != Some("application/json") {
        let text = "invalid Content-Type, want `application/json`".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(body.to_vec())
}

fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escape = (bytes[i] == b'%').then(|| path.get(i + 1..i + 3)).flatten();
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

//! `/validate`: whether the API server may take an object, by the findings of lowering. Istio 1.31:
//! `pkg/webhooks/validation/server`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use meltemi_model::{Diagnostic, Severity};
use meltemi_sources::lower::{LowerSettings, lower};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

/// Istio 1.31 reads no more of a review.
const MAX_BODY: usize = 6 << 20;

/// Who sets it wants a refusal: that is how the control plane tries whether its own webhook is reached.
const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";

/// What validation needs.
#[derive(Debug, Clone)]
pub struct Validation {
    /// How objects are read: as those that are served, and for admission.
    pub lowering: Arc<LowerSettings>,
    /// What is counted.
    pub metrics: ValidationMetrics,
}

/// Counters of istiod's names. The client library ends the names of counters in `_total`, which these have not; so they
/// are gauges.
#[derive(Debug, Clone, Default)]
pub struct ValidationMetrics {
    passed: Family<ResourceLabel, Gauge>,
    failed: Family<FailureLabel, Gauge>,
    http_errors: Family<StatusLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabel {
    group: String,
    version: String,
    resource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    group: String,
    version: String,
    resource: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

impl ValidationMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "galley_validation_passed",
            "Resource is valid",
            metrics.passed.clone(),
        );
        registry.register(
            "galley_validation_failed",
            "Resource validation failed",
            metrics.failed.clone(),
        );
        registry.register(
            "galley_validation_http_error",
            "Resource validation http serve errors",
            metrics.http_errors.clone(),
        );
        metrics
    }
}

/// The page.
pub fn router(validation: Validation) -> Router {
    Router::new()
        .route("/validate", post(answer))
        .route("/validate/{*rest}", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(validation)
}

async fn answer(
    State(validation): State<Validation>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let refused = |status: StatusCode, text: String| {
        let label = StatusLabel {
            status: status.as_u16(),
        };
        validation.metrics.http_errors.get_or_create(&label).inc();
        (status, text).into_response()
    };
    let body = match body {
        Ok(body) if body.is_empty() => {
            return refused(StatusCode::BAD_REQUEST, "no body found".to_owned());
        }
        Ok(body) => body,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let content_type = headers.get(header::CONTENT_TYPE).map(|v| v.as_bytes());
    if content_type != Some(b"application/json") {
        let text = "invalid Content-Type, want `application/json`".to_owned();
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let review: Value = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            let text = format!("the body is no AdmissionReview: {error}");
            return refused(StatusCode::BAD_REQUEST, text);
        }
    };
    let request = &review["request"];
    let verdict = verdict(request, &validation.lowering);
    if request["dryRun"] != json!(true) {
        count(&validation.metrics, request, &verdict);
    }
    axum::Json(reply(&review, &verdict)).into_response()
}

/// What is said about one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Verdict {
    /// Why it is refused, and the reason that is counted.
    refusal: Option<(&'static str, String)>,
    warnings: Vec<String>,
}

impl Verdict {
    fn refuse(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            refusal: Some((reason, message.into())),
            warnings: Vec::new(),
        }
    }
}

fn verdict(request: &Value, lowering: &LowerSettings) -> Verdict {
    if !matches!(request["operation"].as_str(), Some("CREATE" | "UPDATE")) {
        return Verdict::default();
    }
    let object = &request["object"];
    if !object.is_object() {
        let message = "cannot decode configuration: the review holds no object";
        return Verdict::refuse("yaml_decode_error", message);
    }
    if object["metadata"]["annotations"]
        .get(ALWAYS_REJECT)
        .is_some()
    {
        let message = format!("{ALWAYS_REJECT:?} annotation found, rejecting");
        return Verdict::refuse("invalid_resource", message);
    }
    if let Some(unknown) = unknown_field(object) {
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let message = format!(
            "unknown field {unknown:?} on {} resource {}/{}",
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        return Verdict::refuse("invalid_resource", message);
    }
    let lowered = lower(object, lowering);
    if lowered.key.is_none() && lowered.diagnostics.is_empty() {
        let message = format!(
            "unrecognized type {}",
            object["kind"].as_str().unwrap_or("?")
        );
        return Verdict::refuse("unknown_type", message);
    }
    let of = |severity: Severity| {
        let found = lowered.diagnostics.iter();
        found.filter(move |d| d.severity == severity).map(sentence)
    };
    let errors: Vec<String> = of(Severity::Error).collect();
    let refusal = (!errors.is_empty()).then(|| ("invalid_resource", joined(&errors)));
    Verdict {
        refusal,
        warnings: of(Severity::Warning).collect(),
    }
}

/// Fields beside `spec` that Kubernetes would drop silently.
fn unknown_field(object: &Value) -> Option<&str> {
    const KNOWN: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let mut names = object.as_object()?.keys().map(String::as_str);
    names.find(|name| !KNOWN.contains(name))
}

/// Without the object's name, which the API server prints beside it.
fn sentence(diagnostic: &Diagnostic) -> String {
    if diagnostic.path.is_empty() {
        diagnostic.message.clone()
    } else {
        format!("{}: {}", diagnostic.path, diagnostic.message)
    }
}

/// Several errors in the layout that kubectl users of Istio know.
fn joined(errors: &[String]) -> String {
    let count = match errors.len() {
        1 => "1 error".to_owned(),
        more => format!("{more} errors"),
    };
    let lines: String = errors
        .iter()
        .map(|error| format!("\t* {error}\n"))
        .collect();
    format!("configuration is invalid: {count} occurred:\n{lines}\n")
}

fn count(metrics: &ValidationMetrics, request: &Value, verdict: &Verdict) {
    let text = |path: &str| {
        let value = request.pointer(path).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let (group, version, resource) = (
        text("/resource/group"),
        text("/resource/version"),
        text("/resource/resource"),
    );
    match &verdict.refusal {
        None => {
            let label = ResourceLabel {
                group,
                version,
                resource,
            };
            metrics.passed.get_or_create(&label).inc();
        }
        Some((reason, _)) => {
            let label = FailureLabel {
                group,
                version,
                resource,
                reason,
            };
            metrics.failed.get_or_create(&label).inc();
        }
    }
}

fn reply(review: &Value, verdict: &Verdict) -> Value {
    let mut response = json!({
        "uid": review["request"]["uid"],
        "allowed": verdict.refusal.is_none(),
    });
    if let Some((_, message)) = &verdict.refusal {
        response["status"] = json!({"message": message});
    }
    if !verdict.warnings.is_empty() {
        response["warnings"] = json!(verdict.warnings);
    }
    json!({
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": response,
    })
}

#[cfg(test)]
mod tests;

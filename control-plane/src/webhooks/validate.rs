//! `/validate`: whether the API server may take an object, by the rules of validation. Istio 1.31:
//! `pkg/webhooks/validation/server`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use meltemi_validation::{Finding, Outcome, review};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

/// Istio 1.31 reads no more of a review.
const MAX_BODY: usize = 6 << 20;

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
pub fn router(metrics: ValidationMetrics) -> Router {
    Router::new()
        .route("/validate", post(answer))
        .route("/validate/{*rest}", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(metrics)
}

async fn answer(
    State(metrics): State<ValidationMetrics>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let refused = |status: StatusCode, text: String| {
        let label = StatusLabel {
            status: status.as_u16(),
        };
        metrics.http_errors.get_or_create(&label).inc();
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
    let verdict = verdict(request);
    if request["dryRun"] != json!(true) {
        count(&metrics, request, &verdict);
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

fn verdict(request: &Value) -> Verdict {
    if !matches!(request["operation"].as_str(), Some("CREATE" | "UPDATE")) {
        return Verdict::default();
    }
    let object = &request["object"];
    if !object.is_object() {
        let message = "cannot decode configuration: the review holds no object";
        return Verdict::refuse("yaml_decode_error", message);
    }
    let found = match review(object) {
        Outcome::Foreign | Outcome::UnknownKind => {
            return Verdict::refuse("unknown_type", unrecognized(object));
        }
        Outcome::Unreadable(finding) => {
            let message = format!("error decoding configuration: {finding}");
            return Verdict::refuse("crd_conversion_error", message);
        }
        Outcome::Read(found) => found,
    };
    let sentences = |findings: &[Finding]| -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    };
    if found.is_accepted() {
        return Verdict {
            refusal: None,
            warnings: sentences(&found.warnings),
        };
    }
    Verdict::refuse("invalid_resource", joined(&sentences(&found.errors)))
}

fn unrecognized(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or("");
    format!(
        "unrecognized type {}, Kind={}",
        text("apiVersion"),
        text("kind")
    )
}

/// Several errors in the layout that kubectl users of Istio know; one stands alone.
fn joined(errors: &[String]) -> String {
    if let [only] = errors {
        return format!("configuration is invalid: {only}");
    }
    let lines: String = errors
        .iter()
        .map(|error| format!("\t* {error}\n"))
        .collect();
    format!(
        "configuration is invalid: {} errors occurred:\n{lines}\n",
        errors.len()
    )
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

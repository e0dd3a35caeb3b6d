//! The webhooks of validation: ValidatingWebhookConfigurations of our revision.
//!
//! They are installed with `failurePolicy: Ignore`, since nothing could be written to the cluster while we are not
//! there. When a Gateway that must be refused is refused, validation works, and the policy becomes `Fail`
//! (Istio 1.31: `pkg/webhooks/validation/controller`).

use std::sync::Arc;

use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Patcher, Reconciled, bundle, replace, run, webhooks, webhooks_mut};
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::metrics::{Metrics, ReasonLabel};
use crate::queue::Outcome;
use crate::revisions::{REVISION_LABEL, revision_or_default};

/// The annotation by which validation knows the Gateway that it must refuse (Istio 1.31).
pub const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";

/// Whose webhooks of validation are patched.
#[derive(Debug, Clone)]
pub struct Validation {
    /// Our revision; empty is `default`.
    pub revision: String,
    /// The control plane's namespace; the Gateway that is not created would be in it.
    pub namespace: String,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether validation was seen to work. Once is enough.
    pub seen_to_work: bool,
}

/// Keeps the CA bundle of the validation webhooks of our revision and makes them strict when validation works, until
/// `stop`. Not to be called with `VALIDATION_WEBHOOK_CONFIG_NAME=""`: that says that somebody else does it.
pub async fn patch_validation(
    client: Client,
    mut what: Validation,
    bundle: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
) {
    what.revision = revision_or_default(&what.revision).to_owned();
    run(client, Patcher::Validation(what), bundle, stop).await;
}

pub(super) fn wants(object: &DynamicObject, pem: &str) -> bool {
    let Ok(bundle) = bundle::encoded(pem) else {
        // To be said and counted in `reconcile`.
        return true;
    };
    let mut all = webhooks(object).iter();
    all.any(|webhook| is_lax(webhook) || !bundle::has(webhook, &bundle))
}

pub(super) async fn reconcile(
    what: &mut Validation,
    client: &Client,
    api: &Api<DynamicObject>,
    name: &str,
    pem: &str,
) -> Reconciled {
    let worked_before = what.seen_to_work;
    let outcome = match patched(what, client, api, name, pem).await {
        Ok(outcome) => outcome,
        Err(ApiError::NotFound(_)) => Outcome::Kept,
        Err(error) => {
            let reason = error.reason();
            let label = ReasonLabel { reason };
            what.metrics
                .validation_update_errors
                .get_or_create(&label)
                .inc();
            tracing::warn!(name, %error, "validation webhook not patched, trying again");
            match error {
                ApiError::Forbidden(_) | ApiError::Invalid(_) => Outcome::Refused,
                _ => Outcome::Failed,
            }
        }
    };
    Reconciled {
        outcome,
        wake_all: what.seen_to_work && !worked_before,
    }
}

async fn patched(
    what: &mut Validation,
    client: &Client,
    api: &Api<DynamicObject>,
    name: &str,
    pem: &str,
) -> Result<Outcome, ApiError> {
    let Some(mut object) = within(REQUEST_TIMEOUT, api.get_opt(name)).await? else {
        return Ok(Outcome::Kept);
    };
    let bundle = match bundle::encoded(pem) {
        Ok(bundle) => bundle,
        Err(error) => {
            // When there is a bundle it is looked at again.
            let reason = "could not verify caBundle";
            let label = ReasonLabel { reason };
            what.metrics
                .validation_load_errors
                .get_or_create(&label)
                .inc();
            tracing::error!(name, error, "CA bundle cannot be used");
            return Ok(Outcome::Kept);
        }
    };
    let lax = webhooks(&object).iter().any(is_lax);
    let mut changed = false;
    for webhook in webhooks_mut(&mut object) {
        if !bundle::has(webhook, &bundle) {
            bundle::set(webhook, &bundle);
            changed = true;
        }
    }
    if lax && changed && !what.seen_to_work {
        // Without the bundle the API server cannot reach us, so validation cannot be seen to work yet.
        replace(api, name, &object).await?;
        what.metrics.validation_updates.inc();
        tracing::info!(name, "CA bundle of validation written");
        return Ok(Outcome::Failed);
    }
    if lax && works(what, client).await? {
        for webhook in webhooks_mut(&mut object) {
            webhook["failurePolicy"] = json!("Fail");
        }
        changed = true;
    }
    if changed {
        replace(api, name, &object).await?;
        what.metrics.validation_updates.inc();
        tracing::info!(name, "validation webhook written");
    }
    Ok(match (lax && !what.seen_to_work, changed) {
        // Asked again, ever more slowly, until it works.
        (true, _) => Outcome::Failed,
        (false, true) => Outcome::Written,
        (false, false) => Outcome::Kept,
    })
}

/// Whether a webhook lets everything pass while it cannot be reached. Without a policy it is `Fail`.
fn is_lax(webhook: &Value) -> bool {
    webhook["failurePolicy"]
        .as_str()
        .is_some_and(|policy| policy != "Fail")
}

/// Whether validation refuses what it must refuse.
async fn works(what: &mut Validation, client: &Client) -> Result<bool, ApiError> {
    if what.seen_to_work {
        return Ok(true);
    }
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &what.namespace, &resource);
    let mut gateway = DynamicObject::new("invalid-gateway", &resource);
    gateway.metadata.namespace = Some(what.namespace.clone());
    let labels = gateway.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.into(), what.revision.clone());
    let annotations = gateway.metadata.annotations.get_or_insert_default();
    annotations.insert(ALWAYS_REJECT.into(), "true".into());
    gateway.data = json!({ "spec": {} });
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = within(REQUEST_TIMEOUT, api.create(&params, &gateway)).await;
    let text = match answer {
        Ok(_) => "the Gateway that must be refused was not refused".to_owned(),
        Err(error) => error.to_string(),
    };
    match judge(&text) {
        Judgement::Works => tracing::info!("validation works, webhooks become strict"),
        Judgement::CannotBeSeen => {
            tracing::warn!(text, "validation cannot be tried out, taken to work");
        }
        Judgement::DoesNot => {
            tracing::info!(text, "validation does not work yet, webhooks stay lax");
            return Ok(false);
        }
    }
    what.seen_to_work = true;
    Ok(true)
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Works,
    CannotBeSeen,
    DoesNot,
}

/// What the answer of the API server says, by the fragments that Istio 1.31 looks for. (Where no Gateways are served at
/// all the API server says `404 page not found`, of which Istio's client makes the sentence about the resource.)
fn judge(text: &str) -> Judgement {
    if text.contains("denied the request") {
        Judgement::Works
    } else if text.contains("the server could not find the requested resource")
        || text.contains("404 page not found")
        || text.contains("does not support dry run")
    {
        Judgement::CannotBeSeen
    } else {
        Judgement::DoesNot
    }
}

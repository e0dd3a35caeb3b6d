//! The webhooks of injection: MutatingWebhookConfigurations of our revision.

use std::sync::Arc;

use kube::core::DynamicObject;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Patcher, Reconciled, bundle, replace, run, webhooks, webhooks_mut};
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::metrics::{Metrics, NameLabel, NameReasonLabel};
use crate::queue::Outcome;
use crate::revisions::{REVISION_LABEL, revision_or_default};

/// How the names of our webhooks end (Istio 1.31); others in the same configuration are left alone.
const WEBHOOK: &str = "sidecar-injector.istio.io";

/// Whose webhooks of injection are patched.
#[derive(Debug, Clone)]
pub struct Injection {
    /// Our revision; empty is `default`.
    pub revision: String,
    /// What is counted.
    pub metrics: Metrics,
}

/// Keeps the CA bundle of the injection webhooks of our revision, until `stop`. Not to be called with
/// `INJECTION_WEBHOOK_CONFIG_NAME=""`: that says that somebody else does it.
pub async fn patch_injection(
    client: Client,
    mut what: Injection,
    bundle: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
) {
    what.revision = revision_or_default(&what.revision).to_owned();
    run(client, Patcher::Injection(what), bundle, stop).await;
}

/// What goes wrong with a configuration, by the label of Istio's metric.
struct Failure {
    reason: &'static str,
    outcome: Outcome,
    text: String,
}

pub(super) fn wants(object: &DynamicObject, pem: &str) -> bool {
    let mut ours = webhooks(object).iter().filter(|webhook| is_ours(webhook));
    match bundle::encoded(pem) {
        Ok(bundle) => ours.any(|webhook| !bundle::has(webhook, &bundle)),
        // To be said and counted in `reconcile`.
        Err(_) => ours.next().is_some(),
    }
}

pub(super) async fn reconcile(
    what: &Injection,
    api: &Api<DynamicObject>,
    name: &str,
    pem: &str,
) -> Reconciled {
    let outcome = match patched(what, api, name, pem).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            let label = NameReasonLabel {
                name: name.into(),
                reason: failure.reason,
            };
            what.metrics.patch_failures.get_or_create(&label).inc();
            if failure.outcome == Outcome::Kept {
                tracing::debug!(name, failure.text, "webhook not patched");
            } else {
                tracing::warn!(name, failure.text, "webhook not patched, trying again");
                let label = NameLabel { name: name.into() };
                what.metrics.patch_retries.get_or_create(&label).inc();
            }
            failure.outcome
        }
    };
    let wake_all = false;
    Reconciled { outcome, wake_all }
}

async fn patched(
    what: &Injection,
    api: &Api<DynamicObject>,
    name: &str,
    pem: &str,
) -> Result<Outcome, Failure> {
    let failure = |reason, outcome, text: &dyn ToString| Failure {
        reason,
        outcome,
        text: text.to_string(),
    };
    let read = within(REQUEST_TIMEOUT, api.get_opt(name)).await;
    let read = read.map_err(|error| failure("webhook_update_failure", retry(&error), &error))?;
    let Some(mut object) = read else {
        return Err(failure(
            "webhook_config_not_found",
            Outcome::Kept,
            &"it is gone",
        ));
    };
    let labels = object.metadata.labels.as_ref();
    let revision = labels.and_then(|labels| labels.get(REVISION_LABEL));
    if revision != Some(&what.revision) {
        return Err(failure(
            "wrong_revision",
            Outcome::Kept,
            &"it is another revision's",
        ));
    }
    // When there is a bundle it is looked at again.
    let bundle = bundle::encoded(pem)
        .map_err(|text| failure("load_ca_bundle_failure", Outcome::Kept, &text))?;
    let (mut found, mut changed) = (false, false);
    for webhook in webhooks_mut(&mut object).iter_mut().filter(|w| is_ours(w)) {
        found = true;
        if !bundle::has(webhook, &bundle) {
            bundle::set(webhook, &bundle);
            changed = true;
        }
    }
    if !found {
        return Err(failure(
            "webhook_entry_not_found",
            Outcome::Kept,
            &"it has no webhook of ours",
        ));
    }
    if !changed {
        return Ok(Outcome::Kept);
    }
    // Istio 1.31 counts by the end of the webhooks' names here, not by the configuration.
    let label = NameLabel {
        name: WEBHOOK.into(),
    };
    what.metrics.patch_attempts.get_or_create(&label).inc();
    match replace(api, name, &object).await {
        Ok(()) => {
            tracing::info!(name, "CA bundle of injection written");
            Ok(Outcome::Written)
        }
        Err(error) => Err(failure("webhook_update_failure", retry(&error), &error)),
    }
}

fn retry(error: &ApiError) -> Outcome {
    match error {
        ApiError::NotFound(_) => Outcome::Kept,
        ApiError::Forbidden(_) | ApiError::Invalid(_) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn is_ours(webhook: &serde_json::Value) -> bool {
    webhook["name"]
        .as_str()
        .is_some_and(|name| name.ends_with(WEBHOOK))
}

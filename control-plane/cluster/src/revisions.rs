//! Which revision is the default one: the lock of a non-default leader is taken over by the default revision.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::one;

/// The label that says whose an object is.
pub const REVISION_LABEL: &str = "istio.io/rev";

/// The configuration whose label names the default revision (Istio 1.31: `pkg/revisions/default_watcher.go`).
pub const DEFAULT_TAG: &str = "istio-revision-tag-default";

/// The revision under which locks and objects are ours: without a name it is `default`.
pub fn revision_or_default(revision: &str) -> &str {
    if revision.is_empty() {
        "default"
    } else {
        revision
    }
}

/// Follows the name of the default revision until `stop`; it is empty if there is none, or not known yet.
pub async fn follow_default(client: Client, out: watch::Sender<String>, stop: CancellationToken) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    one(api, DEFAULT_TAG, "default revision", stop, |object| {
        let labels = object.and_then(|object| object.metadata.labels);
        let revision = labels.and_then(|mut labels| labels.remove(REVISION_LABEL));
        let revision = revision.unwrap_or_default();
        out.send_if_modified(|now| {
            let changed = *now != revision;
            *now = revision;
            changed
        });
    })
    .await;
}

#[cfg(test)]
mod tests;

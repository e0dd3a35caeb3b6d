//! The CA bundle of the webhooks: without it the API server trusts neither injection nor validation.
//!
//! No leader election: every revision has webhooks of its own, and every replica writes the same bundle
//! (Istio 1.31: `pkg/webhooks`). A configuration is written as it was read, with the changed fields only, so that
//! fields that we do not know survive. Two control planes with different roots would write against each other for
//! ever; their writes become slow, and the log says so.

mod bundle;
mod injection;
mod validation;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::follow::{at, changed, events};
use crate::queue::{Outcome, Queue};
use crate::revisions::REVISION_LABEL;

pub use injection::{Injection, patch_injection};
pub use validation::{ALWAYS_REJECT, Validation, patch_validation};

/// Attempts, as Istio's validation controller: a fight of replicas over the same version ends soon, and a webhook that
/// is not served yet is asked for soon.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(60),
};

/// What became of one configuration.
struct Reconciled {
    outcome: Outcome,
    /// Whether the others of the kind should be looked at, too.
    wake_all: bool,
}

/// What is to be done about a kind of configurations.
enum Patcher {
    Injection(Injection),
    Validation(Validation),
}

impl Patcher {
    fn revision(&self) -> &str {
        match self {
            Self::Injection(patcher) => &patcher.revision,
            Self::Validation(patcher) => &patcher.revision,
        }
    }

    fn resource(&self) -> ApiResource {
        match self {
            Self::Injection(_) => resource(
                "MutatingWebhookConfiguration",
                "mutatingwebhookconfigurations",
            ),
            Self::Validation(_) => resource(
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
        }
    }

    /// Whether a configuration, as a watch showed it, is not as it should be.
    fn wants(&self, object: &DynamicObject, bundle: &str) -> bool {
        match self {
            Self::Injection(_) => injection::wants(object, bundle),
            Self::Validation(_) => validation::wants(object, bundle),
        }
    }

    /// Reads a configuration and makes it as it should be.
    async fn reconcile(
        &mut self,
        client: &Client,
        api: &Api<DynamicObject>,
        name: &str,
        bundle: &str,
    ) -> Reconciled {
        match self {
            Self::Injection(patcher) => injection::reconcile(patcher, api, name, bundle).await,
            Self::Validation(patcher) => {
                validation::reconcile(patcher, client, api, name, bundle).await
            }
        }
    }
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// Keeps the configurations of a revision as the patcher wants them, until `stop`.
async fn run(
    client: Client,
    mut patcher: Patcher,
    mut bundle: watch::Receiver<Arc<str>>,
    stop: CancellationToken,
) {
    let resource = patcher.resource();
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let selector = format!("{REVISION_LABEL}={}", patcher.revision());
    let config = watcher::Config::default().labels(&selector);
    let mut events = pin!(events(api.clone(), config, "webhook configurations"));
    let mut current = bundle.borrow_and_update().clone();
    let mut names = Names::default();
    let mut queue: Queue<String> = Queue::new(BACKOFF);
    loop {
        if let Some(name) = queue.take(Instant::now()) {
            // While one is worked on, events wait in the connection of the watch; nothing is lost.
            let reconciled = tokio::select! {
                () = stop.cancelled() => return,
                reconciled = patcher.reconcile(&client, &api, &name, &current) => reconciled,
            };
            let now = Instant::now();
            queue.done(&name, reconciled.outcome, now);
            if reconciled.outcome == Outcome::Written && queue.fights(&name) == 5 {
                tracing::warn!(
                    name,
                    "somebody else keeps writing another CA bundle, writing more slowly"
                );
            }
            if reconciled.wake_all {
                for other in names.all.iter().filter(|other| **other != name) {
                    queue.add(other.clone(), now);
                }
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = events.next() => {
                if let Event::InitApply(object) | Event::Apply(object) = &event
                    && let Some(name) = &object.metadata.name
                    && patcher.wants(object, &current)
                {
                    queue.add(name.clone(), Instant::now());
                }
                for gone in names.learn(event) {
                    queue.forget(&gone);
                }
            }
            () = changed(&mut bundle) => {
                current = bundle.borrow_and_update().clone();
                let now = Instant::now();
                for name in &names.all {
                    queue.add(name.clone(), now);
                }
            }
            () = at(queue.next()) => {}
        }
    }
}

/// The names of the configurations that are there.
#[derive(Default)]
struct Names {
    all: BTreeSet<String>,
    listed: Option<BTreeSet<String>>,
}

impl Names {
    /// Learns from an event; the names that are gone.
    fn learn(&mut self, event: Event<DynamicObject>) -> Vec<String> {
        match event {
            Event::Init => self.listed = Some(BTreeSet::new()),
            Event::InitApply(object) | Event::Apply(object) => {
                let name = object.metadata.name.unwrap_or_default();
                if let Some(listed) = &mut self.listed {
                    listed.insert(name.clone());
                }
                self.all.insert(name);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone = self.all.difference(&listed).cloned().collect();
                self.all = listed;
                return gone;
            }
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.all.remove(&name);
                return vec![name];
            }
        }
        Vec::new()
    }
}

/// Replaces a configuration in the version in which it was read.
async fn replace(
    api: &Api<DynamicObject>,
    name: &str,
    object: &DynamicObject,
) -> Result<(), ApiError> {
    let params = PostParams::default();
    within(REQUEST_TIMEOUT, api.replace(name, &params, object)).await?;
    Ok(())
}

/// The webhooks of a configuration; none if it is not of the form that it should have.
fn webhooks(object: &DynamicObject) -> &[Value] {
    let list = object.data.get("webhooks").and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn webhooks_mut(object: &mut DynamicObject) -> &mut [Value] {
    let list = object
        .data
        .get_mut("webhooks")
        .and_then(Value::as_array_mut);
    list.map(Vec::as_mut_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;

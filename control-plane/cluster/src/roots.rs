//! The root certificate in every namespace: ConfigMap `istio-ca-root-cert`, without which no pod of the mesh starts.
//!
//! One text under one key of one ConfigMap is kept in every namespace; the revocation list of a plugged-in CA
//! (`istio-ca-crl`) goes the same way. What stands there besides is left alone, and so is a ConfigMap that is right.
//! It runs while we lead ([`crate::leader`]), so that replicas do not write against each other.
//!
//! As Istio 1.31 (`namespacecontroller.go`) it leaves `kube-public`, `kube-node-lease` and `local-path-storage` out,
//! but not `kube-system`, where ztunnel may run; namespaces that `discoverySelectors` do not select are not touched:
//! what was written before stays.

mod known;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::follow::{at, changed, events};
use crate::metrics::{ConfigMapLabel, Metrics};
use crate::queue::{Outcome, Queue};
use crate::selector::{AnyOf, Selector};

use known::Known;

/// The name of the ConfigMap with the root certificate, unless `PILOT_CA_CERT_CONFIGMAP` says another.
pub const ROOT_CERT: &str = "istio-ca-root-cert";
/// Its key.
pub const ROOT_CERT_KEY: &str = "root-cert.pem";
/// The name of the ConfigMap with the revocation list, unless `PILOT_CRL_CONFIGMAP` says another.
pub const CRL: &str = "istio-ca-crl";
/// Its key.
pub const CRL_KEY: &str = "ca-crl.pem";

/// Namespaces that have no workloads of the mesh (Istio 1.31).
pub const LEFT_OUT: [&str; 3] = ["kube-node-lease", "kube-public", "local-path-storage"];

/// The label of what the control plane wrote.
const LABEL: (&str, &str) = ("istio.io/config", "true");

/// How many namespaces are worked on at a time: new namespaces do not wait for slow ones.
const AT_A_TIME: usize = 8;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(60),
};

/// What is kept in every namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The name of the ConfigMap, such as [`ROOT_CERT`].
    pub config_map: String,
    /// The key of the text, such as [`ROOT_CERT_KEY`].
    pub key: String,
    /// Only this namespace (`ISTIO_WATCH_NAMESPACE`).
    pub only_namespace: Option<String>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            config_map: ROOT_CERT.into(),
            key: ROOT_CERT_KEY.into(),
            only_namespace: None,
        }
    }
}

/// Keeps `text` in every namespace that `selectors` select (without any: in all), until `stop`. While the text is
/// empty nothing is written.
pub async fn distribute(
    client: Client,
    what: Distribution,
    mut text: watch::Receiver<Arc<str>>,
    mut selectors: watch::Receiver<Vec<Selector>>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let config = watcher::Config::default();
    let by_name = config
        .clone()
        .fields(&format!("metadata.name={}", what.config_map));
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let config_maps: Api<ConfigMap> = Api::all(client.clone());
    let mut namespaces = pin!(events(namespaces, config, "namespaces"));
    let mut config_maps = pin!(events(config_maps, by_name, "distributed ConfigMaps"));

    let mut known = Known::new(what.only_namespace.clone());
    select_by(&mut known, &selectors.borrow_and_update());
    let mut current = text.borrow_and_update().clone();
    let mut queue: Queue<String> = Queue::new(BACKOFF);
    let mut running = FuturesUnordered::new();
    let label = ConfigMapLabel {
        config_map: what.config_map.clone(),
    };
    loop {
        let ready = known.is_complete() && !current.is_empty();
        while ready && running.len() < AT_A_TIME {
            let Some(namespace) = queue.take(Instant::now()) else {
                break;
            };
            running.push(keep(&client, &what, namespace, current.clone()));
        }
        let next = if ready && running.len() < AT_A_TIME {
            queue.next()
        } else {
            None
        };
        let mut touched = Vec::new();
        tokio::select! {
            () = stop.cancelled() => return,
            Some((namespace, kept, result)) = running.next(), if !running.is_empty() => {
                let outcome = outcome(&what, &namespace, &result);
                match outcome {
                    Outcome::Written => {
                        metrics.distributed.get_or_create(&label).inc();
                    }
                    Outcome::Failed | Outcome::Refused => {
                        metrics.distribution_failures.get_or_create(&label).inc();
                    }
                    Outcome::Kept => {}
                }
                if result.is_ok() && Arc::ptr_eq(&kept, &current) {
                    known.is_right(&namespace);
                }
                queue.done(&namespace, outcome, Instant::now());
                if outcome == Outcome::Written && queue.fights(&namespace) == 5 {
                    tracing::warn!(namespace, config_map = what.config_map,
                        "somebody else keeps writing another text, writing more slowly");
                }
            }
            Some(event) = namespaces.next() => touched = match event {
                Event::Init => known.namespaces_begin(),
                Event::InitApply(namespace) | Event::Apply(namespace) => known.namespace(namespace),
                Event::InitDone => known.namespaces_end(),
                Event::Delete(namespace) => {
                    let name = namespace.metadata.name.unwrap_or_default();
                    queue.forget(&name);
                    known.namespace_gone(&name)
                }
            },
            Some(event) = config_maps.next() => touched = match event {
                Event::Init => known.config_maps_begin(),
                Event::InitApply(object) | Event::Apply(object) => {
                    let right = holds(&object, &what.key, &current);
                    known.config_map(object.metadata.namespace.unwrap_or_default(), right)
                }
                Event::InitDone => known.config_maps_end(),
                Event::Delete(object) => {
                    known.config_map(object.metadata.namespace.unwrap_or_default(), false)
                }
            },
            () = changed(&mut text) => {
                current = text.borrow_and_update().clone();
                touched = known.all_wrong();
            }
            () = changed(&mut selectors) => {
                touched = select_by(&mut known, &selectors.borrow_and_update());
            }
            () = at(next) => {}
        }
        let now = Instant::now();
        for namespace in touched {
            queue.add(namespace, now);
        }
    }
}

/// Takes new selectors over. As in Istio 1.31 wrong ones change nothing.
fn select_by(known: &mut Known, selectors: &[Selector]) -> Vec<String> {
    match AnyOf::new(selectors) {
        Ok(selectors) => known.select_by(selectors),
        Err(error) => {
            tracing::error!(
                error,
                "discoverySelectors cannot be used, the last ones stay"
            );
            Vec::new()
        }
    }
}

fn holds(object: &ConfigMap, key: &str, text: &str) -> bool {
    let data = object.data.as_ref();
    data.and_then(|data| data.get(key))
        .is_some_and(|now| now == text)
}

async fn keep(
    client: &Client,
    what: &Distribution,
    namespace: String,
    text: Arc<str>,
) -> (String, Arc<str>, Result<bool, ApiError>) {
    let result = written(client, what, &namespace, &text).await;
    (namespace, text, result)
}

/// Makes the ConfigMap right; whether it had to be written.
async fn written(
    client: &Client,
    what: &Distribution,
    namespace: &str,
    text: &str,
) -> Result<bool, ApiError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = &what.config_map;
    let params = PostParams::default();
    match within(REQUEST_TIMEOUT, api.get_opt(name)).await? {
        Some(object) if holds(&object, &what.key, text) => Ok(false),
        Some(mut object) => {
            let data = object.data.get_or_insert_default();
            data.insert(what.key.clone(), text.to_owned());
            within(REQUEST_TIMEOUT, api.replace(name, &params, &object)).await?;
            Ok(true)
        }
        None => {
            let (label, value) = LABEL;
            let object = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(namespace.to_owned()),
                    labels: Some(BTreeMap::from([(label.into(), value.into())])),
                    ..ObjectMeta::default()
                },
                data: Some(BTreeMap::from([(what.key.clone(), text.to_owned())])),
                ..ConfigMap::default()
            };
            within(REQUEST_TIMEOUT, api.create(&params, &object)).await?;
            Ok(true)
        }
    }
}

fn outcome(what: &Distribution, namespace: &str, result: &Result<bool, ApiError>) -> Outcome {
    let config_map = &what.config_map;
    match result {
        Ok(false) => Outcome::Kept,
        Ok(true) => {
            tracing::debug!(namespace, config_map, "written");
            Outcome::Written
        }
        // The namespace goes or is gone. If another of its name comes, there is an event.
        Err(ApiError::NotFound(_) | ApiError::NamespaceTerminating) => Outcome::Kept,
        Err(error @ (ApiError::Forbidden(_) | ApiError::Invalid(_))) => {
            tracing::warn!(namespace, config_map, %error, "cannot be written");
            Outcome::Refused
        }
        Err(error @ (ApiError::Conflict | ApiError::AlreadyExists)) => {
            tracing::debug!(namespace, config_map, %error, "not written, trying again");
            Outcome::Failed
        }
        Err(error) => {
            tracing::warn!(namespace, config_map, %error, "not written, trying again");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests;

//! One ConfigMap, followed: the injector's configuration, the mesh configuration and others.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::one;

/// What is known of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// It was not read yet.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// Its texts by their keys.
    Present(Arc<BTreeMap<String, String>>),
}

/// Follows a ConfigMap until `stop`. The value changes only if the data does; while the API server is away the last
/// one stays.
pub async fn follow(
    client: Client,
    namespace: &str,
    name: &str,
    out: watch::Sender<State>,
    stop: CancellationToken,
) {
    follow_usable(client, (namespace, name), out, stop, |_| true).await;
}

/// The same for a ConfigMap that can be unusable. While it is, the last usable one stays; before there was one it is as
/// if there were none.
pub async fn follow_usable(
    client: Client,
    (namespace, name): (&str, &str),
    out: watch::Sender<State>,
    stop: CancellationToken,
    is_usable: impl Fn(&BTreeMap<String, String>) -> bool + Send + Sync,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    one(api, name, "ConfigMap", stop, |object| {
        let state = match object.map(|object| object.data.unwrap_or_default()) {
            Some(data) if is_usable(&data) => State::Present(Arc::new(data)),
            Some(_) if *out.borrow() != State::Unknown => return,
            Some(_) | None => State::Absent,
        };
        out.send_if_modified(|now| {
            let changed = *now != state;
            if changed {
                *now = state;
            }
            changed
        });
    })
    .await;
}

#[cfg(test)]
mod tests;

//! Pods on a node: may a node's proxy have certificates for the workloads beside it?
//!
//! Istio 1.31 keeps all pods in memory for this; we ask when a node's proxy asks, which is rare, and always know the
//! latest.

use k8s_openapi::api::core::v1 as core;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::error::{ApiError, REQUEST_TIMEOUT, within};

/// What the checks need of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: another pod of the same name has another.
    pub uid: String,
    /// The name of its service account.
    pub service_account: String,
    /// Its node; empty while it has none.
    pub node: String,
    /// Its phase, such as `Running` or `Failed`.
    pub phase: String,
}

/// A pod by its name.
pub async fn pod(client: &Client, namespace: &str, name: &str) -> Result<Option<Pod>, ApiError> {
    let api: Api<core::Pod> = Api::namespaced(client.clone(), namespace);
    let object = within(REQUEST_TIMEOUT, api.get_opt(name)).await?;
    Ok(object.map(plain))
}

/// The pods of a service account that run on a node, without those that failed.
pub async fn of_account_on_node(
    client: &Client,
    namespace: &str,
    service_account: &str,
    node: &str,
) -> Result<Vec<Pod>, ApiError> {
    // A selector without a value would select every pod without a node or account.
    if !is_selectable(service_account) || !is_selectable(node) {
        return Ok(Vec::new());
    }
    let api: Api<core::Pod> = Api::namespaced(client.clone(), namespace);
    let fields = format!(
        "spec.nodeName={node},spec.serviceAccountName={service_account},status.phase!=Failed"
    );
    let params = ListParams::default().fields(&fields);
    let list = within(REQUEST_TIMEOUT, api.list(&params)).await?;
    let mut pods: Vec<_> = list.items.into_iter().map(plain).collect();
    // The selector is an offer to send less; whether a certificate is issued does not hang on it.
    pods.retain(|pod| {
        pod.node == node && pod.service_account == service_account && pod.phase != "Failed"
    });
    Ok(pods)
}

/// Whether a name can stand in a field selector as it is. Names of objects consist of these characters only, so what
/// does not is the name of nothing.
fn is_selectable(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    !name.is_empty() && name.chars().all(allowed)
}

fn plain(object: core::Pod) -> Pod {
    let spec = object.spec.unwrap_or_default();
    Pod {
        namespace: object.metadata.namespace.unwrap_or_default(),
        name: object.metadata.name.unwrap_or_default(),
        uid: object.metadata.uid.unwrap_or_default(),
        service_account: spec.service_account_name.unwrap_or_default(),
        node: spec.node_name.unwrap_or_default(),
        phase: object.status.and_then(|s| s.phase).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;

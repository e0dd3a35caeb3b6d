//! The kubelets of the cluster: native sidecars are used where all of them know how to run them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::events;

/// The kubelet's version of every node by the node's name, such as `v1.36.3`.
pub type KubeletVersions = Arc<BTreeMap<String, String>>;

/// Follows the nodes until `stop`. The value is `None` until they have been read once, and changes only if a version
/// or a node does; while the API server is away it stays.
pub async fn follow(
    client: Client,
    out: watch::Sender<Option<KubeletVersions>>,
    stop: CancellationToken,
) {
    let api: Api<Node> = Api::all(client);
    let mut events = pin!(events(api, watcher::Config::default(), "nodes"));
    let mut versions = BTreeMap::new();
    let mut listed = None;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = events.next() => event,
        };
        match event {
            Event::Init => listed = Some(BTreeMap::new()),
            Event::InitApply(node) => listed.get_or_insert_default().extend(version(node)),
            Event::InitDone => versions = listed.take().unwrap_or_default(),
            Event::Apply(node) => versions.extend(version(node)),
            Event::Delete(node) => {
                versions.remove(&node.metadata.name.unwrap_or_default());
            }
        }
        if listed.is_none() {
            out.send_if_modified(|now| {
                let same = now.as_deref() == Some(&versions);
                if !same {
                    *now = Some(Arc::new(versions.clone()));
                }
                !same
            });
        }
    }
}

fn version(node: Node) -> Option<(String, String)> {
    let info = node.status.and_then(|status| status.node_info);
    let version = info.map(|info| info.kubelet_version).unwrap_or_default();
    Some((node.metadata.name?, version))
}

#[cfg(test)]
mod tests;

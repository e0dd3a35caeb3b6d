//! Pods by address and name, with what their node adds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_model::workload::{Node, Pod};
use meltemi_model::{Kind, Labels, Locality, ObjectKey, Shared, Str};

use crate::store::Table;

/// Indexes over pods and nodes.
#[derive(Debug, Default)]
pub struct Workloads {
    /// Pods that may answer, by their addresses. Pods of the host network share a node's address and are not here.
    pub by_ip: BTreeMap<IpAddr, Shared<Pod>>,
    /// Pods that may answer, by namespace and address, those of the host network too.
    pub by_namespace_and_ip: BTreeMap<(Str, IpAddr), Shared<Pod>>,
    /// Where each node is.
    pub nodes: BTreeMap<Str, Locality>,
}

/// Builds the indexes.
pub fn workloads(pods: &Table<Pod>, nodes: &Table<Node>) -> Workloads {
    let mut by_ip = BTreeMap::new();
    let mut by_namespace_and_ip = BTreeMap::new();
    for (key, pod) in pods.iter().filter(|(_, pod)| !pod.finished) {
        for ip in &pod.ips {
            if !pod.host_network {
                prefer(&mut by_ip, *ip, pod);
            }
            prefer(&mut by_namespace_and_ip, (key.namespace.clone(), *ip), pod);
        }
    }
    let nodes = nodes
        .iter()
        .map(|(key, node)| (key.name.clone(), node.locality.clone()))
        .collect();
    Workloads {
        by_ip,
        by_namespace_and_ip,
        nodes,
    }
}

/// An address is used again while the object of the pod that had it is still there: it is the newer pod's, above all if
/// the older one is going away or not ready. Istio 1.31 forgets those at once (`PodCache`).
fn prefer<K: Ord>(index: &mut BTreeMap<K, Shared<Pod>>, key: K, pod: &Shared<Pod>) {
    let rank = |pod: &Pod| (!pod.terminating, pod.ready, pod.meta.created);
    match index.get(&key) {
        Some(other) if rank(other) > rank(pod) => {}
        _ => {
            index.insert(key, pod.clone());
        }
    }
}

impl Workloads {
    /// The pod of a namespace that has an address, if there is one.
    pub fn guess(&self, namespace: &Str, address: IpAddr) -> Option<&Shared<Pod>> {
        self.by_namespace_and_ip.get(&(namespace.clone(), address))
    }

    /// Where a pod is: its label `istio-locality`, else its node's topology. Istio 1.31: `getPodLocality`.
    pub fn locality(&self, pod: &Pod) -> Locality {
        if let Some(label) = pod
            .meta
            .labels
            .get("topology.istio.io/locality")
            .or(pod.meta.labels.get("istio-locality"))
        {
            // A label value cannot hold "/", so "." stands for it. Istio 1.31: `SanitizeLocalityLabel`.
            return if label.contains('/') {
                Locality::parse(label)
            } else {
                Locality::parse(&label.replace('.', "/"))
            };
        }
        self.nodes.get(&pod.node).cloned().unwrap_or_default()
    }
}

/// The key of a pod.
pub fn pod_key(namespace: &Str, name: &Str) -> ObjectKey {
    ObjectKey {
        kind: Kind::Pod,
        namespace: namespace.clone(),
        name: name.clone(),
    }
}

/// The labels by which subsets and failover priorities select: the workload's own and where it runs.
/// Istio 1.31: `labelutil.AugmentLabels`.
pub fn augment(
    labels: &Labels,
    cluster: &str,
    locality: &Locality,
    node: &str,
    network: &str,
) -> Labels {
    let mut all = labels.clone();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            all.0.insert(key.into(), value.into());
        }
    };
    add("topology.kubernetes.io/region", &locality.region);
    add("topology.kubernetes.io/zone", &locality.zone);
    add("topology.istio.io/subzone", &locality.subzone);
    add("topology.istio.io/cluster", cluster);
    add("kubernetes.io/hostname", node);
    if all.get("topology.istio.io/network").is_none() && !network.is_empty() {
        all.0
            .insert("topology.istio.io/network".into(), network.into());
    }
    all
}

#[cfg(test)]
mod tests;

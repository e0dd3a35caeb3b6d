//! Pods by address and name, with what their node adds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use meltemi_model::workload::{Node, Pod};
use meltemi_model::{Kind, Labels, Locality, ObjectKey, Shared, Str};

use crate::ordered::Ordered;
use crate::store::Table;

/// Indexes over pods and nodes.
#[derive(Debug, Clone, Default)]
pub struct Workloads {
    /// Pods that may answer, by address, namespace and name.
    pods: Ordered<(IpAddr, Str, Str), Shared<Pod>>,
    /// Where each node is.
    nodes: Arc<BTreeMap<Str, Locality>>,
}

/// Builds the indexes.
pub fn workloads(pods: &Table<Pod>, nodes: &Table<Node>) -> Workloads {
    let all = pods.iter().flat_map(|(key, pod)| addressed(key, pod));
    let mut all: Vec<_> = all.map(|(key, pod)| (key, pod.clone())).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.dedup_by(|(a, _), (b, _)| a == b);
    Workloads {
        pods: Ordered::from_sorted(all),
        nodes: Arc::new(places(nodes)),
    }
}

fn places(nodes: &Table<Node>) -> BTreeMap<Str, Locality> {
    let nodes = nodes.iter();
    nodes
        .map(|(key, node)| (key.name.clone(), node.locality.clone()))
        .collect()
}

fn addressed<'a>(
    key: &'a ObjectKey,
    pod: &'a Shared<Pod>,
) -> impl Iterator<Item = ((IpAddr, Str, Str), &'a Shared<Pod>)> {
    let ips = pod.ips.iter().filter(|_| !pod.finished);
    ips.map(move |ip| ((*ip, key.namespace.clone(), key.name.clone()), pod))
}

impl Workloads {
    /// The same after some pods, and maybe nodes, became others.
    pub(crate) fn after(
        &self,
        (pods, old_pods): (&Table<Pod>, &Table<Pod>),
        (nodes, old_nodes): (&Table<Node>, &Table<Node>),
    ) -> Self {
        let mut next = self.clone();
        for (key, old, new) in pods.changes(old_pods) {
            for (key, _) in old.into_iter().flat_map(|pod| addressed(key, pod)) {
                next.pods.remove(&key);
            }
            for (key, pod) in new.into_iter().flat_map(|pod| addressed(key, pod)) {
                next.pods.insert(key, pod.clone());
            }
        }
        if !nodes.same(old_nodes) {
            next.nodes = Arc::new(places(nodes));
        }
        next
    }

    /// The pod that has an address. Those of the host network share a node's address and are not meant.
    pub fn at(&self, address: IpAddr) -> Option<&Shared<Pod>> {
        newest(self.with(address).filter(|pod| !pod.host_network))
    }

    /// The pod of a namespace that has an address, if there is one, even one of the host network.
    pub fn guess(&self, namespace: &Str, address: IpAddr) -> Option<&Shared<Pod>> {
        newest(
            self.with(address)
                .filter(|pod| pod.meta.key.namespace == *namespace),
        )
    }

    fn with(&self, address: IpAddr) -> impl Iterator<Item = &Shared<Pod>> {
        let pods = self.pods.starting(move |(ip, _, _)| ip.cmp(&address));
        let pods = pods.take_while(move |((ip, _, _), _)| *ip == address);
        pods.map(|(_, pod)| pod)
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

/// An address is used again while the object of the pod that had it is still there: it is the newer pod's, above all if
/// the older one is going away or not ready. Istio 1.31 forgets those at once (`PodCache`).
fn newest<'a>(pods: impl Iterator<Item = &'a Shared<Pod>>) -> Option<&'a Shared<Pod>> {
    pods.max_by_key(|pod| (!pod.terminating, pod.ready, pod.meta.created))
}

/// The key of a pod.
pub fn pod_key(namespace: &Str, name: &Str) -> ObjectKey {
    ObjectKey {
        kind: Kind::Pod,
        namespace: namespace.clone(),
        name: name.clone(),
    }
}

/// The labels that say where a workload runs: region, zone, subzone, cluster, node, network.
const TOPOLOGY: [&str; 6] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
    "topology.istio.io/cluster",
    "kubernetes.io/hostname",
    "topology.istio.io/network",
];

/// The labels by which subsets and failover priorities select: the workload's own and where it runs.
/// Istio 1.31: `labelutil.AugmentLabels`.
pub fn augment(
    labels: &Labels,
    cluster: &Str,
    locality: &Locality,
    node: &Str,
    network: &Str,
) -> Labels {
    static KEYS: LazyLock<[Str; 6]> = LazyLock::new(|| TOPOLOGY.map(Str::from));
    let [region, zone, subzone, own_cluster, hostname, own_network] = &*KEYS;
    let mut all = labels.clone();
    let mut add = |key: &Str, value: &Str| {
        if !value.is_empty() {
            all.0.insert(key.clone(), value.clone());
        }
    };
    add(region, &locality.region);
    add(zone, &locality.zone);
    add(subzone, &locality.subzone);
    add(own_cluster, cluster);
    add(hostname, node);
    // What a workload says of its network counts.
    if labels.get(own_network).is_none() {
        add(own_network, network);
    }
    all
}

#[cfg(test)]
mod tests;

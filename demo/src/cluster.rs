//! The cluster side of the demo: the objects that a Kubernetes cluster would add to the user's manifests, written as files
//! for `meltemi serve --config-dir`.
//!
//! The user's files are copied document by document. Only Services that have no cluster IP yet are rewritten, and what
//! the demo plays itself (Deployments and their like) is left blank; line numbers stay, so that a diagnostic of the
//! control plane points into the user's own file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::address::NODE;
use crate::dns::Zone;
use crate::manifest::{Document, Key, Manifests, owns_pods};
use crate::plan::{NODE_NAME, PodPlan, Role};

#[cfg(test)]
mod tests;

/// Where the cluster's own objects are, beside the user's.
const OWN_FOLDER: &str = "cluster.generated";
/// Objects without a creation time would have no order; nothing depends on which time it is.
const CREATED: &str = "2024-01-01T00:00:00Z";

/// One pod as the cluster shows it.
#[derive(Clone, Debug)]
pub(crate) struct PodState {
    /// What it is.
    pub plan: PodPlan,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it may get traffic.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
}

/// The content of every file of the folder that the control plane reads.
#[must_use]
pub(crate) fn files(
    user: &BTreeMap<PathBuf, Vec<Document>>,
    manifests: &Manifests,
    cluster_ips: &BTreeMap<Key, Ipv4Addr>,
    pods: &[PodState],
) -> BTreeMap<PathBuf, String> {
    let mut files: BTreeMap<PathBuf, String> = user
        .iter()
        .map(|(path, documents)| (path.clone(), completed(documents, cluster_ips)))
        .collect();
    let own = Path::new(OWN_FOLDER);
    files.insert(own.join("node.json"), node().to_string());
    for namespace in &manifests.namespaces {
        if !manifests.declared_namespaces.contains_key(namespace) {
            files.insert(
                own.join("namespaces").join(format!("{namespace}.json")),
                namespace_object(namespace).to_string(),
            );
        }
    }
    for pod in pods {
        let (namespace, name) = &pod.plan.key;
        files.insert(
            own.join("pods").join(format!("{namespace}.{name}.json")),
            pod_object(pod).to_string(),
        );
    }
    files
}

/// A user's file with the cluster's additions, line for line.
fn completed(documents: &[Document], cluster_ips: &BTreeMap<Key, Ipv4Addr>) -> String {
    let mut out = String::new();
    for document in documents {
        let dashes = if document.separated { "---" } else { "" };
        out.push_str(dashes);
        match document
            .value
            .as_ref()
            .and_then(|value| replacement(value, cluster_ips))
        {
            None => out.push_str(&document.text),
            Some(text) => {
                let lines = document.text.matches('\n').count();
                let opening = usize::from(document.separated && lines > 0);
                out.push_str(&"\n".repeat(opening));
                out.push_str(&text);
                out.push_str(&"\n".repeat(lines - opening));
            }
        }
    }
    out
}

/// One line in the place of a document, or nothing when it stays as it is.
fn replacement(value: &Value, cluster_ips: &BTreeMap<Key, Ipv4Addr>) -> Option<String> {
    if owns_pods(value) {
        return Some(String::new());
    }
    match value["kind"].as_str()? {
        "Service" => with_cluster_ip(value, cluster_ips).map(|service| service.to_string()),
        "List" => {
            let items = value["items"]
                .as_array()?
                .iter()
                .filter(|item| !owns_pods(item));
            let items: Vec<Value> = items
                .map(|item| with_cluster_ip(item, cluster_ips).unwrap_or_else(|| item.clone()))
                .collect();
            Some(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
        }
        _ => None,
    }
}

fn with_cluster_ip(value: &Value, cluster_ips: &BTreeMap<Key, Ipv4Addr>) -> Option<Value> {
    if value["kind"] != "Service" {
        return None;
    }
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
    let key = (
        namespace.to_owned(),
        value["metadata"]["name"].as_str()?.to_owned(),
    );
    let address = cluster_ips.get(&key)?.to_string();
    let mut service = value.clone();
    let spec = service.get_mut("spec")?.as_object_mut()?;
    spec.insert("clusterIP".to_owned(), json!(address));
    spec.insert("clusterIPs".to_owned(), json!([address]));
    Some(service)
}

fn node() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "creationTimestamp": CREATED, "labels": {
            "kubernetes.io/hostname": NODE_NAME,
            "topology.kubernetes.io/region": "aegean",
            "topology.kubernetes.io/zone": "aegean-1",
        }},
        "status": {"addresses": [{"type": "InternalIP", "address": NODE.to_string()}]},
    })
}

fn namespace_object(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "creationTimestamp": CREATED, "labels": {
            "istio-injection": "enabled",
            "kubernetes.io/metadata.name": name,
        }},
    })
}

fn pod_object(pod: &PodState) -> Value {
    let plan = &pod.plan;
    let (namespace, name) = &plan.key;
    let (kind, (_, owner)) = &plan.owner;
    let address = pod.address.to_string();
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
    let mut metadata = json!({
        "name": name,
        "namespace": namespace,
        "creationTimestamp": CREATED,
        "labels": plan.labels,
        "annotations": plan.annotations,
    });
    // As in a cluster: a Deployment's pods are owned by its ReplicaSet, whose name ends with the template's hash.
    match kind.as_str() {
        "Pod" => {}
        "Deployment" => {
            metadata["ownerReferences"] =
                owner_reference("ReplicaSet", &format!("{owner}-{}", plan.revision))
        }
        other => metadata["ownerReferences"] = owner_reference(other, owner),
    }
    if pod.terminating {
        metadata["deletionTimestamp"] = json!(CREATED);
        metadata["deletionGracePeriodSeconds"] = json!(30);
    }
    let mut spec = plan.spec.clone();
    spec["nodeName"] = json!(NODE_NAME);
    spec["serviceAccountName"] = json!(plan.service_account);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": NODE.to_string(),
            "startTime": CREATED,
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", pod.ready),
                condition("Ready", pod.ready),
            ],
        },
    })
}

fn owner_reference(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true}])
}

/// Makes a folder hold these files and no other manifest. Each file appears by a rename; a file that stays the same is
/// not touched. `scratch` is a folder on the same file system.
pub(crate) fn write(
    folder: &Path,
    scratch: &Path,
    files: &BTreeMap<PathBuf, String>,
    written: &mut BTreeMap<PathBuf, String>,
) -> Result<()> {
    for (path, text) in files {
        if written.get(path) == Some(text) {
            continue;
        }
        let target = folder.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("creating {}", parent.display()))?;
        }
        let temporary = scratch.join("next");
        std::fs::write(&temporary, text)
            .with_context(|| format!("writing {}", temporary.display()))?;
        std::fs::rename(&temporary, &target)
            .with_context(|| format!("writing {}", target.display()))?;
    }
    let gone: BTreeSet<PathBuf> = written
        .keys()
        .filter(|path| !files.contains_key(*path))
        .cloned()
        .collect();
    for path in gone {
        let target = folder.join(&path);
        std::fs::remove_file(&target).with_context(|| format!("removing {}", target.display()))?;
    }
    written.clone_from(files);
    Ok(())
}

/// What the name service knows: Services by their cluster IP, headless ones by their ready pods.
#[must_use]
pub(crate) fn zone(
    manifests: &Manifests,
    cluster_ips: &BTreeMap<Key, Ipv4Addr>,
    pods: &[PodState],
    outside: Option<Ipv4Addr>,
) -> Zone {
    let mut names: BTreeMap<String, Vec<Ipv4Addr>> = manifests
        .entries
        .iter()
        .map(|(host, address)| (host.clone(), vec![*address]))
        .collect();
    for (key, service) in &manifests.services {
        let written = service.cluster_ip.as_deref().and_then(|ip| ip.parse().ok());
        let addresses = match written.or_else(|| cluster_ips.get(key).copied()) {
            Some(address) => vec![address],
            None if service.external_name.is_some() => outside.into_iter().collect(),
            None => {
                let selected = |pod: &&PodState| {
                    let wants = |(label, value): (&String, &String)| {
                        pod.plan.labels.get(label) == Some(value)
                    };
                    pod.ready
                        && pod.plan.key.0 == key.0
                        && !service.selector.is_empty()
                        && service.selector.iter().all(wants)
                };
                pods.iter()
                    .filter(selected)
                    .map(|pod| pod.address)
                    .collect()
            }
        };
        names.insert(format!("{}.{}.svc.cluster.local", key.1, key.0), addresses);
    }
    Zone { names, outside }
}

/// What a line about a pod calls it.
#[must_use]
pub(crate) fn describe(plan: &PodPlan) -> String {
    let (namespace, name) = &plan.key;
    let what = match plan.role {
        Role::Sidecar => "",
        Role::Gateway => " (gateway)",
        Role::Plain => " (no sidecar)",
    };
    format!("{name}.{namespace}{what}")
}

//! From workloads to the pods that should run: what the Deployment controller and the sidecar injector do in a cluster.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::address::hash;
use crate::manifest::{Container, Key, Manifests, Workload};

#[cfg(test)]
mod tests;

/// The uid of Envoy in every pod, which the redirection lets pass (Istio's `proxyUID`).
pub(crate) const PROXY_UID: u32 = 1337;
/// The name of the only node.
pub(crate) const NODE_NAME: &str = "meltemi-demo";

/// How a pod takes part in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An application with a sidecar.
    Sidecar,
    /// A gateway: only a proxy (a container whose image is `auto`, as in Istio's gateway charts).
    Gateway,
    /// An application outside the mesh.
    Plain,
}

/// One pod that should run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodPlan {
    /// Namespace and name.
    pub key: Key,
    /// Its owner's kind, namespace and name.
    pub owner: (String, Key),
    /// Which template it comes from.
    pub revision: String,
    /// How it takes part.
    pub role: Role,
    /// Its labels, with those that the injector adds.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its service account.
    pub service_account: String,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Its spec as written.
    pub spec: Value,
}

/// All pods that the manifests ask for.
#[must_use]
pub(crate) fn pods(manifests: &Manifests) -> BTreeMap<Key, PodPlan> {
    let plans = manifests.workloads.values().flat_map(|workload| {
        let injection = manifests
            .declared_namespaces
            .get(&workload.key.0)
            .and_then(Option::as_deref);
        (0..workload.replicas).map(move |ordinal| plan(workload, ordinal, injection))
    });
    plans.map(|plan| (plan.key.clone(), plan)).collect()
}

fn plan(workload: &Workload, ordinal: u32, injection: Option<&str>) -> PodPlan {
    let (namespace, owner) = &workload.key;
    let template = json!({"labels": workload.labels, "annotations": workload.annotations, "spec": workload.spec}).to_string();
    let revision = letters(hash(&[&template]), 10);
    let name = match workload.kind.as_str() {
        "Pod" => owner.clone(),
        "StatefulSet" => format!("{owner}-{ordinal}"),
        _ => format!(
            "{owner}-{revision}-{}",
            letters(
                hash(&[namespace, owner, &revision, &ordinal.to_string()]),
                5
            )
        ),
    };
    let role = role(workload, injection);
    let mut labels = workload.labels.clone();
    if workload.kind != "Pod" {
        labels.insert("pod-template-hash".to_owned(), revision.clone());
    }
    if role != Role::Plain {
        // As the injector labels pods, except for `security.istio.io/tlsMode`: these proxies have no identity yet, and the
        // label would make their peers speak mTLS to them.
        let app = canonical_name(workload);
        let version = labels
            .get("version")
            .cloned()
            .unwrap_or_else(|| "latest".to_owned());
        labels
            .entry("service.istio.io/canonical-name".to_owned())
            .or_insert(app);
        labels
            .entry("service.istio.io/canonical-revision".to_owned())
            .or_insert(version);
    }
    PodPlan {
        key: (namespace.clone(), name),
        owner: (workload.kind.clone(), workload.key.clone()),
        revision,
        role,
        labels,
        annotations: workload.annotations.clone(),
        service_account: workload.service_account.clone(),
        containers: workload.containers.clone(),
        spec: workload.spec.clone(),
    }
}

fn canonical_name(workload: &Workload) -> String {
    let labels = ["app.kubernetes.io/name", "app"];
    labels
        .iter()
        .find_map(|label| workload.labels.get(*label))
        .unwrap_or(&workload.key.1)
        .clone()
}

/// Every pod of the demo has a sidecar unless its manifest says no: there is no namespace label to forget.
fn role(workload: &Workload, injection: Option<&str>) -> Role {
    if workload
        .containers
        .iter()
        .any(|container| container.image == "auto")
    {
        return Role::Gateway;
    }
    let asked = workload
        .labels
        .get("sidecar.istio.io/inject")
        .or_else(|| workload.annotations.get("sidecar.istio.io/inject"));
    let refused = match asked.map(String::as_str) {
        Some(answer) => answer == "false",
        None => injection == Some("disabled"),
    };
    if refused || workload.host_network {
        Role::Plain
    } else {
        Role::Sidecar
    }
}

/// A hash in the letters that Kubernetes uses for generated names: no vowels, nothing that looks like another.
fn letters(mut hash: u64, count: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let size = ALPHABET.len() as u64;
    let mut name = String::with_capacity(count);
    for _ in 0..count {
        name.push(char::from(
            ALPHABET[usize::try_from(hash % size).unwrap_or_default()],
        ));
        hash = (hash / size) ^ hash.rotate_left(29);
    }
    name
}

/// Node id of the proxy (Istio: `<type>~<ip>~<name>.<namespace>~<domain>`).
#[must_use]
pub(crate) fn node_id(plan: &PodPlan, address: Ipv4Addr) -> String {
    let kind = if plan.role == Role::Gateway {
        "router"
    } else {
        "sidecar"
    };
    let (namespace, name) = &plan.key;
    format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.cluster.local")
}

/// Node metadata as Istio's agent reports it, without what this pod has not: an Istio version and an identity.
#[must_use]
pub(crate) fn node_metadata(plan: &PodPlan, address: Ipv4Addr) -> Value {
    let (namespace, name) = &plan.key;
    let (kind, (_, owner)) = &plan.owner;
    let ports = plan
        .containers
        .iter()
        .flat_map(|container| &container.ports);
    let ports: Vec<Value> = ports
        .map(|port| json!({"containerPort": port.container_port, "protocol": "TCP"}))
        .collect();
    let apps: Vec<&str> = plan
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    let mut metadata = Map::new();
    let mut set = |key: &str, value: Value| metadata.insert(key.to_owned(), value);
    set("NAME", json!(name));
    set("NAMESPACE", json!(namespace));
    set("LABELS", json!(plan.labels));
    set("ANNOTATIONS", json!(plan.annotations));
    set("SERVICE_ACCOUNT", json!(plan.service_account));
    set("WORKLOAD_NAME", json!(owner));
    set(
        "OWNER",
        json!(format!(
            "kubernetes://apis/apps/v1/namespaces/{namespace}/{}s/{owner}",
            kind.to_ascii_lowercase()
        )),
    );
    set("CLUSTER_ID", json!("Kubernetes"));
    set("MESH_ID", json!("cluster.local"));
    set("INSTANCE_IPS", json!(address.to_string()));
    set("NODE_NAME", json!(NODE_NAME));
    set("PROXY_CONFIG", json!({}));
    if plan.role == Role::Gateway {
        set("UNPRIVILEGED_POD", json!("true"));
    } else {
        set("INTERCEPTION_MODE", json!("REDIRECT"));
        set("POD_PORTS", json!(Value::Array(ports).to_string()));
        set("APP_CONTAINERS", json!(apps.join(",")));
    }
    Value::Object(metadata)
}

//! Unmodified manifests, read as far as the demo must understand them: which pods there are, and which Services.
//!
//! Everything else goes to the control plane as it is written, so this module judges nothing that it does not need.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// `namespace/name`.
pub(crate) type Key = (String, String);

/// One YAML or JSON document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Whether a line that begins with `---` opens it. The first document of a file often has none.
    pub separated: bool,
    /// Its text, after the dashes of that line.
    pub text: String,
    /// What it says; nothing for an empty document or one that does not parse.
    pub value: Option<Value>,
    /// Why it does not parse.
    pub problem: Option<String>,
}

/// A container, as far as the stand-ins care.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// The image, which selects the stand-in.
    pub image: String,
    /// The command.
    pub command: Vec<String>,
    /// The arguments.
    pub args: Vec<String>,
    /// The declared ports.
    pub ports: Vec<ContainerPort>,
    /// The environment; only plain values count.
    pub env: Vec<EnvVar>,
    /// For `runAsUser`.
    pub security_context: SecurityContext,
}

/// A declared port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    /// Its number.
    pub container_port: u16,
}

/// A variable of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, when it is given in place.
    pub value: String,
}

/// As whom a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecurityContext {
    /// The user id.
    pub run_as_user: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    service_account_name: Option<String>,
    service_account: Option<String>,
    containers: Vec<Container>,
    host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    name: String,
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// What owns pods: a Deployment or its like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    /// Deployment, StatefulSet, DaemonSet, ReplicaSet or Pod.
    pub kind: String,
    /// Namespace and name.
    pub key: Key,
    /// How many pods.
    pub replicas: u32,
    /// The template's labels.
    pub labels: BTreeMap<String, String>,
    /// The template's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The service account, `default` without one.
    pub service_account: String,
    /// The containers.
    pub containers: Vec<Container>,
    /// Whether the pod asks for the node's network, which excludes a sidecar.
    pub host_network: bool,
    /// The pod spec as it is written.
    pub spec: Value,
}

/// A Service, as far as the demo must know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// Namespace and name.
    pub key: Key,
    /// The cluster IP as written; `None` when the cluster has to choose one.
    pub cluster_ip: Option<String>,
    /// For type ExternalName.
    pub external_name: Option<String>,
    /// The selector.
    pub selector: BTreeMap<String, String>,
}

/// Everything that a folder's manifests say to the demo.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Manifests {
    /// The owners of pods.
    pub workloads: BTreeMap<Key, Workload>,
    /// The Services.
    pub services: BTreeMap<Key, Service>,
    /// The hosts of ServiceEntries that have an address, as Istio's DNS proxy would answer them.
    pub(crate) entries: BTreeMap<String, Ipv4Addr>,
    /// Every namespace that some object is in.
    pub namespaces: BTreeSet<String>,
    /// The namespaces that have an object of their own, with the value of its injection label.
    pub declared_namespaces: BTreeMap<String, Option<String>>,
    /// What could not be read, in words for the user.
    pub problems: Vec<String>,
}

/// The manifest files of a folder, recursively, by their path in it.
pub(crate) fn read_folder(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    read_into(folder, Path::new(""), &mut files)?;
    Ok(files)
}

/// The documents of those files.
pub(crate) fn documents_in(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<Document>>> {
    Ok(read_folder(folder)?
        .into_iter()
        .map(|(path, text)| (path, documents(&text)))
        .collect())
}

fn read_into(folder: &Path, inside: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let entries = std::fs::read_dir(folder.join(inside))
        .with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let name = entry.file_name();
        // Editors keep their own files beside the user's, with a leading dot.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let path = inside.join(&name);
        if entry.path().is_dir() {
            read_into(folder, &path, files)?;
        } else if is_manifest(&path) {
            // A file may vanish between the listing and the reading: then it is not there.
            if let Ok(bytes) = std::fs::read(entry.path()) {
                files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// Cuts a file into documents. A line of `---` separates them (YAML 1.2, 9.1.2); no scalar can hold one at its first column.
#[must_use]
pub(crate) fn documents(text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut separated = false;
    let mut current = String::new();
    for line in text.split_inclusive('\n') {
        match line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            Some(rest) => {
                if separated || !current.is_empty() {
                    documents.push(document(separated, std::mem::take(&mut current)));
                }
                separated = true;
                current.push_str(rest);
            }
            None => current.push_str(line),
        }
    }
    if separated || !current.is_empty() {
        documents.push(document(separated, current));
    }
    documents
}

fn document(separated: bool, text: String) -> Document {
    match serde_yaml::from_str::<Value>(&text) {
        Ok(Value::Null) => Document {
            separated,
            text,
            value: None,
            problem: None,
        },
        Ok(value) => Document {
            separated,
            text,
            value: Some(value),
            problem: None,
        },
        Err(error) => Document {
            separated,
            text,
            value: None,
            problem: Some(error.to_string()),
        },
    }
}

/// Reads every document of every file. `earlier` has each file's last good reading, which stands in for a file that does
/// not parse at the moment: a slip of the pen must not stop pods.
pub(crate) fn read(
    files: &BTreeMap<PathBuf, Vec<Document>>,
    earlier: &mut BTreeMap<PathBuf, Manifests>,
) -> Manifests {
    let mut all = Manifests::default();
    earlier.retain(|path, _| files.contains_key(path));
    for (path, documents) in files {
        let mut read = Manifests::default();
        for document in documents {
            if let Some(problem) = &document.problem {
                read.problems.push(format!("{}: {problem}", path.display()));
            }
            if let Some(value) = &document.value {
                read_object(path, value, &mut read);
            }
        }
        let problems = std::mem::take(&mut read.problems);
        if problems.is_empty() || !earlier.contains_key(path) {
            earlier.insert(path.clone(), read);
        }
        all.problems.extend(problems);
        if let Some(good) = earlier.get(path) {
            all.workloads.extend(good.workloads.clone());
            all.services.extend(good.services.clone());
            all.entries.extend(good.entries.clone());
            all.namespaces.extend(good.namespaces.clone());
            all.declared_namespaces
                .extend(good.declared_namespaces.clone());
        }
    }
    all
}

fn read_object(path: &Path, value: &Value, into: &mut Manifests) {
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind == "List" {
        for item in value["items"].as_array().into_iter().flatten() {
            read_object(path, item, into);
        }
        return;
    }
    let meta: Meta = match serde_json::from_value(value["metadata"].clone()) {
        Ok(meta) => meta,
        Err(error) => {
            return into
                .problems
                .push(format!("{}: {kind}: metadata: {error}", path.display()));
        }
    };
    if kind == "Namespace" {
        let label = meta.labels.get("istio-injection").cloned();
        into.declared_namespaces.insert(meta.name.clone(), label);
        into.namespaces.insert(meta.name);
        return;
    }
    let namespace = meta
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    if kind != "Node" {
        into.namespaces.insert(namespace.clone());
    }
    let key = (namespace, meta.name.clone());
    match kind {
        "Service" => {
            into.services.insert(key.clone(), service(key, value));
        }
        "ServiceEntry" => {
            let address = value["spec"]["addresses"][0]
                .as_str()
                .and_then(|address| address.parse().ok());
            let hosts = value["spec"]["hosts"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            into.entries
                .extend(hosts.filter_map(|host| Some((host.to_ascii_lowercase(), address?))));
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" => {
            match workload(kind, key, &meta, value) {
                Ok(workload) => {
                    into.workloads.insert(workload.key.clone(), workload);
                }
                Err(error) => into.problems.push(format!(
                    "{}: {kind} {}: {error:#}",
                    path.display(),
                    meta.name
                )),
            }
        }
        _ => {}
    }
}

/// Whether the demo plays this object itself, so that the control plane reads pods instead of it.
#[must_use]
pub(crate) fn owns_pods(value: &Value) -> bool {
    let kind = value["kind"].as_str().unwrap_or_default();
    matches!(
        kind,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod"
    )
}

fn service(key: Key, value: &Value) -> Service {
    let spec = &value["spec"];
    let text = |field: &str| {
        spec[field]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let selector = spec["selector"].as_object().into_iter().flatten();
    Service {
        key,
        cluster_ip: text("clusterIP"),
        external_name: text("externalName"),
        selector: selector
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
    }
}

fn workload(kind: &str, key: Key, meta: &Meta, value: &Value) -> Result<Workload> {
    let (template_meta, spec) = if kind == "Pod" {
        (meta.clone(), value["spec"].clone())
    } else {
        let template = &value["spec"]["template"];
        let labels = serde_json::from_value(template["metadata"].clone()).unwrap_or_default();
        (labels, template["spec"].clone())
    };
    let typed: PodSpec = serde_json::from_value(spec.clone()).context("spec")?;
    let replicas = match (&value["spec"]["replicas"], kind) {
        (Value::Null, _) | (_, "Pod" | "DaemonSet") => 1,
        (number, _) => u32::try_from(number.as_u64().context("replicas is not a number")?)
            .context("replicas")?,
    };
    Ok(Workload {
        kind: kind.to_owned(),
        key,
        replicas,
        labels: template_meta.labels,
        annotations: template_meta.annotations,
        service_account: typed
            .service_account_name
            .or(typed.service_account)
            .unwrap_or_else(|| "default".to_owned()),
        containers: typed.containers,
        host_network: typed.host_network,
        spec,
    })
}

//! Injection into resources in files, as `istioctl kube-inject` does it without a cluster (1.31: IntoResourceFile): the template of a
//! workload is injected under the workload's own name; what has no pods passes through unchanged.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::Config;
use crate::decision::{self, Policy};
use crate::inject::{self, InjectError, NO_ALIASES, NO_ANNOTATIONS, Settings, Subject};
use crate::mesh;
use crate::native::detected;
use crate::normalize::{Scalars, normalized};
use crate::owner::{self, Workload};
use crate::types::KUBERNETES;
use crate::webhook::Surroundings;
use crate::{pod, yaml};

/// The injected text and what the user should know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Injected {
    /// YAML documents, each followed by a line `---`.
    pub text: String,
    /// Why resources were skipped.
    pub warnings: Vec<String>,
}

/// Why a text cannot be injected.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {object}{problem}")]
pub struct ResourceError {
    /// The line of the document, or within it; from 1.
    pub line: usize,
    /// `Kind "namespace/name": `, if it could be read.
    pub object: String,
    /// What is wrong.
    pub problem: String,
}

/// The kinds that hold pods, and where in them the pod's metadata and its spec are. As with istioctl the kind alone decides, so that old
/// API versions are taken, too; and a cron job's labels and annotations go to its jobs, not to their pods.
const KINDS: [(&str, &str, &str); 9] = [
    ("Deployment", "/spec/template", "/spec/template"),
    ("DaemonSet", "/spec/template", "/spec/template"),
    ("StatefulSet", "/spec/template", "/spec/template"),
    ("ReplicaSet", "/spec/template", "/spec/template"),
    ("Job", "/spec/template", "/spec/template"),
    (
        "CronJob",
        "/spec/jobTemplate",
        "/spec/jobTemplate/spec/template",
    ),
    ("ReplicationController", "/spec/template", "/spec/template"),
    ("DeploymentConfig", "/spec/template", "/spec/template"),
    ("Pod", "", ""),
];

/// The text with everything in it injected that holds pods.
///
/// # Errors
/// The first document that cannot be read or injected.
pub fn into_resource(
    settings: &Settings,
    surroundings: &Surroundings,
    text: &str,
) -> Result<Injected, ResourceError> {
    let mut out = Injected::default();
    for chunk in yaml::documents(text) {
        if chunk.text.trim().is_empty() {
            continue;
        }
        let value = yaml::read(chunk.text).map_err(|error| ResourceError {
            line: chunk.line + error.line.saturating_sub(1),
            object: String::new(),
            problem: error.message,
        })?;
        let mut warn = |warning| out.warnings.push(warning);
        let injected =
            object(settings, surroundings, &value, &mut warn).map_err(|problem| ResourceError {
                line: chunk.line,
                object: format!("{}: ", title(&value)),
                problem,
            })?;
        match injected {
            Some(injected) => {
                let text = yaml::write(&injected).map_err(|problem| ResourceError {
                    line: chunk.line,
                    object: String::new(),
                    problem,
                })?;
                out.text.push_str(&text);
            }
            None => {
                out.text.push_str(chunk.text);
                if !chunk.text.ends_with('\n') {
                    out.text.push('\n');
                }
            }
        }
        out.text.push_str("---\n");
    }
    Ok(out)
}

fn title(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or("object");
    let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default();
    let (ns, name) = (text("namespace"), text("name"));
    match (ns, name) {
        ("", name) => format!("{kind} {name:?}"),
        (ns, name) => format!("{kind} \"{ns}/{name}\""),
    }
}

/// The injected object in its typed form; nothing if it holds no pods.
fn object(
    settings: &Settings,
    surroundings: &Surroundings,
    value: &Value,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Value>, String> {
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind == "List" {
        let mut list = value.clone();
        for item in list["items"].as_array_mut().into_iter().flatten() {
            if let Some(injected) = object(settings, surroundings, item, warn)? {
                *item = injected;
            }
        }
        // A list that was read typed has its metadata.
        if list["metadata"].is_null() {
            list["metadata"] = json!({});
        }
        return Ok(Some(list));
    }
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    let Some((name, metadata_at, template_at)) = known else {
        return Ok(None);
    };
    let mut typed = normalized(&KUBERNETES, &KUBERNETES.named(name), value, Scalars::Yaml)?;
    if typed.pointer(metadata_at).is_none_or(Value::is_null) {
        return Err("spec.template is required value".to_owned());
    }
    let part = |pointer: &str, key: &str| {
        let parent = typed.pointer(pointer).unwrap_or(&Value::Null);
        parent.get(key).cloned().unwrap_or_else(inject::empty)
    };
    let pod = json!({"metadata": part(metadata_at, "metadata"), "spec": part(template_at, "spec")});
    let Some(injected) = pod_of(settings, surroundings, &typed, &pod, warn)? else {
        return Ok(Some(typed));
    };
    for (pointer, key) in [(metadata_at, "metadata"), (template_at, "spec")] {
        if let Some(parent) = typed.pointer_mut(pointer) {
            parent[key] = injected[key].clone();
        }
    }
    Ok(Some(typed))
}

/// The injected pod of a resource; nothing if it is skipped.
fn pod_of(
    settings: &Settings,
    surroundings: &Surroundings,
    resource: &Value,
    pod: &Value,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Value>, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&resource["kind"]);
    let workload = if kind == "Pod" {
        owner::workload(pod)
    } else {
        Workload {
            name: text(&resource["metadata"]["name"]),
            namespace: text(&resource["metadata"]["namespace"]),
            api_version: text(&resource["apiVersion"]),
            kind,
        }
    };
    let own_name = text(&pod["metadata"]["name"]);
    let name = if own_name.is_empty() {
        workload.name.clone()
    } else {
        own_name
    };
    let name = if workload.namespace.is_empty() {
        name
    } else {
        format!("{}/{name}", workload.namespace)
    };
    let kind = &workload.kind;
    if pod["spec"]["hostNetwork"] == Value::Bool(true) {
        warn(format!(
            "===> Skipping injection because {kind} {name:?} has host networking enabled\n"
        ));
        return Ok(None);
    }
    let policy = Config {
        policy: Policy::Enabled,
        ..Config::default()
    };
    if !decision::required(&policy, pod) {
        warn(format!(
            "===> Skipping injection because {kind} {name:?} has sidecar injection disabled\n"
        ));
        return Ok(None);
    }
    let mut proxy_config = settings.mesh.default_config();
    if let Some(text) = pod::annotation(pod, pod::PROXY_CONFIG) {
        proxy_config = mesh::annotated_proxy_config(text, proxy_config)?;
    }
    let pod = inject::typed(pod, Scalars::Json).map_err(|error| error.to_string())?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let default_templates = ["sidecar".to_owned()];
    let subject = Subject {
        pod: &pod,
        workload,
        proxy_config,
        default_templates: &default_templates,
        aliases: &NO_ALIASES,
        injected_annotations: &NO_ANNOTATIONS,
        revision: &settings.revision,
        native: detected(surroundings.native_sidecars, &surroundings.nodes, node),
        namespace: None,
        environment: BTreeMap::new(),
    };
    inject::injected(settings, subject)
        .map(Some)
        .map_err(|error: InjectError| error.to_string())
}

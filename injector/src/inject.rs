//! One pod through the whole of injection. The order of the steps is Istio's (1.31: injectPod): render, merge, the user's own containers,
//! cluster and network, metrics, probes, metadata, order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError, Values};
use crate::functions::Environment;
use crate::mesh::{MeshConfig, ProxyConfig};
use crate::normalize::{Scalars, normalized};
use crate::object::{Record, kubernetes, message};
use crate::owner::Workload;
use crate::template::{self, Value as Seen};
use crate::types::KUBERNETES;
use crate::{
    annotations, image, merge, openshift, order, overrides, pod, probes, prometheus, status, yaml,
};

/// Why a pod cannot be injected. It is refused then.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// Annotations of the pod are wrong.
    #[error("failed to run injection template: {0}")]
    Annotations(String),
    /// A template that the pod or the configuration names does not exist.
    #[error(
        "failed to run injection template: requested template {name:?} not found; have {known}"
    )]
    UnknownTemplate {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// A template failed.
    #[error("failed to run injection template: {0}")]
    Template(#[from] template::Error),
    /// What a template made is no YAML, or does not fit a pod.
    #[error(
        "failed to run injection template: failed parsing generated injected YAML (check Istio sidecar injector configuration): template {name:?}: {problem}"
    )]
    Rendered {
        /// The template.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The annotation `proxy.istio.io/overrides` cannot be read.
    #[error("failed to re apply container: the annotation proxy.istio.io/overrides: {0}")]
    Overrides(String),
    /// A container of the user's does not fit on top of the injected one.
    #[error("failed to re apply container: failed to apply sidecar container: {0}")]
    Override(String),
    /// The metrics of the pod cannot be merged.
    #[error("failed to process pod: {0}")]
    Prometheus(String),
    /// The annotation `proxy.istio.io/config` cannot be read.
    #[error("failed to process pod: {0}")]
    ProxyConfig(String),
    /// The pod is no pod.
    #[error("{0}")]
    Pod(String),
}

/// All that shapes injection but the pod.
#[derive(Debug)]
pub struct Settings {
    /// The key `config` of the injector's ConfigMap.
    pub config: Config,
    /// Its key `values`.
    pub values: Values,
    /// The mesh config.
    pub mesh: MeshConfig,
    /// The control plane's revision.
    pub revision: String,
    /// `COMPLIANCE_POLICY`, such as `fips-140-3`; empty: none.
    pub compliance_policy: String,
}

impl Settings {
    /// Settings from the texts of the ConfigMap's keys.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(
        config: &str,
        values: &str,
        mesh: MeshConfig,
        environment: &Environment,
    ) -> Result<Settings, ConfigError> {
        Ok(Settings {
            config: Config::parse(config, environment)?,
            values: Values::parse(values)?,
            mesh,
            revision: "default".to_owned(),
            compliance_policy: environment
                .get("COMPLIANCE_POLICY")
                .cloned()
                .unwrap_or_default(),
        })
    }
}

/// A pod and what is known about it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The pod in its typed form.
    pub(crate) pod: &'a Value,
    /// What it belongs to.
    pub(crate) workload: Workload,
    /// Its proxy config.
    pub(crate) proxy_config: ProxyConfig,
    /// The templates that it gets if it names none.
    pub(crate) default_templates: &'a [String],
    /// Names that stand for several templates.
    pub(crate) aliases: &'a BTreeMap<String, Vec<String>>,
    /// Annotations that every pod gets.
    pub(crate) injected_annotations: &'a BTreeMap<String, String>,
    /// The revision to tell.
    pub(crate) revision: &'a str,
    /// Whether the proxy is a native sidecar.
    pub(crate) native: bool,
    /// The annotations of the namespace where its user ids count.
    pub(crate) namespace: Option<&'a Value>,
    /// The proxy's environment from the webhook's path.
    pub(crate) environment: BTreeMap<String, String>,
}

const CLUSTER: &str = "ISTIO_META_CLUSTER_ID";
const NETWORK: &str = "ISTIO_META_NETWORK";

/// The pod in its typed form: what Go makes of it. Managed fields are gone, they can be large and nobody reads them.
///
/// # Errors
/// What does not fit a pod.
pub(crate) fn typed(pod: &Value, scalars: Scalars) -> Result<Value, InjectError> {
    let mut typed = normalized(&KUBERNETES, &KUBERNETES.named("Pod"), pod, scalars)
        .map_err(InjectError::Pod)?;
    if let Some(metadata) = typed.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    Ok(typed)
}

/// The injected pod in its typed form.
///
/// # Errors
/// Why it is refused.
pub(crate) fn injected(
    settings: &Settings,
    mut subject: Subject<'_>,
) -> Result<Value, InjectError> {
    let original = subject.pod;
    let policy = original["spec"]["dnsPolicy"].as_str().unwrap_or_default();
    if !matches!(policy, "" | "ClusterFirst") {
        tracing::warn!(
            pod = %pod::potential_name(original),
            policy,
            "the DNS policy is not ClusterFirst; the proxy may not find the control plane"
        );
    }
    annotations::validated(original).map_err(InjectError::Annotations)?;
    cluster_and_network(settings, &mut subject);
    let (merged, template_pod) = rendered(settings, &subject)?;
    let mut pod = overrides::reapplied(merged, original, &template_pod, &subject.proxy_config)?;

    set_environment(&mut pod, &subject.environment);
    prometheus::merge(&mut pod, &settings.mesh)?;
    prometheus::secure_port(&mut pod);
    probes::rewrite(&mut pod, &settings.mesh, &settings.values);
    if let Some(network) = subject.environment.get(NETWORK) {
        pod::set_label(&mut pod, pod::NETWORK_LABEL, network);
    }
    pod::annotate(
        &mut pod,
        pod::STATUS,
        &status::text(&template_pod, subject.revision),
    );
    for (name, value) in subject.injected_annotations {
        pod::annotate(&mut pod, name, value);
    }
    order::reorder(&mut pod, original, &settings.mesh, &settings.values)?;
    typed(&pod, Scalars::Json)
}

/// The cluster and the network: from the values, the webhook's path, the network last from the pod's label.
fn cluster_and_network(settings: &Settings, subject: &mut Subject<'_>) {
    let label = pod::label(subject.pod, pod::NETWORK_LABEL);
    for (name, value, label) in [
        (
            CLUSTER,
            settings.values.text("/global/multiCluster/clusterName"),
            None,
        ),
        (NETWORK, settings.values.text("/global/network"), label),
    ] {
        let given = subject
            .environment
            .get(name)
            .filter(|given| !given.is_empty());
        let found = label
            .map(str::to_owned)
            .or_else(|| given.cloned())
            .unwrap_or_else(|| value.to_owned());
        if !found.is_empty() {
            subject.environment.insert(name.to_owned(), found);
        }
    }
}

/// The pod merged with all templates, and the templates alone.
fn rendered(settings: &Settings, subject: &Subject<'_>) -> Result<(Value, Value), InjectError> {
    let stripped =
        overrides::reinserted(status::stripped(subject.pod, settings.mesh.status_port()))?;
    let data = data(settings, subject, &stripped);
    let mut merged = subject.pod.clone();
    let mut template_pod = typed(&json!({}), Scalars::Json)?;
    for name in templates(subject) {
        let Some(template) = settings.config.templates.get(&name) else {
            let known: Vec<&str> = settings
                .config
                .templates
                .keys()
                .map(String::as_str)
                .collect();
            return Err(InjectError::UnknownTemplate {
                name,
                known: known.join(", "),
            });
        };
        let text = template.execute(&data)?;
        let mistake = |problem: String| InjectError::Rendered {
            name: name.clone(),
            problem,
        };
        let patch = yaml::read(&text).map_err(|error| mistake(told(&error, &text)))?;
        if !patch.is_object() && !patch.is_null() {
            return Err(mistake("it is no map".to_owned()));
        }
        let apply = |onto: &Value| -> Result<Value, InjectError> {
            let kind = KUBERNETES.named("Pod");
            let merged = merge::merged(&KUBERNETES, &kind, onto, &patch)
                .map_err(|error| mistake(format!("strategic merge: {error}")))?;
            normalized(&KUBERNETES, &kind, &merged, Scalars::Json)
                .map_err(|error| mistake(format!("unmarshal patched pod: {error}")))
        };
        template_pod = apply(&template_pod)?;
        move_to_native(&mut merged, &template_pod, subject.native);
        merged = apply(&merged)?;
    }
    Ok((merged, template_pod))
}

/// A mistake in what a template made, with the line itself: its number alone says nothing about the template.
fn told(error: &yaml::YamlError, text: &str) -> String {
    match text.lines().nth(error.line.saturating_sub(1)) {
        Some(line) => format!("{error} (in the line {:?})", line.trim()),
        None => error.to_string(),
    }
}

/// The names of the templates, aliases expanded once.
fn templates(subject: &Subject<'_>) -> Vec<String> {
    let named = pod::annotation(subject.pod, pod::TEMPLATES);
    let names: Vec<String> = match named {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        None => subject.default_templates.to_vec(),
    };
    let expand = |name: String| match subject.aliases.get(&name) {
        Some(names) => names.clone(),
        None => vec![name],
    };
    names.into_iter().flat_map(expand).collect()
}

/// Users write their changes of the proxy under `containers`; a native sidecar is an init container, so that they must move there.
fn move_to_native(merged: &mut Value, template_pod: &Value, native: bool) {
    let native = match pod::annotation(merged, pod::NATIVE_SIDECAR) {
        Some("true") => true,
        Some("false") => false,
        _ => native,
    };
    let injected = pod::containers(template_pod, pod::INIT_CONTAINERS);
    if !native || pod::container(injected, pod::PROXY).is_none() {
        return;
    }
    let containers = pod::containers(merged, pod::CONTAINERS);
    let Some(at) = containers.iter().position(|c| pod::name(c) == pod::PROXY) else {
        return;
    };
    let container = pod::containers_mut(merged, pod::CONTAINERS).remove(at);
    pod::containers_mut(merged, pod::INIT_CONTAINERS).push(container);
}

/// Sets variables of the proxy: those of the same names go, the new ones follow in order.
fn set_environment(pod: &mut Value, environment: &BTreeMap<String, String>) {
    if environment.is_empty() {
        return;
    }
    let Some(sidecar) = pod::any_container_mut(pod, pod::PROXY) else {
        return;
    };
    if let Some(env) = sidecar.get_mut("env").and_then(Value::as_array_mut) {
        env.retain(|variable| !environment.contains_key(pod::name(variable)));
    }
    for (name, value) in environment {
        pod::push_env(sidecar, name, value);
    }
}

/// What templates see.
fn data(settings: &Settings, subject: &Subject<'_>, stripped: &Value) -> Seen {
    let workload = &subject.workload;
    let (uid, gid) = openshift::proxy_ids(subject.namespace);
    let text = |text: &str| Seen::from(text);
    let names = Record {
        name: "types.NamespacedName",
        fields: vec![
            ("Namespace", text(&workload.namespace)),
            ("Name", text(&workload.name)),
        ],
    };
    let kind = json!({"kind": workload.kind, "apiVersion": workload.api_version});
    let config = &subject.proxy_config;
    let fields = vec![
        ("TypeMeta", kubernetes("TypeMeta", Some(kind))),
        ("DeploymentMeta", Seen::object(names)),
        (
            "ObjectMeta",
            kubernetes("ObjectMeta", Some(stripped["metadata"].clone())),
        ),
        (
            "Spec",
            kubernetes("PodSpec", Some(stripped["spec"].clone())),
        ),
        (
            "ProxyConfig",
            message("ProxyConfig", Some(Value::Object(config.clone()))),
        ),
        (
            "MeshConfig",
            message("MeshConfig", Some(Value::Object(settings.mesh.0.clone()))),
        ),
        // A template may change what it sees; the next pod must not feel it.
        ("Values", settings.values.seen.deep_copy()),
        ("Revision", text(subject.revision)),
        ("NativeSidecars", Seen::Bool(subject.native)),
        (
            "ProxyImage",
            Seen::from(image::proxy(&settings.values, config, stripped)),
        ),
        (
            "ProxyInitImage",
            Seen::from(image::init(&settings.values, stripped)),
        ),
        ("ProxyUID", Seen::Int64(uid)),
        ("ProxyGID", Seen::Int64(gid)),
        (
            "InboundTrafficPolicyMode",
            text(settings.mesh.inbound_traffic_policy()),
        ),
        ("CompliancePolicy", text(&settings.compliance_policy)),
    ];
    Seen::object(Record {
        name: "inject.SidecarTemplateData",
        fields,
    })
}

/// A JSON patch (RFC 6902) that makes the injected pod of the pod that the API server has. `original` is the latter's typed form.
pub(crate) fn patch(actual: &Value, original: &Value, injected: &Value) -> Value {
    let minimal = json_patch::diff(original, injected);
    // The server's object may lack what the typed form has, such as empty maps: then the difference to that very object is told.
    let mut known = actual.clone();
    if let Some(metadata) = known.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
        // The server knows the namespace; it is no part of the patch.
        if let Some(ns) = injected["metadata"].get("namespace") {
            metadata.insert("namespace".to_owned(), ns.clone());
        }
    }
    let mut applied = known.clone();
    let works = json_patch::patch(&mut applied, &minimal).is_ok()
        && typed(&applied, Scalars::Json).is_ok_and(|applied| applied == *injected);
    let patch = if works {
        minimal
    } else {
        json_patch::diff(&known, injected)
    };
    serde_json::to_value(patch).unwrap_or(Value::Array(Vec::new()))
}

/// No settings of the configuration's: what kube-inject takes where there is none.
pub(crate) static NO_ALIASES: BTreeMap<String, Vec<String>> = BTreeMap::new();
pub(crate) static NO_ANNOTATIONS: BTreeMap<String, String> = BTreeMap::new();

/// An empty JSON map.
pub(crate) fn empty() -> Value {
    Value::Object(Map::new())
}

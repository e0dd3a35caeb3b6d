//! Looking into pods that are JSON values, and the names that injection deals in.

use serde_json::Value;

use crate::json::map_at;

/// The proxy's container.
pub(crate) const PROXY: &str = "istio-proxy";
/// The init container that checks what the CNI plugin did.
pub(crate) const VALIDATION: &str = "istio-validation";
/// The init container that sets iptables up.
pub(crate) const INIT: &str = "istio-init";
/// The init container that allows core dumps.
pub(crate) const CORE_DUMP: &str = "enable-core-dump";
/// The image of a container that only customises an injected one.
pub(crate) const AUTO_IMAGE: &str = "auto";

pub(crate) const CONTAINERS: &str = "containers";
pub(crate) const INIT_CONTAINERS: &str = "initContainers";

pub(crate) const STATUS: &str = "sidecar.istio.io/status";
pub(crate) const OVERRIDES: &str = "proxy.istio.io/overrides";
pub(crate) const PROXY_CONFIG: &str = "proxy.istio.io/config";
pub(crate) const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
pub(crate) const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
pub(crate) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(crate) const INJECT: &str = "sidecar.istio.io/inject";
pub(crate) const TEMPLATES: &str = "inject.istio.io/templates";
pub(crate) const NETWORK_LABEL: &str = "topology.istio.io/network";

/// An annotation of a pod.
pub(crate) fn annotation<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod["metadata"]["annotations"].get(name)?.as_str()
}

/// A label of a pod.
pub(crate) fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod["metadata"]["labels"].get(name)?.as_str()
}

/// Sets an annotation.
pub(crate) fn annotate(pod: &mut Value, name: &str, value: &str) {
    map_at(map_at_value(pod, "metadata"), "annotations").insert(name.to_owned(), value.into());
}

/// Sets a label.
pub(crate) fn set_label(pod: &mut Value, name: &str, value: &str) {
    map_at(map_at_value(pod, "metadata"), "labels").insert(name.to_owned(), value.into());
}

/// Removes an annotation.
pub(crate) fn remove_annotation(pod: &mut Value, name: &str) {
    if let Some(annotations) = pod
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.shift_remove(name);
    }
}

/// The value at a key, made a map if it is none.
pub(crate) fn map_at_value<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    map_at(object, key);
    &mut object[key]
}

/// The annotations in the order of their names.
pub(crate) fn annotations(pod: &Value) -> Vec<(&str, &str)> {
    let mut all: Vec<(&str, &str)> = pod["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    all.sort_unstable();
    all
}

/// The containers of a list (`containers`, `initContainers`) of a pod.
pub(crate) fn containers<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    pod["spec"][list].as_array().map_or(&[], Vec::as_slice)
}

/// The same to change; made if it is not there.
pub(crate) fn containers_mut<'a>(pod: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    let spec = map_at(pod, "spec");
    let at = spec.entry(list).or_insert(Value::Null);
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    at.as_array_mut().expect("a list was made above")
}

/// The name of a container, volume and the like.
pub(crate) fn name(item: &Value) -> &str {
    item["name"].as_str().unwrap_or_default()
}

/// A container by its name.
pub(crate) fn container<'a>(containers: &'a [Value], wanted: &str) -> Option<&'a Value> {
    containers.iter().find(|c| name(c) == wanted)
}

/// A container by its name among the containers, then the init containers.
pub(crate) fn any_container<'a>(pod: &'a Value, wanted: &str) -> Option<&'a Value> {
    container(containers(pod, CONTAINERS), wanted)
        .or_else(|| container(containers(pod, INIT_CONTAINERS), wanted))
}

/// The same to change.
pub(crate) fn any_container_mut<'a>(pod: &'a mut Value, wanted: &str) -> Option<&'a mut Value> {
    let list = [CONTAINERS, INIT_CONTAINERS]
        .into_iter()
        .find(|list| container(containers(pod, list), wanted).is_some())?;
    containers_mut(pod, list)
        .iter_mut()
        .find(|c| name(c) == wanted)
}

/// Appends an environment variable.
pub(crate) fn push_env(container: &mut Value, name: &str, value: &str) {
    let variable = serde_json::json!({"name": name, "value": value});
    match container.get_mut("env") {
        Some(Value::Array(env)) => env.push(variable),
        _ => container["env"] = Value::Array(vec![variable]),
    }
}

/// What to call a pod in messages: its name, or that it has none yet.
pub(crate) fn potential_name(pod: &Value) -> String {
    let metadata = &pod["metadata"];
    match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(prefix)) if !prefix.is_empty() => {
            format!("{prefix}***** (actual name not yet known)")
        }
        _ => String::new(),
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

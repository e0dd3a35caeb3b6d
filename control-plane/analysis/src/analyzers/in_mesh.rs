//! Which workloads have a proxy.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::{list, map, text};
use crate::{Input, Kind, Object};

/// The container with the proxy.
pub(super) const PROXY: &str = "istio-proxy";

const INJECT: &str = "sidecar.istio.io/inject";

/// Whether it belongs to the control plane.
pub(super) fn is_control_plane(object: &Object) -> bool {
    object.label("istio").is_some() || object.label("release") == Some("istio")
}

/// Containers and init containers of a pod's spec: a native sidecar is among the latter.
pub(super) fn all_containers(spec: &Value) -> impl Iterator<Item = &Value> {
    let containers = list(spec, "/containers").iter();
    containers.chain(list(spec, "/initContainers"))
}

/// Whether a pod has a sidecar, or would get one.
pub(super) fn pod(input: &Input<'_>, pod: &Object) -> bool {
    let spec = pod.value.pointer("/spec").unwrap_or(&Value::Null);
    let has_proxy = has_proxy(all_containers(spec));
    let (labels, annotations) = (pod.labels(), pod.annotations());
    has_proxy || is_injected(input, &pod.namespace, &labels, &annotations)
}

/// Whether the pods of a Deployment have a sidecar, or would get one.
pub(super) fn deployment(input: &Input<'_>, deployment: &Object) -> bool {
    let template = "/spec/template/metadata";
    let labels = map(&deployment.value, &format!("{template}/labels"));
    let annotations = map(&deployment.value, &format!("{template}/annotations"));
    has_proxy(deployment.list("/spec/template/spec/containers").iter())
        || is_injected(input, &deployment.namespace, &labels, &annotations)
}

fn has_proxy<'v>(mut containers: impl Iterator<Item = &'v Value>) -> bool {
    let proxy = containers.find(|container| text(container, "/name") == PROXY);
    proxy.is_some_and(|proxy| !text(proxy, "/image").is_empty())
}

fn is_injected(
    input: &Input<'_>,
    namespace: &str,
    labels: &BTreeMap<&str, &str>,
    annotations: &BTreeMap<&str, &str>,
) -> bool {
    match labels.get(INJECT).or_else(|| annotations.get(INJECT)) {
        Some(wanted) => *wanted == "true",
        None => input
            .find(Kind::Namespace, "", namespace)
            .is_some_and(|namespace| namespace.label("istio-injection") == Some("enabled")),
    }
}

/// Whether a pod is in the mesh without a sidecar.
pub(super) fn is_ambient_pod(pod: &Object) -> bool {
    pod.annotation("ambient.istio.io/redirection") == Some("enabled")
}

/// Whether the pods of a namespace are in the mesh without sidecars.
pub(super) fn is_ambient_namespace(namespace: &Object) -> bool {
    let has_sidecars = namespace.label("istio-injection") == Some("enabled")
        || namespace
            .label("istio.io/rev")
            .is_some_and(|rev| !rev.is_empty());
    !has_sidecars && namespace.label("istio.io/dataplane-mode") == Some("ambient")
}

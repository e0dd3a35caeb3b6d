//! Namespaces and pods that are not in the mesh, maybe by mistake.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::analyze::Found;
use crate::message::{listed, types};
use crate::object::text;
use crate::{Input, Kind, Object};

use super::image::values;
use super::in_mesh::{PROXY, all_containers};

const INJECTION: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const MODE: &str = "istio.io/dataplane-mode";
const INJECT: &str = "sidecar.istio.io/inject";

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut injected = BTreeSet::new();
    // Istio 1.31: what one revision's ConfigMap says holds on for namespaces of revisions without any.
    let mut is_default = false;
    for namespace in input.of(Kind::Namespace) {
        if namespace.name == "istio-system" {
            continue;
        }
        let injection = namespace.label(INJECTION);
        let revision = namespace.label(REVISION);
        too_many_labels(namespace, found);
        if namespace.label(MODE) == Some("ambient") {
            continue;
        }
        let map = injector_map(revision.unwrap_or(""));
        let mut maps = input.of(Kind::ConfigMap);
        if let Some(map) = maps.find(|object| object.name == map) {
            let path = "/sidecarInjectorWebhook/enableNamespacesByDefault";
            is_default = values(map).pointer(path) == Some(&Value::Bool(true));
        }
        match injection.unwrap_or("") {
            "" if revision.is_none() && is_default => {
                found.add(
                    &types::NAMESPACE_INJECTION_ENABLED_BY_DEFAULT,
                    namespace,
                    "",
                    &[],
                );
            }
            "" if revision.is_none() => {
                let name = &namespace.name;
                let kind = &types::NAMESPACE_NOT_INJECTED;
                found.add(kind, namespace, "metadata.name", &[name, name]);
            }
            "enabled" => {
                injected.insert(namespace.name.as_str());
            }
            _ => {}
        }
    }
    for pod in input.of(Kind::Pod) {
        if injected.contains(&*pod.namespace) && lacks_proxy(pod) {
            found.add(&types::POD_MISSING_PROXY, pod, "", &[&pod.full_name()]);
        }
    }
}

fn too_many_labels<'a>(namespace: &'a Object, found: &mut Found<'a>) {
    let injection = namespace.label(INJECTION);
    let is_off = injection.is_some_and(|value| value != "enabled");
    let mut labels: Vec<_> = injection
        .iter()
        .map(|value| format!("{INJECTION}={value}"))
        .collect();
    for name in [REVISION, MODE] {
        if let Some(value) = namespace.label(name)
            && !is_off
        {
            labels.push(format!("{name}={value}"));
        }
    }
    if labels.len() > 1 {
        let kind = &types::NAMESPACE_MULTIPLE_INJECTION_LABELS;
        found.add(kind, namespace, "", &[&listed(labels)]);
    }
}

fn lacks_proxy(pod: &Object) -> bool {
    let wanted = pod.label(INJECT).or_else(|| pod.annotation(INJECT));
    let is_refused = wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case("false"));
    let spec = pod.value.pointer("/spec").unwrap_or(&Value::Null);
    let is_on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    let proxy = all_containers(spec).find(|container| text(container, "/name") == PROXY);
    let image = proxy.map_or("", |proxy| text(proxy, "/image"));
    !is_refused && !is_on_host && image.is_empty()
}

/// The ConfigMap of a revision's injector.
pub(super) fn injector_map(revision: &str) -> String {
    match revision {
        "" | "default" => "istio-sidecar-injector".to_owned(),
        revision => format!("istio-sidecar-injector-{revision}"),
    }
}

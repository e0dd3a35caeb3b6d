//! Proxies that are not those that would be injected.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analyze::Found;
use crate::labels::selects;
use crate::message::{listed, types};
use crate::object::{has, map, text};
use crate::{Input, Kind, Object};

use super::in_mesh::{PROXY, all_containers};
use super::injection::injector_map;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let images: BTreeMap<&str, String> = input
        .of(Kind::ConfigMap)
        .filter(|object| object.name.starts_with("istio-sidecar-injector"))
        .map(|object| (object.name.as_str(), injected_image(object)))
        .collect();
    for namespace in input.of(Kind::Namespace) {
        let revision = match namespace.label("istio.io/rev") {
            Some(revision) => revision,
            None if namespace.label("istio-injection") == Some("enabled") => "default",
            None => continue,
        };
        let Some(image) = images.get(&*injector_map(revision)) else {
            continue;
        };
        let in_it = |pod: &&Object| pod.namespace == namespace.name;
        let mut other: Vec<_> = input
            .of(Kind::Pod)
            .filter(in_it)
            .flat_map(|pod| {
                let proxies = proxies_with_another_image(input, pod, image);
                std::iter::repeat_n(pod.name.as_str(), proxies)
            })
            .collect();
        if !other.is_empty() {
            other.sort_unstable();
            let kind = &types::PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE;
            found.add(kind, namespace, "", &[&listed(other)]);
        }
    }
}

fn proxies_with_another_image(input: &Input<'_>, pod: &Object, image: &str) -> usize {
    let is_chosen = pod.annotation("sidecar.istio.io/proxyImage");
    if is_chosen.is_some_and(|chosen| !chosen.is_empty()) {
        return 0;
    }
    let variant = format!("{image}-{}", image_type(input, pod));
    let spec = pod.value.pointer("/spec").unwrap_or(&Value::Null);
    all_containers(spec)
        .filter(|container| text(container, "/name") == PROXY)
        .map(|container| text(container, "/image"))
        .filter(|used| *used != image && *used != variant)
        .count()
}

/// The image that a ConfigMap of the injector names.
fn injected_image(object: &Object) -> String {
    let values = values(object);
    let image = text(&values, "/global/proxy/image");
    if image.contains('/') {
        return image.to_owned();
    }
    let tag = match values.pointer("/global/tag") {
        Some(Value::String(tag)) => tag.clone(),
        Some(Value::Number(tag)) => tag.to_string(),
        _ => String::new(),
    };
    format!("{}/{image}:{tag}", text(&values, "/global/hub"))
}

/// The values of an installation.
pub(super) fn values(object: &Object) -> Value {
    serde_json::from_str(object.text("/data/values")).unwrap_or_default()
}

/// The variant of the image that holds for a pod: that of the mesh, the root namespace, the namespace, the workload,
/// and the pod's annotation, the later the stronger.
fn image_type(input: &Input<'_>, pod: &Object) -> String {
    let mut chosen = text(&input.mesh.0, "/defaultConfig/image/imageType").to_owned();
    let root = input.mesh.root_namespace();
    let configs: Vec<_> = input.of(Kind::ProxyConfig).collect();
    let levels: [&dyn Fn(&Object) -> bool; 3] = [
        &|config| config.namespace == root,
        &|config| {
            config.namespace != root
                && config.namespace == pod.namespace
                && !has(&config.value, "/spec/selector")
        },
        &|config| {
            config.namespace != root
                && config.namespace == pod.namespace
                && has(&config.value, "/spec/selector")
                && selects(
                    &map(&config.value, "/spec/selector/matchLabels"),
                    &pod.labels(),
                )
        },
    ];
    for level in levels {
        for config in configs.iter().filter(|config| level(config)) {
            let own = config.text("/spec/image/imageType");
            if !own.is_empty() {
                own.clone_into(&mut chosen);
            }
        }
    }
    if let Some(own) = pod.annotation("proxy.istio.io/config").and_then(annotated) {
        chosen = own;
    }
    if chosen == "default" {
        chosen.clear();
    }
    chosen
}

/// `image: {imageType: …}` in YAML, block or flow form; of everything else the annotation may say nothing is needed.
fn annotated(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("imageType")?;
    let rest = rest.trim_start_matches(['"', '\'']).trim_start();
    let value = rest.strip_prefix(':')?.trim_start();
    let end = value.find(['\n', '}', ',', '#']).unwrap_or(value.len());
    let value = value[..end].trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

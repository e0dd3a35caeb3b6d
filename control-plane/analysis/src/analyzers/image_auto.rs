//! `image: auto` stands for what the webhook fills in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analyze::Found;
use crate::labels::label_selector_selects;
use crate::message::types;
use crate::object::{map, text};
use crate::{Input, Kind, Object};

use super::in_mesh::PROXY;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let hooks: Vec<_> = input
        .of(Kind::MutatingWebhookConfiguration)
        .flat_map(|configuration| configuration.list("/webhooks"))
        .filter(|hook| text(hook, "/name").ends_with("istio.io"))
        .collect();
    for pod in input.of(Kind::Pod) {
        // It is a pod already, so nothing will fill it in.
        if has_auto(pod.list("/spec/containers")) {
            let kind = &types::IMAGE_AUTO_WITHOUT_INJECTION_ERROR;
            found.add(kind, pod, "", &[&"Pod", &pod.name]);
        }
    }
    for deployment in input.of(Kind::Deployment) {
        let labels = map(&deployment.value, "/spec/template/metadata/labels");
        let namespace = match &*deployment.namespace {
            "" => "default",
            namespace => namespace,
        };
        let namespace = input.find(Kind::Namespace, "", namespace);
        let of_namespace = namespace.map_or_else(BTreeMap::new, Object::labels);
        let is_injected = hooks.iter().any(|hook| {
            label_selector_selects(hook.get("namespaceSelector"), &of_namespace)
                && label_selector_selects(hook.get("objectSelector"), &labels)
        });
        if has_auto(deployment.list("/spec/template/spec/containers")) && !is_injected {
            let kind = &types::IMAGE_AUTO_WITHOUT_INJECTION_WARNING;
            found.add(kind, deployment, "", &[&"Deployment", &deployment.name]);
        }
    }
}

fn has_auto(containers: &[Value]) -> bool {
    containers
        .iter()
        .any(|c| text(c, "/name") == PROXY && text(c, "/image") == "auto")
}

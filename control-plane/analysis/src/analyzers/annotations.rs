//! Istio annotations of Kubernetes' objects.

mod table;

use crate::analyze::Found;
use crate::message::{quoted, types};
use crate::object::{list, text};
use crate::{Input, Kind, Object};

use table::{ROWS, Row};

const KINDS: [Kind; 4] = [Kind::Namespace, Kind::Service, Kind::Pod, Kind::Deployment];

/// What istiod and its webhook set themselves.
const OWN: [&str; 3] = [
    "sidecar.istio.io/status",
    "gateway.istio.io/controller-version",
    "istio.io/rev",
];

/// What the webhook sets itself unless the CNI plugin redirects.
const OWN_WITH_CNI: [&str; 4] = [
    "sidecar.istio.io/interceptionMode",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
];

const INJECT: &str = "sidecar.istio.io/inject";

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for object in KINDS.into_iter().flat_map(|kind| input.of(kind)) {
        for (name, value) in istio_annotations(object) {
            if !OWN.contains(&name) {
                check(input, object, name, value, found);
            }
        }
    }
}

fn check<'a>(
    input: &'a Input<'a>,
    object: &'a Object,
    name: &str,
    value: &str,
    found: &mut Found<'a>,
) {
    let Some(row) = row_of(name) else {
        found.add(&types::UNKNOWN_ANNOTATION, object, "", &[&name]);
        return;
    };
    let has_successor = name == INJECT && object.label(INJECT).is_some();
    if row.is_deprecated && !has_successor {
        let advice = match name {
            INJECT => format!(" in favor of the {} label", quoted(INJECT)),
            _ => String::new(),
        };
        found.add(&types::DEPRECATED_ANNOTATION, object, "", &[&name, &advice]);
    }
    if row.kinds.contains(&"Any") {
        return;
    }
    if !row.kinds.contains(&object.kind.name()) {
        let kinds = row.kinds.join(", ");
        found.add(&types::MISPLACED_ANNOTATION, object, "", &[&name, &kinds]);
        return;
    }
    if let Err(problem) = (input.judges.annotation)(name, value) {
        found.add(&types::INVALID_ANNOTATION, object, "", &[&name, &problem]);
    }
}

pub(super) fn alpha<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for object in KINDS.into_iter().flat_map(|kind| input.of(kind)) {
        let redirects_itself = list(&object.value, "/spec/initContainers")
            .iter()
            .any(|container| text(container, "/name") == "istio-init");
        let by_cni = object.kind == Kind::Pod && !redirects_itself;
        for (name, _) in istio_annotations(object) {
            let is_own = OWN.contains(&name) || by_cni && OWN_WITH_CNI.contains(&name);
            if !is_own && row_of(name).is_some_and(|row| row.is_alpha) {
                found.add(&types::ALPHA_ANNOTATION, object, "", &[&name]);
            }
        }
    }
}

fn istio_annotations(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    object.annotations().into_iter().filter(|(name, _)| {
        let domain = name.split('/').next().unwrap_or("");
        *name == "kubernetes.io/ingress.class" || domain.ends_with("istio.io")
    })
}

fn row_of(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

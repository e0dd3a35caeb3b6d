//! Sidecars: one for each pod, and one for the rest of a namespace.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyze::Found;
use crate::labels::{first_label, selects, shown};
use crate::message::{listed, types};
use crate::object::map;
use crate::{Input, Kind, Object};

use super::in_mesh::{is_ambient_namespace, is_ambient_pod};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut of_pods: BTreeMap<String, (&'a Object, Vec<&'a Object>)> = BTreeMap::new();
    let mut of_namespaces: BTreeMap<&str, Vec<&'a Object>> = BTreeMap::new();
    for sidecar in input.of(Kind::Sidecar) {
        let selector = map(&sidecar.value, "/spec/workloadSelector/labels");
        if selector.is_empty() {
            of_namespaces
                .entry(&sidecar.namespace)
                .or_default()
                .push(sidecar);
            continue;
        }
        let mut selects_any = false;
        for pod in input.of(Kind::Pod) {
            if pod.namespace == sidecar.namespace && selects(&selector, &pod.labels()) {
                selects_any = true;
                let entry = of_pods.entry(pod.full_name());
                entry.or_insert_with(|| (pod, Vec::new())).1.push(sidecar);
            }
        }
        if !selects_any {
            let field = first_label("spec.workloadSelector.labels", &selector);
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, sidecar, &field, &[&"selector", &shown(&selector)]);
        }
    }
    let mut ineffective = BTreeSet::new();
    for (pod, sidecars) in of_pods.into_values() {
        if is_ambient_pod(pod) {
            let why = "selected workload is in ambient mode, the policy has no impact";
            without_effect(&sidecars, why, &mut ineffective, found);
        } else if sidecars.len() > 1 {
            let names = names(&sidecars);
            for sidecar in sidecars {
                let kind = &types::CONFLICTING_SIDECAR_WORKLOAD_SELECTORS;
                let args: [&dyn std::fmt::Display; 3] = [&names, &pod.namespace, &pod.name];
                found.add(kind, sidecar, "metadata.name", &args);
            }
        }
    }
    for (name, sidecars) in of_namespaces {
        let namespace = input.find(Kind::Namespace, "", name);
        if namespace.is_some_and(is_ambient_namespace) {
            let why = "namespace is in ambient mode, the policy has no impact";
            without_effect(&sidecars, why, &mut ineffective, found);
        } else if sidecars.len() > 1 {
            let names = names(&sidecars);
            for sidecar in sidecars {
                let kind = &types::MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS;
                found.add(kind, sidecar, "", &[&names, &name]);
            }
        }
    }
}

/// Says so once for each object.
fn without_effect<'a>(
    sidecars: &[&'a Object],
    why: &str,
    reported: &mut BTreeSet<String>,
    found: &mut Found<'a>,
) {
    for sidecar in sidecars {
        if reported.insert(sidecar.full_name()) {
            found.add(&types::INEFFECTIVE_POLICY, sidecar, "", &[&why]);
        }
    }
}

/// Names without namespaces, as one list.
pub(super) fn names(objects: &[&Object]) -> String {
    let mut names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
    names.sort_unstable();
    listed(names)
}

//! AuthorizationPolicies: what they select, and the namespaces they name.

use std::collections::BTreeMap;

use crate::analyze::Found;
use crate::labels::{Set, selects, shown};
use crate::message::types;
use crate::object::{map, texts};
use crate::{Input, Kind, Object};

use super::in_mesh;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut pods: BTreeMap<&str, Vec<Set<'_>>> = BTreeMap::new();
    for pod in input.of(Kind::Pod) {
        if in_mesh::pod(input, pod) || in_mesh::is_ambient_pod(pod) {
            pods.entry(&pod.namespace).or_default().push(pod.labels());
        }
    }
    for policy in input.of(Kind::AuthorizationPolicy) {
        workloads(input, policy, &pods, found);
        namespaces(input, policy, found);
    }
}

fn workloads<'a>(
    input: &'a Input<'a>,
    policy: &'a Object,
    pods: &BTreeMap<&str, Vec<Set<'_>>>,
    found: &mut Found<'a>,
) {
    let is_mesh_wide = policy.namespace == input.mesh.root_namespace();
    let has_selector = policy.has("/spec/selector");
    if is_mesh_wide && !has_selector {
        return;
    }
    let selector = map(&policy.value, "/spec/selector/matchLabels");
    let mut seen = pods
        .iter()
        .filter(|(namespace, _)| is_mesh_wide || **namespace == policy.namespace)
        .flat_map(|(_, labels)| labels);
    if !seen.any(|labels| selects(&selector, labels)) {
        let selector = shown(&selector);
        found.add(
            &types::NO_MATCHING_WORKLOADS_FOUND,
            policy,
            "",
            &[&selector],
        );
    }
}

fn namespaces<'a>(input: &'a Input<'a>, policy: &'a Object, found: &mut Found<'a>) {
    for (i, rule) in policy.list("/spec/rules").iter().enumerate() {
        for (j, from) in crate::object::list(rule, "/from").iter().enumerate() {
            let wanted = texts(from, "/source/namespaces");
            let wanted = wanted.into_iter().enumerate().map(|(k, pattern)| {
                let field = format!("spec.rules[{i}].from[{j}].source.namespaces[{k}]");
                (pattern, field)
            });
            // Istio 1.31 has no line for these.
            let unwanted = texts(from, "/source/notNamespaces");
            let unwanted = unwanted.into_iter().map(|pattern| (pattern, String::new()));
            for (pattern, field) in wanted.chain(unwanted) {
                let mut all = input.of(Kind::Namespace);
                if !all.any(|namespace| is_described(&namespace.name, pattern)) {
                    found.add(
                        &types::REFERENCED_RESOURCE_NOT_FOUND,
                        policy,
                        &field,
                        &[&"namespace", &pattern],
                    );
                }
            }
        }
    }
}

/// A `*` stands at the beginning or the end; names are compared without case.
fn is_described(name: &str, pattern: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix('*') {
        name.ends_with(suffix)
    } else if let Some(prefix) = pattern.strip_suffix('*') {
        name.starts_with(prefix)
    } else {
        name.eq_ignore_ascii_case(pattern)
    }
}

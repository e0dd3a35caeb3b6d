//! How workloads are chosen.

use std::collections::BTreeMap;

use meltemi_api::selector::{PolicySelector, PolicyTargetReference, WorkloadSelector};

use crate::Findings;

const NO_LABELS: &str = "workload selector specified without labels";

fn pairs(found: &mut Findings, at: &str, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        let pair = format!("{key}={value}");
        if key.is_empty() {
            let message = format!("empty key is not supported in selector: {pair:?}");
            found.error(at, message);
        }
        if pair.contains('*') {
            found.error(
                at,
                format!("wildcard is not supported in selector: {pair:?}"),
            );
        }
    }
}

/// `selector` of policies. Istio 1.31: `validateWorkloadSelector`.
pub fn policy(found: &mut Findings, at: &str, selector: Option<&PolicySelector>) {
    let Some(selector) = selector else { return };
    pairs(found, &format!("{at}.matchLabels"), &selector.match_labels);
    if selector.match_labels.is_empty() {
        found.warning(at, NO_LABELS);
    }
}

/// `workloadSelector` of networking kinds, `what` being what it belongs to. An error in it ends validation, so false means
/// stop. Istio 1.31: `ValidateAlphaWorkloadSelector` and its callers.
pub fn workloads(found: &mut Findings, what: &str, selector: Option<&WorkloadSelector>) -> bool {
    const AT: &str = "spec.workloadSelector";
    let Some(selector) = selector else {
        return true;
    };
    let mut errors = Findings::default();
    pairs(&mut errors, &format!("{AT}.labels"), &selector.labels);
    if !errors.is_accepted() {
        *found = errors;
        return false;
    }
    if selector.labels.is_empty() {
        found.warning(
            AT,
            format!("{what}: {NO_LABELS}, will be applied to all services in namespace"),
        );
    }
    true
}

/// At most one way to choose what a policy is for. Istio 1.31: `validateOneOfSelectorType`.
pub fn one_of(
    found: &mut Findings,
    selector: Option<&PolicySelector>,
    target_ref: Option<&PolicyTargetReference>,
    target_refs: &[PolicyTargetReference],
) {
    let ways = [
        selector.is_some(),
        target_ref.is_some(),
        !target_refs.is_empty(),
    ];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        found.error(
            "spec",
            "only one of targetRefs or workloadSelector can be set",
        );
    }
}

/// Everything by which a policy says what it is for, in Istio's order.
pub fn attachment(
    found: &mut Findings,
    selector: Option<&PolicySelector>,
    target_ref: Option<&PolicyTargetReference>,
    target_refs: &[PolicyTargetReference],
) {
    one_of(found, selector, target_ref, target_refs);
    policy(found, "spec.selector", selector);
    if let Some(target) = target_ref {
        super::target_ref::target_ref(found, "spec.targetRef", target);
    }
    for (i, target) in target_refs.iter().enumerate() {
        super::target_ref::target_ref(found, &format!("spec.targetRefs[{i}]"), target);
    }
}

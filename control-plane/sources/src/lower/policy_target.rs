//! `selector`, `targetRef` and `targetRefs` of policies.

use meltemi_api::selector::{PolicySelector, PolicyTargetReference};
use meltemi_model::Labels;
use meltemi_model::security::PolicyTarget;
use serde_json::Value;

use super::findings::Findings;
use super::meta::labels;

/// Which workloads a policy is for. References to anything but a Gateway are for waypoints, of which there are none here.
pub(super) fn target(
    selector: Option<&PolicySelector>,
    target_ref: Option<&PolicyTargetReference>,
    target_refs: &[PolicyTargetReference],
    findings: &mut Findings,
) -> PolicyTarget {
    let mut refs: Vec<(String, &PolicyTargetReference)> = target_refs
        .iter()
        .enumerate()
        .map(|(i, target)| (format!("spec.targetRefs[{i}]"), target))
        .collect();
    // Istio 1.31: the singular counts where the plural is empty.
    if refs.is_empty() {
        refs.extend(target_ref.map(|target| ("spec.targetRef".to_owned(), target)));
    }
    let has_refs = !refs.is_empty();
    let mut gateways = Vec::new();
    for (path, target) in refs {
        if target.group == "gateway.networking.k8s.io" && target.kind == "Gateway" {
            gateways.push(target.name.as_str().into());
        } else {
            let message = format!(
                "a policy for a {} is one for waypoints, of which none is served: no sidecar and no gateway follows it; \
                 name a Gateway, or use spec.selector",
                target.kind
            );
            findings.warning(path, message);
        }
    }
    PolicyTarget {
        selector: selector.map_or_else(Labels::default, |selector| labels(&selector.match_labels)),
        gateways: has_refs.then_some(gateways),
    }
}

/// Which workloads a policy is for that cannot be read: too many rather than too few.
pub(super) fn closed_target(spec: &Value) -> PolicyTarget {
    let selector = spec.pointer("/selector/matchLabels");
    let pairs = selector.and_then(Value::as_object).into_iter().flatten();
    let selector: Option<Labels> = pairs
        .map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    let refs = ["targetRef", "targetRefs"].map(|field| spec.get(field));
    let has_refs = refs.into_iter().flatten().any(|refs| !refs.is_null());
    let list = spec["targetRefs"].as_array().into_iter().flatten();
    let names = list
        .chain(spec.get("targetRef"))
        .filter_map(|target| Some(target["name"].as_str()?.into()));
    PolicyTarget {
        selector: selector.unwrap_or_default(),
        gateways: has_refs.then(|| names.collect()),
    }
}

//! Objects that policies attach to.

use meltemi_api::selector::PolicyTargetReference;

use crate::Findings;

/// Group and kind of what policies may attach to; the core group is written as nothing or `core`.
const ALLOWED: [(&str, &str); 4] = [
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
];

/// One object. Istio 1.31: `validatePolicyTargetReference`.
pub fn target_ref(found: &mut Findings, at: &str, target: &PolicyTargetReference) {
    if target.name.is_empty() {
        found.error(format!("{at}.name"), "targetRef name must be set");
    }
    if !target.namespace.is_empty() {
        found.error(
            format!("{at}.namespace"),
            "targetRef namespace must not be set; cross namespace referencing is not supported",
        );
    }
    let group = match &*target.group {
        "" => "core",
        group => group,
    };
    if !ALLOWED.contains(&(group, &*target.kind)) {
        let allowed: Vec<String> = ALLOWED.iter().map(|(g, k)| format!("{g}/{k}")).collect();
        found.error(
            format!("{at}.kind"),
            format!(
                "targetRef must be to one of [{}] but was {}/{}",
                allowed.join(" "),
                target.group,
                target.kind
            ),
        );
    }
}

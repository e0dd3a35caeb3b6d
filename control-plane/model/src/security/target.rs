//! Which workloads a policy is for.

use crate::{Labels, Str};

/// The label by which a proxy tells the Gateway (of the Gateway API) that it belongs to.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// `selector` and `targetRefs` of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PolicyTarget {
    /// `selector.matchLabels`; empty: all workloads of the namespace, or of the mesh in the root namespace.
    pub selector: Labels,
    /// `targetRefs`: the Gateways (of the Gateway API) that it is for, by name; `None`: it has no `targetRefs`.
    pub gateways: Option<Vec<Str>>,
}

impl PolicyTarget {
    /// Whether it is for a workload with these labels in the namespace of the policy, or in any if the policy is in the
    /// root namespace (`is_root`). Istio 1.31: `ShouldAttachPolicy`; `targetRefs` stay in their namespace.
    pub fn selects(&self, labels: &Labels, is_own_namespace: bool) -> bool {
        match (&self.gateways, labels.get(GATEWAY_NAME)) {
            (None, _) => labels.satisfies(&self.selector),
            (Some(names), Some(gateway)) => is_own_namespace && names.contains(gateway),
            (Some(_), None) => false,
        }
    }
}

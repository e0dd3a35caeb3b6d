//! Selectors of policies, which do not hold for the pods of a Kubernetes Gateway.

use crate::analyze::Found;
use crate::labels::selects;
use crate::message::types;
use crate::object::map;
use crate::{Input, Kind};

const POLICIES: [Kind; 4] = [
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::Telemetry,
    Kind::WasmPlugin,
];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let pods: Vec<_> = input
        .of(Kind::Pod)
        .filter_map(|pod| Some((pod, pod.label("gateway.networking.k8s.io/gateway-name")?)))
        .collect();
    for policy in POLICIES.into_iter().flat_map(|kind| input.of(kind)) {
        if policy.has("/spec/targetRef") || !policy.has("/spec/selector") {
            continue;
        }
        let selector = map(&policy.value, "/spec/selector/matchLabels");
        for (pod, gateway) in &pods {
            if pod.namespace == policy.namespace && selects(&selector, &pod.labels()) {
                found.add(&types::INEFFECTIVE_SELECTOR, policy, "", &[gateway]);
            }
        }
    }
}

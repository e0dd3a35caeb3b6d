//! Kinds and fields that are on their way out.

use crate::analyze::Found;
use crate::message::types;
use crate::object::number;
use crate::{Input, Kind};

const REMOVED_GROUP: &str = "rbac.istio.io";
const REMOVED: [&str; 4] = [
    "ClusterRbacConfig",
    "RbacConfig",
    "ServiceRole",
    "ServiceRoleBinding",
];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for service in input.of(Kind::VirtualService) {
        for rule in service.list("/spec/http") {
            if number(rule, "/fault/delay/percent") > 0 {
                let what = "HTTPRoute.fault.delay.percent is deprecated; use HTTPRoute.fault.delay.percentage";
                found.add(&types::DEPRECATED, service, "", &[&what]);
            }
        }
    }
    for sidecar in input.of(Kind::Sidecar) {
        if sidecar.has("/spec/outboundTrafficPolicy/egressProxy") {
            let what = "OutboundTrafficPolicy.EgressProxy ignored";
            found.add(&types::DEPRECATED, sidecar, "", &[&what]);
        }
    }
    for definition in input.of(Kind::CustomResourceDefinition) {
        let kind = definition.text("/spec/names/kind");
        if definition.text("/spec/group") == REMOVED_GROUP && REMOVED.contains(&kind) {
            let what = format!("Custom resource type {REMOVED_GROUP} {kind} is removed");
            found.add(&types::DEPRECATED, definition, "", &[&what]);
        }
    }
}

//! Conditions in the status of objects.

use serde_json::Value;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{list, text};
use crate::{Input, Kind, Object};

const WAYPOINT: &[&str] = &["istio.io/WaypointBound"];
const POLICY: &[&str] = &["ZtunnelAccepted", "WaypointAccepted"];
const GATEWAY_API: &[&str] = &["Accepted", "Programmed", "ResolvedRefs"];

/// The conditions of each kind that are bad when they are `False`.
const BAD: [(Kind, &[&str]); 7] = [
    (Kind::Service, WAYPOINT),
    (Kind::ServiceEntry, WAYPOINT),
    (Kind::WorkloadEntry, WAYPOINT),
    (Kind::AuthorizationPolicy, POLICY),
    (Kind::KubernetesGateway, GATEWAY_API),
    (Kind::HttpRoute, GATEWAY_API),
    (Kind::GrpcRoute, GATEWAY_API),
];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for (kind, bad) in BAD {
        for object in input.of(kind) {
            for condition in conditions(object) {
                let [of, reason, message] =
                    ["/type", "/reason", "/message"].map(|field| text(condition, field));
                let is_negative = bad.contains(&of) && text(condition, "/status") == "False";
                // Half of such a policy holds, so its status is True.
                let is_partial = kind == Kind::AuthorizationPolicy
                    && of == "WaypointAccepted"
                    && reason == "PartiallyInvalid";
                if is_negative || is_partial {
                    found.add(
                        &types::NEGATIVE_CONDITION_STATUS,
                        object,
                        "",
                        &[&of, &reason, &message],
                    );
                }
            }
        }
    }
}

fn conditions(object: &Object) -> Vec<&Value> {
    match object.kind {
        Kind::HttpRoute | Kind::GrpcRoute => object
            .list("/status/parents")
            .iter()
            .flat_map(|parent| list(parent, "/conditions"))
            .collect(),
        _ => object.list("/status/conditions").iter().collect(),
    }
}

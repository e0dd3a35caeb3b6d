//! What the API server checks in the messages of `envoy_filter.rs`.

use super::PORT;
use super::Rule::{self, Cel, Hidden, MaxItems};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "EnvoyConfigObjectMatch",
        &[Cel {
            rule: r#"has(self.context) ? ((self.context == "WAYPOINT") ? has(self.waypoint) : !has(self.waypoint)) : !has(self.waypoint)"#,
            message: "only support waypointMatch when context is WAYPOINT",
        }],
    ),
    (
        "EnvoyFilter",
        &[Cel {
            rule: "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            message: "only one of targetRefs or workloadSelector can be set",
        }],
    ),
    ("EnvoyFilter.targetRefs", &[MaxItems(16)]),
    ("FilterChainMatch.transportSocket", &[Hidden]),
    ("WaypointMatch.portNumber", &[PORT]),
];

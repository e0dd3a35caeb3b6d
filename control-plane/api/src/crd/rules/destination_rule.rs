//! What the API server checks in the messages of `destination_rule.rs`.

use super::Rule::{self, AnyDuration, Hidden, MaxItems, Maximum, Minimum, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("DestinationRule", &[Required(&["host"])]),
    ("HttpCookie", &[Required(&["name"])]),
    ("HttpCookie.ttl", &[AnyDuration]),
    ("HttpCookieAttribute", &[Required(&["name"])]),
    ("LoadBalancerSettings.backendUtilization", &[Hidden]),
    (
        "OutlierDetection.outlierDetectionHttpErrorCodes[]",
        &[Minimum(100), Maximum(599)],
    ),
    ("RetryBudget.budgetInterval", &[AnyDuration]),
    ("RetryBudget.percent", &[Minimum(0), Maximum(100)]),
    ("Subset", &[Required(&["name"])]),
    ("TcpSettings.idleTimeout", &[AnyDuration]),
    ("TrafficPolicy.portLevelSettings", &[MaxItems(4096)]),
    ("TunnelSettings", &[Required(&["targetHost", "targetPort"])]),
    ("WarmupConfiguration", &[Required(&["duration"])]),
    ("WarmupConfiguration.aggression", &[Minimum(0)]),
    (
        "WarmupConfiguration.minimumPercent",
        &[Minimum(0), Maximum(100)],
    ),
    (
        "ZoneAwareLoadBalancerSetting.minClusterSize",
        &[Minimum(1), Maximum(4294967295)],
    ),
];

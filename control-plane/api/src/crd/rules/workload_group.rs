//! What the API server checks in the messages of `workload_group.rs`.

use super::PORT;
use super::Rule::{self, Cel, MaxProperties, MinLength, Minimum, Pattern, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("ExecHealthCheckConfig", &[Required(&["command"])]),
    ("ExecHealthCheckConfig.command[]", &[MinLength(1)]),
    ("GrpcHealthCheckConfig.port", &[PORT]),
    ("HttpHeader.name", &[Pattern("^[-_A-Za-z0-9]+$")]),
    ("HttpHealthCheckConfig", &[Required(&["port"])]),
    ("HttpHealthCheckConfig.port", &[PORT]),
    (
        "HttpHealthCheckConfig.scheme",
        &[Cel {
            rule: r#"self in ["", "HTTP", "HTTPS"]"#,
            message: "scheme must be one of [HTTP, HTTPS]",
        }],
    ),
    ("ReadinessProbe.failureThreshold", &[Minimum(0)]),
    ("ReadinessProbe.initialDelaySeconds", &[Minimum(0)]),
    ("ReadinessProbe.periodSeconds", &[Minimum(0)]),
    ("ReadinessProbe.successThreshold", &[Minimum(0)]),
    ("ReadinessProbe.timeoutSeconds", &[Minimum(0)]),
    ("TcpHealthCheckConfig", &[Required(&["port"])]),
    ("TcpHealthCheckConfig.port", &[PORT]),
    ("WorkloadGroup", &[Required(&["template"])]),
    ("WorkloadGroupMetadata.annotations", &[MaxProperties(256)]),
    ("WorkloadGroupMetadata.labels", &[MaxProperties(256)]),
];

//! What the API server checks in the messages of `telemetry.rs`.

use super::Rule::{self, Cel, MaxItems, Maximum, MinLength, Minimum, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("Environment", &[Required(&["name"])]),
    ("Environment.name", &[MinLength(1)]),
    ("Formatter", &[Required(&["value"])]),
    ("Formatter.value", &[MinLength(1)]),
    ("Literal", &[Required(&["value"])]),
    ("Literal.value", &[MinLength(1)]),
    ("MetricSelector.customMetric", &[MinLength(1)]),
    ("ProviderRef", &[Required(&["name"])]),
    ("ProviderRef.name", &[MinLength(1)]),
    ("RequestHeader", &[Required(&["name"])]),
    ("RequestHeader.name", &[MinLength(1)]),
    (
        "TagOverride",
        &[
            Cel {
                rule: r#"((has(self.operation) ? self.operation : "") == "UPSERT") ? (self.value != "") : true"#,
                message: "value must be set when operation is UPSERT",
            },
            Cel {
                rule: r#"((has(self.operation) ? self.operation : "") == "REMOVE") ? !has(self.value) : true"#,
                message: "value must not be set when operation is REMOVE",
            },
        ],
    ),
    (
        "Telemetry",
        &[Cel {
            rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            message: "only one of targetRefs or selector can be set",
        }],
    ),
    ("Telemetry.targetRefs", &[MaxItems(16)]),
    (
        "TelemetryTracing.randomSamplingPercentage",
        &[Minimum(0), Maximum(100)],
    ),
];

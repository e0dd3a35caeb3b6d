//! What the API server checks in the messages of `selector.rs`.

use super::Rule::{
    self, Cel, MaxLength, MaxProperties, Maximum, MinLength, Minimum, Pattern, Required,
};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "PolicySelector.matchLabels",
        &[
            MaxProperties(4096),
            Cel {
                rule: r#"self.all(key, !key.contains("*"))"#,
                message: "wildcard not allowed in label key match",
            },
            Cel {
                rule: "self.all(key, key.size() != 0)",
                message: "key must not be empty",
            },
        ],
    ),
    (
        "PolicySelector.matchLabels{}",
        &[
            MaxLength(63),
            Cel {
                rule: r#"!self.contains("*")"#,
                message: "wildcard not allowed in label value match",
            },
        ],
    ),
    ("PolicyTargetReference", &[Required(&["kind", "name"])]),
    (
        "PolicyTargetReference.group",
        &[
            MaxLength(253),
            Pattern(r#"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"#),
        ],
    ),
    (
        "PolicyTargetReference.kind",
        &[
            MaxLength(63),
            MinLength(1),
            Pattern("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"),
        ],
    ),
    (
        "PolicyTargetReference.name",
        &[MaxLength(253), MinLength(1)],
    ),
    (
        "PolicyTargetReference.namespace",
        &[Cel {
            rule: "self.size() == 0",
            message: "cross namespace referencing is not currently supported",
        }],
    ),
    ("TrafficPort", &[Required(&["number"])]),
    ("TrafficPort.number", &[Minimum(1), Maximum(65535)]),
    ("WorkloadSelector.labels", &[MaxProperties(256)]),
    (
        "WorkloadSelector.labels{}",
        &[
            MaxLength(63),
            Cel {
                rule: r#"!self.contains("*")"#,
                message: "wildcard is not supported in selector",
            },
        ],
    ),
];

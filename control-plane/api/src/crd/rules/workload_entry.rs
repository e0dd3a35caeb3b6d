//! What the API server checks in the messages of `workload_entry.rs`.

use super::PORT;
use super::Rule::{self, Cel, MaxLength, MaxProperties};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "WorkloadEntry",
        &[Cel {
            rule: r#"(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true"#,
            message: "UDS may not include ports",
        }],
    ),
    (
        "WorkloadEntry.spec",
        &[Cel {
            rule: "has(self.address) || has(self.network)",
            message: "Address is required",
        }],
    ),
    (
        "WorkloadEntry.address",
        &[
            MaxLength(256),
            Cel {
                rule: r#"self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true"#,
                message: "UDS must be an absolute path or abstract socket",
            },
            Cel {
                rule: r#"self.startsWith("unix://") ? !self.endsWith("/") : true"#,
                message: "UDS may not be a dir",
            },
        ],
    ),
    ("WorkloadEntry.labels", &[MaxProperties(256)]),
    ("WorkloadEntry.locality", &[MaxLength(2048)]),
    ("WorkloadEntry.network", &[MaxLength(2048)]),
    (
        "WorkloadEntry.ports",
        &[
            MaxProperties(128),
            Cel {
                rule: r#"self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))"#,
                message: "port name must be valid",
            },
        ],
    ),
    ("WorkloadEntry.ports{}", &[PORT]),
    ("WorkloadEntry.serviceAccount", &[MaxLength(253)]),
];

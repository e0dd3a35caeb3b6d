//! What the API server checks in the messages of `service_entry.rs`.

use super::PORT;
use super::Rule::{self, Cel, KeyedBy, MaxItems, MaxLength, MinItems, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "ServiceEntry",
        &[
            Required(&["hosts"]),
            Cel {
                rule: "(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1",
                message: "only one of WorkloadSelector or Endpoints can be set",
            },
            Cel {
                rule: r#"!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && !((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))"#,
                message: "CIDR addresses are allowed only for NONE/STATIC resolution types",
            },
            Cel {
                rule: r#"((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true"#,
                message: "NONE mode cannot set endpoints",
            },
            Cel {
                rule: r#"((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? ((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true"#,
                message: "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
            },
        ],
    ),
    ("ServiceEntry.addresses", &[MaxItems(256)]),
    ("ServiceEntry.addresses[]", &[MaxLength(64)]),
    ("ServiceEntry.endpoints", &[MaxItems(4096)]),
    (
        "ServiceEntry.endpoints[]",
        &[Cel {
            rule: "has(self.address) || has(self.network)",
            message: "Address is required",
        }],
    ),
    ("ServiceEntry.hosts", &[MaxItems(256), MinItems(1)]),
    (
        "ServiceEntry.hosts[]",
        &[Cel {
            rule: r#"self != "*""#,
            message: "hostname cannot be wildcard",
        }],
    ),
    (
        "ServiceEntry.ports",
        &[
            KeyedBy(&["name"]),
            MaxItems(256),
            Cel {
                rule: "self.all(l1, self.exists_one(l2, l1.number == l2.number))",
                message: "port number cannot be duplicated",
            },
        ],
    ),
    ("ServicePort", &[Required(&["number", "name"])]),
    ("ServicePort.name", &[MaxLength(256)]),
    ("ServicePort.number", &[PORT]),
    ("ServicePort.protocol", &[MaxLength(256)]),
    ("ServicePort.targetPort", &[PORT]),
];

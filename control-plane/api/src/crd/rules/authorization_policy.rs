//! What the API server checks in the messages of `authorization_policy.rs`.

use super::Rule::{self, AtMostOne, Cel, MaxItems, MaxLength, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "AuthorizationPolicy",
        &[
            AtMostOne(&["provider"]),
            Cel {
                rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
                message: "only one of targetRefs or selector can be set",
            },
        ],
    ),
    ("AuthorizationPolicy.rules", &[MaxItems(512)]),
    ("AuthorizationPolicy.targetRefs", &[MaxItems(16)]),
    ("Condition", &[Required(&["key"])]),
    ("Rule.from", &[MaxItems(512)]),
    (
        "Source",
        &[Cel {
            rule: r#"(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) &&
!has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true"#,
            message: "Cannot set serviceAccounts with namespaces or principals",
        }],
    ),
    ("Source.notServiceAccounts", &[MaxItems(16)]),
    ("Source.notServiceAccounts[]", &[MaxLength(320)]),
    ("Source.serviceAccounts", &[MaxItems(16)]),
    ("Source.serviceAccounts[]", &[MaxLength(320)]),
];

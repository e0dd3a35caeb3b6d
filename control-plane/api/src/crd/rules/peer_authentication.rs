//! What the API server checks in the messages of `peer_authentication.rs`.

use super::Rule::{self, Cel, MinProperties};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "PeerAuthentication",
        &[Cel {
            rule: "has(self.portLevelMtls) ? (((has(self.selector) && has(self.selector.matchLabels)) ? self.selector.matchLabels : {}).size() > 0) : true",
            message: "portLevelMtls requires selector",
        }],
    ),
    (
        "PeerAuthentication.portLevelMtls",
        &[
            MinProperties(1),
            Cel {
                rule: "self.all(key, 0 < int(key) && int(key) <= 65535)",
                message: "port must be between 1-65535",
            },
        ],
    ),
];

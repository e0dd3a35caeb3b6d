//! What the API server checks in the messages of `gateway.rs`.

use super::Rule::{self, Cel, Hidden, MaxItems, MinItems, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("Port", &[Required(&["number", "protocol", "name"])]),
    ("Server", &[Required(&["port", "hosts"])]),
    (
        "ServerTlsSettings",
        &[
            Cel {
                rule: "(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1",
                message: "only one of credentialNames or tlsCertificates can be set",
            },
            Cel {
                rule: "(has(self.credentialName) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1",
                message: "only one of credentialName or credentialNames can be set",
            },
            Cel {
                rule: "(has(self.credentialNames) ? 1 : 0) + (has(self.tlsCertificates) ? 1 : 0) <= 1",
                message: "only one of credentialName or tlsCertificates can be set",
            },
        ],
    ),
    (
        "ServerTlsSettings.credentialNames",
        &[MaxItems(2), MinItems(1)],
    ),
    ("ServerTlsSettings.ecdhCurves", &[Hidden]),
    (
        "ServerTlsSettings.tlsCertificates",
        &[MaxItems(2), MinItems(1)],
    ),
];

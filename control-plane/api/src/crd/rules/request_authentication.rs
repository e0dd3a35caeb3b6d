//! What the API server checks in the messages of `request_authentication.rs`.

use super::Rule::{self, Alias, Cel, Hidden, MaxItems, MaxLength, MinLength, Pattern, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("ClaimToHeader", &[Required(&["header", "claim"])]),
    ("ClaimToHeader.claim", &[MinLength(1)]),
    (
        "ClaimToHeader.header",
        &[MinLength(1), Pattern("^[-_A-Za-z0-9]+$")],
    ),
    ("JwtHeader", &[Required(&["name"])]),
    ("JwtHeader.name", &[MinLength(1)]),
    (
        "JwtRule",
        &[
            Alias("jwks_uri", "jwksUri"),
            Cel {
                rule: "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
                message: "only one of jwks or jwksUri can be set",
            },
        ],
    ),
    ("JwtRule.audiences[]", &[MinLength(1)]),
    ("JwtRule.fromCookies[]", &[MinLength(1)]),
    ("JwtRule.fromParams[]", &[MinLength(1)]),
    ("JwtRule.issuer", &[MinLength(1)]),
    (
        "JwtRule.jwksUri",
        &[
            MaxLength(2048),
            MinLength(1),
            Cel {
                rule: r#"url(self).getScheme() in ["http", "https"]"#,
                message: "url must have scheme http:// or https://",
            },
        ],
    ),
    ("JwtRule.presence", &[Hidden]),
    ("JwtRule.spaceDelimitedClaims", &[MaxItems(64)]),
    ("JwtRule.spaceDelimitedClaims[]", &[MinLength(1)]),
    (
        "RequestAuthentication",
        &[Cel {
            rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            message: "only one of targetRefs or selector can be set",
        }],
    ),
    ("RequestAuthentication.jwtRules", &[MaxItems(4096)]),
    ("RequestAuthentication.targetRefs", &[MaxItems(16)]),
];

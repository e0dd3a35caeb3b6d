//! What the API server checks in the messages of `proxy_config.rs`.

use super::Rule::{self, MaxLength, Minimum};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("ProxyConfig.concurrency", &[Minimum(0)]),
    ("ProxyConfig.environmentVariables{}", &[MaxLength(2048)]),
];

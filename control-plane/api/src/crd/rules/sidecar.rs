//! What the API server checks in the messages of `sidecar.rs`.

use super::Rule::{self, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("IstioEgressListener", &[Required(&["hosts"])]),
    ("IstioIngressListener", &[Required(&["port"])]),
];

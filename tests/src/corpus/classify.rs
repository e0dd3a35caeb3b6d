//! Which worlds ask for something that Meltemi does not do yet.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::{Answer, Case};

/// Kinds that are not read yet. The list only shrinks.
const NOT_READ: &[&str] = &["ProxyConfig", "Telemetry", "WasmPlugin"];

/// istiod's feature flags that `meltemi compile` knows.
const FLAGS: [&str; 4] = [
    "ISTIO_DUAL_STACK",
    "PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES",
    "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG",
    "PILOT_JWT_ENABLE_REMOTE_JWKS",
];

/// The kinds in the world's own file that are not read yet, and `istiod_env` when the world needs feature flags that we
/// do not know.
pub fn unsupported_kinds(case: &Case) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    if case
        .istiod_env
        .keys()
        .any(|name| !FLAGS.contains(&name.as_str()))
    {
        found.insert("istiod_env".to_owned());
    }
    // The base has none of these kinds; its file is the first.
    for file in case.files.iter().skip(1) {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("kind: ").map(str::trim)
                && NOT_READ.contains(&kind)
            {
                found.insert(kind.to_owned());
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// What the compiler itself says that it does not support, beyond what it says about the base world.
pub(super) fn unsupported_features(answer: &Answer, base: Option<&Answer>) -> Vec<String> {
    let in_base = |line: &String| base.is_some_and(|base| base.diagnostics.contains(line));
    let said = answer
        .diagnostics
        .iter()
        .filter(|line| line.contains("not supported yet") && !in_base(line));
    said.cloned().collect()
}

//! The annotation by which Multus attaches networks: names with commas, or a JSON list. Istio's own is appended once.

use serde_json::Value;

/// The annotation's value with a network (`NAME` or `NAMESPACE/NAME`) appended, the rest of its text unchanged.
pub(crate) fn appended(existing: &str, network: &str) -> String {
    if existing.is_empty() {
        return network.to_owned();
    }
    let Some(end) = existing.rfind(']') else {
        let known = existing.split(',').any(|name| name.trim() == network);
        return if known {
            existing.to_owned()
        } else {
            format!("{existing}, {network}")
        };
    };
    let Ok(Value::Array(networks)) = serde_json::from_str::<Value>(existing) else {
        tracing::warn!("the annotation k8s.v1.cni.cncf.io/networks is no JSON list");
        return existing.to_owned();
    };
    let (ns, name) = network.split_once('/').unwrap_or(("", network));
    let known = networks.iter().any(|known| {
        known["name"] == name && known["namespace"].as_str().unwrap_or_default() == ns
    });
    if known {
        return existing.to_owned();
    }
    let added = if ns.is_empty() {
        format!(r#", {{"name": "{name}"}}"#)
    } else {
        format!(r#", {{"name": "{name}", "namespace": "{ns}"}}"#)
    };
    format!("{}{added}{}", &existing[..end], &existing[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_appended_once() {
        for (existing, network, expected) in [
            ("", "istio-cni", "istio-cni"),
            ("a", "istio-cni", "a, istio-cni"),
            ("a, istio-cni", "istio-cni", "a, istio-cni"),
            (
                r#"[{"name": "a"}]"#,
                "istio-cni",
                r#"[{"name": "a"}, {"name": "istio-cni"}]"#,
            ),
            (
                r#"[{"name": "a"}]"#,
                "default/istio-cni",
                r#"[{"name": "a"}, {"name": "istio-cni", "namespace": "default"}]"#,
            ),
            (
                r#"[{"name": "istio-cni", "x": 1}]"#,
                "istio-cni",
                r#"[{"name": "istio-cni", "x": 1}]"#,
            ),
            (r#"[{"name": "a"},]"#, "istio-cni", r#"[{"name": "a"},]"#),
        ] {
            assert_eq!(appended(existing, network), expected);
        }
    }
}

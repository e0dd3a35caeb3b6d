//! The webhook's path carries settings of the cluster that calls: `/inject/cluster/c1/net/n1` (Istio 1.31: parseInjectEnvs).

use std::collections::BTreeMap;

/// The proxy's environment from a path: pairs of keys and values. `cluster` and `net` have names of their own, others are written in
/// capitals; `--slash--` in a value is a slash; a last key without a value is ignored. The old form is `/inject/:ENV:a=b:ENV:c=d`.
pub(crate) fn environment(path: &str) -> BTreeMap<String, String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut out = BTreeMap::new();
    // "/inject/a/b" is "", "inject", "a/b".
    let Some(rest) = path.splitn(3, '/').nth(2) else {
        return out;
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    if rest.starts_with(":ENV:") {
        for pair in rest.split(":ENV:").skip(1) {
            if let Some((key, value)) = pair.split_once('=')
                && !key.is_empty()
            {
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
    } else {
        let parts: Vec<&str> = rest.split('/').collect();
        for pair in parts.chunks(2) {
            match pair {
                [key, value] => pairs.push(((*key).to_owned(), value.replace("--slash--", "/"))),
                [key] => tracing::warn!(key, "the injection path ends with a key without a value"),
                _ => {}
            }
        }
    }
    for (key, value) in pairs {
        let name = match key.as_str() {
            "cluster" => "ISTIO_META_CLUSTER_ID".to_owned(),
            "net" => "ISTIO_META_NETWORK".to_owned(),
            _ => key.to_uppercase(),
        };
        if !name.is_empty() {
            out.insert(name, value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_carry_settings() {
        for (path, expected) in [
            ("/inject", &[][..]),
            ("/inject/", &[]),
            ("/inject/cluster/c1", &[("ISTIO_META_CLUSTER_ID", "c1")]),
            (
                "/inject/cluster/c1/net/n1/",
                &[
                    ("ISTIO_META_CLUSTER_ID", "c1"),
                    ("ISTIO_META_NETWORK", "n1"),
                ],
            ),
            (
                "/inject/net/a--slash--b/last",
                &[("ISTIO_META_NETWORK", "a/b")],
            ),
            ("/inject/my_var/V", &[("MY_VAR", "V")]),
            (
                "/inject/:ENV:cluster=c1:ENV:net=:ENV:=x:ENV:y",
                &[("ISTIO_META_CLUSTER_ID", "c1"), ("ISTIO_META_NETWORK", "")],
            ),
        ] {
            let found = environment(path);
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            assert_eq!(found, expected, "{path}");
        }
    }
}

//! Istio's benchmark worlds, as `../shared/corpus/bench-configs/README.md` describes them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::corpus::{Locality, NodeSpec, TYPES};

/// Proxies of these types are not served yet, nor are secrets.
const NOT_SERVED: [&str; 1] = ["waypoint"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseFile {
    name: String,
    #[serde(default)]
    proxy_type: Option<String>,
    #[serde(default)]
    only_type: Option<String>,
    #[serde(default)]
    skip_type: Option<String>,
}

/// A world, a proxy, and the types that are generated for it.
#[derive(Debug, Clone)]
pub struct BenchCase {
    /// `http-100`, …
    pub name: String,
    /// The world.
    pub files: Vec<PathBuf>,
    /// The proxy.
    pub node: NodeSpec,
    /// `cds`, …
    pub types: Vec<&'static str>,
}

/// All cases that Meltemi can serve, sorted by name.
pub fn cases(dir: &Path) -> Result<Vec<BenchCase>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let folder = entry?.path();
        let file = folder.join("case.yaml");
        if !file.is_file() {
            continue;
        }
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let case: CaseFile =
            serde_yaml::from_str(&text).with_context(|| format!("parsing {}", file.display()))?;
        let proxy = case.proxy_type.as_deref().unwrap_or("sidecar");
        let types = types(case.only_type.as_deref(), case.skip_type.as_deref());
        if NOT_SERVED.contains(&proxy) || types.is_empty() {
            continue;
        }
        let files = vec![folder.join("config.yaml")];
        found.push(BenchCase {
            name: case.name,
            files,
            node: proxy_of(proxy, "1.1.1.1"),
            types,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn types(only: Option<&str>, skip: Option<&str>) -> Vec<&'static str> {
    let names = ["clusters", "endpoints", "listeners", "routes"];
    let wanted = |name: &str| only.is_none_or(|only| only == name) && skip != Some(name);
    names
        .into_iter()
        .zip(TYPES)
        .filter(|(name, _)| wanted(name))
        .map(|(_, kind)| kind)
        .collect()
}

/// The proxy that Istio's own benches use.
pub fn proxy_of(proxy_type: &str, address: &str) -> NodeSpec {
    let metadata = serde_json::json!({
        "CLUSTER_ID": "Kubernetes",
        "INSTANCE_IPS": address,
        "ISTIO_VERSION": "1.31.0",
        "LABELS": {"istio.io/benchmark": "true"},
        "NAMESPACE": "default",
    });
    NodeSpec {
        name: proxy_type.to_owned(),
        id: format!("{proxy_type}~{address}~v0.default~default.svc.cluster.local"),
        cluster: "v0.default".to_owned(),
        locality: Locality::default(),
        metadata,
        base: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{bench_configs, skipped};

    #[test]
    fn types_follow_the_case() {
        for (only, skip, expected) in [
            (None, None, &["cds", "eds", "lds", "rds"][..]),
            (Some("listeners"), None, &["lds"]),
            (None, Some("routes"), &["cds", "eds", "lds"]),
            (Some("secrets"), None, &[]),
        ] {
            assert_eq!(types(only, skip), expected, "{only:?} {skip:?}");
        }
    }

    #[test]
    fn the_cases_are_read() {
        let Some(dir) = bench_configs() else {
            return skipped("no corpus");
        };
        let cases = cases(&dir).unwrap();
        let router = cases
            .iter()
            .find(|case| case.name == "gateways-100")
            .unwrap();
        assert!(
            router.node.id.starts_with("router~1.1.1.1~"),
            "{}",
            router.node.id
        );
        assert!(
            cases
                .iter()
                .all(|case| case.files[0].is_file() && !case.name.starts_with("secrets"))
        );
        assert!(cases.len() > 15, "{}", cases.len());
    }
}

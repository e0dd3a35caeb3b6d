//! Istio's benchmark worlds, as `../shared/corpus/bench-configs/README.md` describes them, also at the sizes that Istio runs
//! them with, and worlds with EnvoyFilters.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::grown::{Grown, documents, grown};
use super::patches::envoy_filters;
use crate::corpus::{Locality, NodeSpec, TYPES};

/// Proxies of these types are not served yet.
const NOT_SERVED: [&str; 1] = ["waypoint"];
/// The type of secrets.
pub const SECRETS: &str = "sds";
/// The step from objects to a world and a scope.
pub const INIT: &str = "init";
/// The step from one changed object to the next world and scope.
pub const NEXT: &str = "next";
/// The whole way to a snapshot.
pub const ALL: &str = "all";

/// Cases that istiod was measured with, and what its table calls them.
const MEASURED: [(&str, &str); 14] = [
    ("auto-100", "auto"),
    ("disabled-0", "disabled"),
    ("externalname-100", "externalname"),
    ("gateways-1000", "gateways"),
    ("gateways-shared-1000", "gateways-shared"),
    ("http-100", "http"),
    ("knative-gateway-101", "knative-gateway"),
    ("secrets-10", "secrets-10"),
    ("secrets-1000", "secrets-1000"),
    (
        "serviceentry-workloadentry-100",
        "serviceentry-workloadentry",
    ),
    ("strict-0", "strict"),
    ("tcp-100", "tcp"),
    ("tls-100", "tls"),
    ("virtualservice-100", "virtualservice"),
];

/// Cases that are made of others: the name, the other, and the size.
const GROWN: [(&str, &str, Grown); 6] = [
    ("externalname-100", "externalname-5", services(100)),
    ("gateways-1000", "gateways-100", services(1000)),
    (
        "gateways-shared-1000",
        "gateways-shared-100",
        services(1000),
    ),
    ("secrets-10", "secrets-5", services(10)),
    ("secrets-1000", "secrets-5", services(1000)),
    (
        "serviceentry-workloadentry-100",
        "serviceentry-workloadentry-5",
        Grown {
            services: 100,
            instances: 1000,
        },
    ),
];

const fn services(services: usize) -> Grown {
    Grown {
        services,
        instances: 0,
    }
}

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
    /// What istiod's table calls it; none: it was not measured.
    pub measured: Option<&'static str>,
}

/// All cases that Meltemi can serve, sorted by name. Worlds that are made of others are written to `made`.
pub fn cases(dir: &Path, made: &Path) -> Result<Vec<BenchCase>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let folder = entry?.path();
        let file = folder.join("case.yaml");
        if file.is_file()
            && let Some(case) = case(&folder, &read(&file)?)?
        {
            found.push(case);
        }
    }
    let write = |base: &BenchCase, name: &str, text: &str| -> Result<BenchCase> {
        let file = made.join(format!("{name}.yaml"));
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(BenchCase {
            name: name.to_owned(),
            files: vec![file],
            ..base.clone()
        })
    };
    let mut more = Vec::new();
    let base = |name: &str| found.iter().find(|case| case.name == name);
    for (name, of, size) in GROWN {
        if let Some(base) = base(of) {
            more.push(write(base, name, &grown(&read(&base.files[0])?, size))?);
        }
    }
    if let Some(base) = base("knative-gateway-100") {
        let text = last_private_only(&read(&base.files[0])?);
        more.push(write(base, "knative-gateway-101", &text)?);
    }
    if let Some(base) = base("disabled-0") {
        let text = read(&base.files[0])?.replace("mode: DISABLE", "mode: STRICT");
        more.push(write(base, "strict-0", &text)?);
    }
    if let Some(base) = base("tls-100") {
        let text = read(&base.files[0])?;
        let text = text.replace(
            "    name: tls\n    protocol: TLS",
            "    name: tcp\n    protocol: TCP",
        );
        more.push(write(base, "tcp-100", &text)?);
    }
    if let Some(base) = base("http-100") {
        let base = BenchCase {
            types: vec![ALL],
            ..base.clone()
        };
        let text = read(&base.files[0])?;
        for count in [5, 100] {
            let text = format!("{text}\n{}", envoy_filters(count, None));
            more.push(write(&base, &format!("envoyfilter-{count}"), &text)?);
        }
        more.push(write(&base, NO_ENVOY_FILTERS[0], &text)?);
        let text = format!("{text}\n{}", envoy_filters(100, Some("other")));
        more.push(write(&base, NO_ENVOY_FILTERS[1], &text)?);
    }
    found.extend(more);
    for case in &mut found {
        let measured = MEASURED.iter().find(|(name, _)| *name == case.name);
        case.measured = measured.map(|(_, istiod)| *istiod);
        if case.measured.is_some() && !case.types.contains(&SECRETS) {
            case.types.push(INIT);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A world without EnvoyFilters, and the same with such as select other workloads. They must cost the same.
pub const NO_ENVOY_FILTERS: [&str; 2] = ["envoyfilter-0", "envoyfilter-unselected-100"];

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

fn case(folder: &Path, text: &str) -> Result<Option<BenchCase>> {
    let case: CaseFile =
        serde_yaml::from_str(text).with_context(|| format!("parsing {}", folder.display()))?;
    let proxy = case.proxy_type.as_deref().unwrap_or("sidecar");
    let types = types(case.only_type.as_deref(), case.skip_type.as_deref());
    if NOT_SERVED.contains(&proxy) {
        return Ok(None);
    }
    Ok(Some(BenchCase {
        name: case.name,
        files: vec![folder.join("config.yaml")],
        node: proxy_of(proxy, "1.1.1.1"),
        types,
        measured: None,
    }))
}

fn types(only: Option<&str>, skip: Option<&str>) -> Vec<&'static str> {
    if only == Some("secrets") {
        return vec![SECRETS];
    }
    let names = ["clusters", "endpoints", "listeners", "routes"];
    let wanted = |name: &str| only.is_none_or(|only| only == name) && skip != Some(name);
    names
        .into_iter()
        .zip(TYPES)
        .filter(|(name, _)| wanted(name))
        .map(|(_, kind)| kind)
        .collect()
}

/// Istio's template lacks a separator, so that istiod reads only the last of the private VirtualServices.
fn last_private_only(text: &str) -> String {
    let private = |document: &&str| document.contains("  name: hello-private-ingress-");
    let last = documents(text).filter(private).last();
    let kept: Vec<&str> = documents(text)
        .filter(|document| !private(document) || Some(*document) == last)
        .collect();
    kept.join("\n---\n")
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
            (Some("secrets"), None, &[SECRETS]),
        ] {
            assert_eq!(types(only, skip), expected, "{only:?} {skip:?}");
        }
    }

    #[test]
    fn the_cases_are_read() {
        let Some(dir) = bench_configs() else {
            return skipped("no corpus");
        };
        let made = tempfile::tempdir().unwrap();
        let cases = cases(&dir, made.path()).unwrap();
        let case = |name: &str| cases.iter().find(|case| case.name == name).unwrap();
        let node = &case("gateways-100").node.id;
        assert!(node.starts_with("router~1.1.1.1~"), "{node}");
        assert!(cases.iter().all(|case| case.files[0].is_file()));
        assert!(cases.len() > 30, "{}", cases.len());
        for (name, istiod) in MEASURED {
            assert_eq!(case(name).measured, Some(istiod));
        }
        let count = |name: &str, kind: &str| {
            let text = read(&case(name).files[0]).unwrap();
            text.matches(&format!("kind: {kind}\n")).count()
        };
        assert_eq!(count("knative-gateway-101", "VirtualService"), 101);
        assert_eq!(count("gateways-1000", "Gateway"), 1000);
        assert_eq!(count("serviceentry-workloadentry-100", "ServiceEntry"), 101);
        assert_eq!(
            count("serviceentry-workloadentry-100", "WorkloadEntry"),
            1000
        );
        assert_eq!(count("secrets-1000", "Secret"), 1000);
        assert_eq!(count("envoyfilter-100", "EnvoyFilter"), 100);
    }
}

//! The manifests that the demo brings along: Bookinfo, and the routing steps of its tour.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Path in the folder, and content. The folder `.routing` is not read: it holds what a user may copy.
const FILES: [(&str, &str); 13] = [
    (
        "bookinfo/details.yaml",
        include_str!("../../examples/bookinfo/details.yaml"),
    ),
    (
        "bookinfo/productpage.yaml",
        include_str!("../../examples/bookinfo/productpage.yaml"),
    ),
    (
        "bookinfo/ratings.yaml",
        include_str!("../../examples/bookinfo/ratings.yaml"),
    ),
    (
        "bookinfo/reviews.yaml",
        include_str!("../../examples/bookinfo/reviews.yaml"),
    ),
    (
        "bookinfo/gateway.yaml",
        include_str!("../../examples/bookinfo/gateway.yaml"),
    ),
    (
        "bookinfo/destination-rules.yaml",
        include_str!("../../examples/bookinfo/destination-rules.yaml"),
    ),
    (".routing/all-v1.yaml", ALL_V1),
    (".routing/jason-v2.yaml", JASON_V2),
    (".routing/50-50.yaml", HALF_V3),
    (".routing/v3.yaml", ONLY_V3),
    (".routing/registry-only.yaml", REGISTRY_ONLY),
    (".routing/serviceentry.yaml", SERVICE_ENTRY),
    (
        ".routing/README.md",
        include_str!("../../examples/routing/README.md"),
    ),
];

/// All traffic to version 1.
pub(crate) const ALL_V1: &str = include_str!("../../examples/routing/all-v1.yaml");
/// The user jason to version 2, the rest to version 1.
pub(crate) const JASON_V2: &str = include_str!("../../examples/routing/jason-v2.yaml");
/// Half to version 1, half to version 3.
pub(crate) const HALF_V3: &str = include_str!("../../examples/routing/50-50.yaml");
/// All to version 3.
pub(crate) const ONLY_V3: &str = include_str!("../../examples/routing/v3.yaml");
/// Only known services may be called.
pub(crate) const REGISTRY_ONLY: &str = include_str!("../../examples/routing/registry-only.yaml");
/// Makes httpbin.org known.
pub(crate) const SERVICE_ENTRY: &str = include_str!("../../examples/routing/serviceentry.yaml");
/// Writes all of them into a folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    for (path, text) in FILES {
        write_file(&folder.join(path), text)?;
    }
    Ok(())
}

/// Writes one file, with the folders above it.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("creating {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::manifest::{documents, documents_in, read};

    #[test]
    fn the_examples_are_bookinfo_and_nothing_else_runs() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let parsed = documents_in(folder.path()).unwrap();
        let read = read(&parsed, &mut BTreeMap::new());
        assert_eq!(read.problems, Vec::<String>::new());
        let names: Vec<&str> = read
            .workloads
            .keys()
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "details-v1",
                "productpage-v1",
                "ratings-v1",
                "reviews-v1",
                "reviews-v2",
                "reviews-v3"
            ]
        );
        assert_eq!(read.services.len(), 4);
    }

    #[test]
    fn every_routing_step_parses() {
        for (path, text) in FILES.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            for document in documents(text) {
                assert_eq!(document.problem, None, "{path}");
            }
        }
    }
}

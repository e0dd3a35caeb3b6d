//! I7: in a snapshot endpoints and routes are exactly those that clusters and listeners name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::refer::{endpoints_of, routes_of};
use meltemi::offline;
use meltemi_model::{ProxySnapshot, ResourceType};
use meltemi_sources::lower::LowerSettings;
use meltemi_tests::bench::cases::cases;
use meltemi_tests::shared::{bench_configs, skipped};
use meltemi_tests::worlds::world;
use proptest::prelude::*;

use crate::mesh::{engine, good, snapshots};

/// Names that are asked for in vain, and names that nobody asks for.
fn dangling(snapshot: &ProxySnapshot) -> Vec<String> {
    let bodies = |ty| {
        snapshot
            .set(ty)
            .by_name
            .values()
            .map(|resource| &resource.body)
    };
    let served = |ty| -> BTreeSet<String> {
        snapshot
            .set(ty)
            .by_name
            .keys()
            .map(ToString::to_string)
            .collect()
    };
    let endpoints: BTreeSet<String> = bodies(ResourceType::Cluster)
        .flat_map(endpoints_of)
        .collect();
    let routes: BTreeSet<String> = bodies(ResourceType::Listener).flat_map(routes_of).collect();
    let mut found = Vec::new();
    for (ty, asked) in [
        (ResourceType::Endpoint, endpoints),
        (ResourceType::Route, routes),
    ] {
        let served = served(ty);
        found.extend(
            asked
                .difference(&served)
                .map(|name| format!("{} {name}: not served", ty.short())),
        );
        found.extend(
            served
                .difference(&asked)
                .map(|name| format!("{} {name}: nobody asks", ty.short())),
        );
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn i7_references_hold(objects in world(0..30)) {
        for snapshot in snapshots(&engine(good(&objects))) {
            prop_assert_eq!(dangling(&snapshot), Vec::<String>::new());
        }
    }
}

#[test]
fn i7_references_hold_in_istios_bench_worlds() {
    let Some(dir) = bench_configs() else {
        return skipped("no corpus");
    };
    let made = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in cases(&dir, made.path()).unwrap() {
        let files: Vec<PathBuf> = case.files.clone();
        let input = offline::read(&files, &LowerSettings::default()).unwrap();
        let node = offline::Node {
            id: case.node.id.clone(),
            cluster: case.node.cluster.clone(),
            locality: String::new(),
            metadata: case.node.metadata.clone(),
        };
        let answer = offline::compile(&input, &node).unwrap();
        let found = dangling(&answer.snapshot);
        wrong.extend(
            found
                .into_iter()
                .map(|found| format!("{}: {found}", case.name)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

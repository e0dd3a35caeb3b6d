//! The random worlds are worth their time: nearly all of their objects are used, and they make resources of all types.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_model::{Kind, ResourceType};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_tests::worlds::world;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::mesh::{engine, good, snapshots};

#[test]
fn random_worlds_have_good_objects_of_every_kind() {
    let objects = world(1500)
        .new_tree(&mut TestRunner::deterministic())
        .unwrap()
        .current();
    let mut used: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    let mut problems = BTreeSet::new();
    for object in &objects {
        let lowered = lower(object, &LowerSettings::default());
        let (all, good) = used.entry(lowered.key.expect("a key").kind).or_default();
        *all += 1;
        *good += usize::from(lowered.object.is_some());
        problems.extend(lowered.diagnostics.iter().map(ToString::to_string));
    }
    // Certificates are in nothing that is compiled; those that are random would be none. Facts of networks are no objects.
    let left_out = [Kind::Secret, Kind::CaConfigMap, Kind::Network];
    assert_eq!(used.len(), Kind::ALL.len() - left_out.len(), "{used:?}");
    assert!(left_out.iter().all(|kind| !used.contains_key(kind)));
    for (kind, (all, good)) in used {
        assert!(
            good * 10 >= all * 7,
            "{kind:?}: only {good} of {all} are used: {problems:#?}"
        );
    }
}

#[test]
fn random_worlds_make_resources_of_every_type() {
    let mut runner = TestRunner::deterministic();
    let mut made: BTreeMap<ResourceType, usize> = BTreeMap::new();
    for _ in 0..25 {
        let objects = world(20..40).new_tree(&mut runner).unwrap().current();
        for snapshot in snapshots(&engine(good(&objects))) {
            for ty in ResourceType::ALL {
                *made.entry(ty).or_default() += snapshot.set(ty).by_name.len();
            }
        }
    }
    // Only a few of the patches bring an extension's configuration, and a proxy has one table of names at most.
    let least = |ty| match ty {
        ResourceType::Extension => 3,
        ResourceType::NameTable => 20,
        _ => 100,
    };
    assert!(
        ResourceType::ALL.iter().all(|ty| made[ty] > least(*ty)),
        "{made:?}"
    );
}

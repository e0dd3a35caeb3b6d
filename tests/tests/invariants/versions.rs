//! I4: replicas that were told the same in another order agree, also before and after a restart.

use meltemi_model::ResourceType;
use meltemi_tests::worlds::{object, world};
use proptest::prelude::*;

use crate::mesh::{content, contents, difference, engine, good, last_of_each, snapshots};
use meltemi_world::Change;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn i4_versions_depend_on_bytes_only(
        (objects, shuffled) in world(0..25).prop_map(|values| last_of_each(good(&values))).prop_flat_map(|o| (Just(o.clone()), Just(o).prop_shuffle())),
        passing in prop::collection::vec(object(), 1..5),
    ) {
        let first = engine(objects.clone());
        // The other replica has seen objects come and go, and those that stay one by one.
        let other = engine(good(&passing));
        let _kept = snapshots(&other);
        let gone = good(&passing).into_iter().filter(|o| objects.iter().all(|s| s.key() != o.key()));
        other.apply(gone.map(|o| Change::Delete(o.key().clone())).collect(), Vec::new());
        for object in shuffled {
            other.apply(vec![Change::Apply(object)], Vec::new());
        }
        let restarted = engine(objects);
        for (one, two) in snapshots(&first).iter().zip(snapshots(&other)) {
            for ty in ResourceType::ALL {
                prop_assert_eq!(one.set(ty).version, two.set(ty).version, "{:#?}", difference(&content(one), &content(&two)));
            }
            prop_assert_eq!(content(one), content(&two));
        }
        prop_assert_eq!(contents(&first), contents(&restarted));
    }
}

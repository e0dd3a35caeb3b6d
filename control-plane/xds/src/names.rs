//! The names that a client is subscribed to, kept as a difference to a shared resource set.
//!
//! Nearly every proxy watches exactly the endpoints of its clusters, so its names are the keys of the set that it was
//! sent. Storing only what differs makes a subscription to ten thousand names cost nothing per connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_model::{ResourceSet, ResourceType, Str};

use crate::diff::SetDiff;

/// A set of names: the keys of `like`, without `minus`, with `plus`.
#[derive(Debug, Clone)]
pub struct Names {
    like: Arc<ResourceSet>,
    /// Never keys of `like`.
    plus: BTreeSet<Str>,
    /// Always keys of `like`.
    minus: BTreeSet<Str>,
}

/// Below this many own names a comparison with the whole set cannot save enough to be worth it.
const COMPACT_ABOVE: usize = 16;

impl Names {
    /// No names.
    pub fn none(ty: ResourceType) -> Self {
        Self {
            like: Arc::new(ResourceSet::empty(ty)),
            plus: BTreeSet::new(),
            minus: BTreeSet::new(),
        }
    }

    /// Whether the name is a member.
    pub fn contains(&self, name: &str) -> bool {
        self.plus.contains(name)
            || (self.like.by_name.contains_key(name) && !self.minus.contains(name))
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.like.by_name.len() - self.minus.len() + self.plus.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many names this subscription stores itself.
    pub fn own(&self) -> usize {
        self.plus.len() + self.minus.len()
    }

    /// All names, those of the shared set first.
    pub fn iter(&self) -> impl Iterator<Item = &Str> {
        self.like
            .by_name
            .keys()
            .filter(|n| !self.minus.contains(*n))
            .chain(&self.plus)
    }

    /// Adds a name; says whether it is new.
    pub fn insert(&mut self, name: &Str) -> bool {
        if self.like.by_name.contains_key(name) {
            self.minus.remove(name)
        } else {
            self.plus.insert(name.clone())
        }
    }

    /// Drops a name; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        match self.like.by_name.get_key_value(name) {
            Some((shared, _)) => self.minus.insert(shared.clone()),
            None => self.plus.remove(name),
        }
    }

    /// Stores the same names as a difference to `set`, if that is smaller.
    pub fn compact(&mut self, set: &Arc<ResourceSet>) {
        if self.own() <= COMPACT_ABOVE {
            return;
        }
        let plus: BTreeSet<Str> = self
            .iter()
            .filter(|n| !set.by_name.contains_key(*n))
            .cloned()
            .collect();
        let minus: BTreeSet<Str> = set
            .by_name
            .keys()
            .filter(|n| !self.contains(n))
            .cloned()
            .collect();
        if plus.len() + minus.len() < self.own() {
            *self = Self {
                like: set.clone(),
                plus,
                minus,
            };
        }
    }

    /// Moves from the set before a change to the one after it, so that the old one can be freed. Does nothing when the
    /// names are not stored as a difference to the old set.
    pub fn rebase(&mut self, old: &Arc<ResourceSet>, diff: &SetDiff, new: &Arc<ResourceSet>) {
        if !Arc::ptr_eq(&self.like, old) {
            return;
        }
        for name in &diff.added {
            if !self.plus.remove(name) {
                self.minus.insert(name.clone());
            }
        }
        for resource in &diff.removed {
            if !self.minus.remove(&resource.name) {
                self.plus.insert(resource.name.clone());
            }
        }
        self.like = new.clone();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use meltemi_model::Resource;
    use proptest::prelude::*;

    use super::*;

    fn set(names: &BTreeSet<u8>) -> Arc<ResourceSet> {
        let resource = |n: &u8| {
            let name: Str = n.to_string().into();
            Arc::new(Resource::new(
                ResourceType::Endpoint,
                name,
                Bytes::from(vec![*n]),
                Arc::from([]),
            ))
        };
        Arc::new(ResourceSet::new(
            ResourceType::Endpoint,
            names.iter().map(resource),
        ))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8),
        Remove(u8),
        Compact,
        Rebase(BTreeSet<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..60).prop_map(Step::Insert),
            2 => (0u8..60).prop_map(Step::Remove),
            1 => Just(Step::Compact),
            1 => prop::collection::btree_set(0u8..60, 0..60).prop_map(Step::Rebase),
        ]
    }

    proptest! {
        #[test]
        fn the_names_are_those_of_a_plain_set(steps in prop::collection::vec(step(), 0..80)) {
            let (mut names, mut plain) = (Names::none(ResourceType::Endpoint), BTreeSet::<Str>::new());
            let mut current = set(&BTreeSet::new());
            names.like = current.clone();
            for step in steps {
                match step {
                    Step::Insert(n) => {
                        let n: Str = n.to_string().into();
                        prop_assert_eq!(names.insert(&n), plain.insert(n));
                    }
                    Step::Remove(n) => prop_assert_eq!(names.remove(&n.to_string()), plain.remove(n.to_string().as_str())),
                    Step::Compact => names.compact(&current),
                    Step::Rebase(next) => {
                        let next = set(&next);
                        names.rebase(&current, &crate::diff::diff(&current, &current, &next, &next), &next);
                        current = next;
                    }
                }
                prop_assert_eq!(names.iter().cloned().collect::<BTreeSet<Str>>(), plain.clone());
                prop_assert_eq!(names.len(), plain.len());
            }
        }
    }

    #[test]
    fn a_subscription_to_the_whole_set_stores_no_names() {
        let whole = set(&(0..50).collect());
        let mut names = Names::none(ResourceType::Endpoint);
        for name in whole.by_name.keys() {
            names.insert(name);
        }
        assert_eq!(names.own(), 50);
        names.compact(&whole);
        assert_eq!((names.own(), names.len()), (0, 50));
    }
}

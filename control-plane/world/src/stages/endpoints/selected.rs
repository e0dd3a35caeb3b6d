//! The rows that selectors select.

use std::collections::BTreeMap;

use meltemi_model::{Labels, Shared, Str};

use crate::store::Table;

/// What the service at a place looks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) place: usize,
    pub(super) namespace: &'a Str,
    pub(super) selector: &'a Labels,
}

impl<'a> Wish<'a> {
    /// A label that a row must have, by which it is found.
    fn first(&self) -> Option<(&'a Str, &'a Str)> {
        self.selector.0.first_key_value()
    }
}

/// The rows of a table for each place, by name. Each row looks for the wishes that it meets, by the first label of each, so
/// that a thousand rows and a thousand selectors are not a million comparisons.
pub(super) fn selected<'a, T>(
    mut wishes: Vec<Wish<'a>>,
    table: &'a Table<T>,
    labels: impl Fn(&T) -> &Labels,
) -> BTreeMap<usize, Vec<&'a Shared<T>>> {
    let mut found: BTreeMap<usize, Vec<&'a Shared<T>>> = BTreeMap::new();
    if table.is_empty() {
        return found;
    }
    wishes.sort_by(|a, b| (a.namespace, a.first()).cmp(&(b.namespace, b.first())));
    let mut lists: Vec<Vec<&'a Shared<T>>> = wishes.iter().map(|_| Vec::new()).collect();
    let mut start = 0;
    for wishes in wishes.chunk_by(|a, b| a.namespace == b.namespace) {
        let lists = &mut lists[start..start + wishes.len()];
        start += wishes.len();
        let Some(namespace) = wishes.first().map(|wish| wish.namespace) else {
            continue;
        };
        let name = |wish: &Wish<'a>| wish.first().map(|(name, _)| name);
        let mut groups = Vec::new();
        let mut begin = 0;
        for group in wishes.chunk_by(|a, b| name(a) == name(b)) {
            groups.push((begin, name(&group[0]), group));
            begin += group.len();
        }
        for row in table.in_namespace(namespace) {
            let own = labels(row);
            for (begin, name, group) in &groups {
                let range = match name {
                    None => 0..group.len(),
                    Some(name) => match own.get(name) {
                        None => continue,
                        Some(value) => {
                            let of = |wish: &Wish<'a>| wish.first().map(|(_, value)| value);
                            let start = group.partition_point(|wish| of(wish) < Some(value));
                            let rest = &group[start..];
                            start..start + rest.partition_point(|wish| of(wish) == Some(value))
                        }
                    },
                };
                for at in range {
                    if own.satisfies(group[at].selector) {
                        lists[begin + at].push(row);
                    }
                }
            }
        }
    }
    for (wish, list) in wishes.iter().zip(lists) {
        if !list.is_empty() {
            found.insert(wish.place, list);
        }
    }
    found
}

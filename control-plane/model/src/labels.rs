//! Label sets and equality selectors.

use std::collections::BTreeMap;

use crate::Str;

/// Labels of an object, sorted by key; also an equality selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub BTreeMap<Str, Str>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&Str> {
        self.0.get(key)
    }

    /// Whether no label is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every label of `selector` is here with the same value. The empty selector selects everything; callers
    /// for which it means "nothing" (a Service without a selector) check for that first.
    pub fn satisfies(&self, selector: &Labels) -> bool {
        selector.0.iter().all(|(k, v)| self.0.get(k) == Some(v))
    }
}

impl<K: Into<Str>, V: Into<Str>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self(
            iter.into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_part_of_the_labels() {
        let own: Labels = [("app", "a"), ("version", "v1")].into_iter().collect();
        for (selector, want) in [
            (&[][..], true),
            (&[("app", "a")], true),
            (&[("app", "a"), ("version", "v1")], true),
            (&[("app", "b")], false),
            (&[("app", "a"), ("tier", "x")], false),
        ] {
            let wanted: Labels = selector.iter().copied().collect();
            assert_eq!(own.satisfies(&wanted), want, "{selector:?}");
        }
    }
}

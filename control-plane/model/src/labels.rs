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

/// A selector as Kubernetes spells it. It selects what meets every requirement; without any, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector(pub Vec<LabelRequirement>);

/// What a label must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelRequirement {
    /// It is there with one of these values.
    In(Str, Vec<Str>),
    /// It is not there, or with another value.
    NotIn(Str, Vec<Str>),
    /// It is there.
    Exists(Str),
    /// It is not there.
    DoesNotExist(Str),
}

impl LabelSelector {
    /// Whether something with these labels is selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            LabelRequirement::In(key, values) => {
                labels.get(key).is_some_and(|v| values.contains(v))
            }
            LabelRequirement::NotIn(key, values) => {
                labels.get(key).is_none_or(|v| !values.contains(v))
            }
            LabelRequirement::Exists(key) => labels.get(key).is_some(),
            LabelRequirement::DoesNotExist(key) => labels.get(key).is_none(),
        })
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

    #[test]
    fn a_kubernetes_selector_is_a_list_of_requirements() {
        let own: Labels = [("app", "a"), ("version", "v1")].into_iter().collect();
        let values = |list: &[&str]| list.iter().map(|v| Str::from(*v)).collect::<Vec<_>>();
        for (requirement, want) in [
            (
                LabelRequirement::In("app".into(), values(&["b", "a"])),
                true,
            ),
            (LabelRequirement::In("app".into(), values(&["b"])), false),
            (LabelRequirement::In("none".into(), values(&["b"])), false),
            (LabelRequirement::NotIn("app".into(), values(&["a"])), false),
            (LabelRequirement::NotIn("none".into(), values(&["a"])), true),
            (LabelRequirement::Exists("version".into()), true),
            (LabelRequirement::Exists("none".into()), false),
            (LabelRequirement::DoesNotExist("none".into()), true),
            (LabelRequirement::DoesNotExist("app".into()), false),
        ] {
            let selector = LabelSelector(vec![requirement]);
            assert_eq!(selector.selects(&own), want, "{selector:?}");
        }
        assert!(LabelSelector::default().selects(&own));
    }
}

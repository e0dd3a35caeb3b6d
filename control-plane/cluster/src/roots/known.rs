//! What is known of the namespaces and their ConfigMaps, and which namespaces have to be looked at. No IO.
//!
//! Every method that learns something answers with the namespaces whose ConfigMap may have to be written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;

use super::LEFT_OUT;
use crate::selector::AnyOf;

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    labels: BTreeMap<String, String>,
    terminating: bool,
}

#[derive(Debug)]
pub(super) struct Known {
    only: Option<String>,
    selectors: AnyOf,
    namespaces: BTreeMap<String, State>,
    /// Namespaces whose ConfigMap holds the current text.
    right: BTreeSet<String>,
    /// The namespaces of a list that is being read.
    listed: Option<BTreeSet<String>>,
    /// The namespaces of the ConfigMaps of a list that is being read.
    listed_maps: Option<BTreeSet<String>>,
    namespaces_read: bool,
    maps_read: bool,
}

impl Known {
    pub(super) fn new(only: Option<String>) -> Self {
        Self {
            only,
            selectors: AnyOf::default(),
            namespaces: BTreeMap::new(),
            right: BTreeSet::new(),
            listed: None,
            listed_maps: None,
            namespaces_read: false,
            maps_read: false,
        }
    }

    /// Whether both lists have been read once. Before, what is missing may only not be known yet.
    pub(super) fn is_complete(&self) -> bool {
        self.namespaces_read && self.maps_read
    }

    /// Selects by other labels; the namespaces that are to be looked at.
    pub(super) fn select_by(&mut self, selectors: AnyOf) -> Vec<String> {
        self.selectors = selectors;
        self.wanting()
    }

    pub(super) fn namespaces_begin(&mut self) -> Vec<String> {
        self.listed = Some(BTreeSet::new());
        Vec::new()
    }

    pub(super) fn namespace(&mut self, namespace: Namespace) -> Vec<String> {
        let Some(name) = namespace.metadata.name else {
            return Vec::new();
        };
        let phase = namespace.status.and_then(|status| status.phase);
        let state = State {
            labels: namespace.metadata.labels.unwrap_or_default(),
            terminating: phase.as_deref() == Some("Terminating"),
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        self.namespaces.insert(name.clone(), state);
        self.if_wanting(name)
    }

    pub(super) fn namespaces_end(&mut self) -> Vec<String> {
        self.namespaces_read = true;
        if let Some(listed) = self.listed.take() {
            self.namespaces.retain(|name, _| listed.contains(name));
            self.right.retain(|name| listed.contains(name));
        }
        Vec::new()
    }

    pub(super) fn namespace_gone(&mut self, name: &str) -> Vec<String> {
        self.namespaces.remove(name);
        self.right.remove(name);
        Vec::new()
    }

    pub(super) fn config_maps_begin(&mut self) -> Vec<String> {
        self.listed_maps = Some(BTreeSet::new());
        Vec::new()
    }

    /// The ConfigMap of a namespace is as it should be, or is not.
    pub(super) fn config_map(&mut self, namespace: String, right: bool) -> Vec<String> {
        if let Some(listed) = &mut self.listed_maps {
            listed.insert(namespace.clone());
        }
        if right {
            self.right.insert(namespace);
            Vec::new()
        } else {
            self.right.remove(&namespace);
            self.if_wanting(namespace)
        }
    }

    pub(super) fn config_maps_end(&mut self) -> Vec<String> {
        self.maps_read = true;
        if let Some(listed) = self.listed_maps.take() {
            self.right.retain(|namespace| listed.contains(namespace));
        }
        self.wanting()
    }

    /// The text is another: no ConfigMap is right.
    pub(super) fn all_wrong(&mut self) -> Vec<String> {
        self.right.clear();
        self.wanting()
    }

    /// The ConfigMap of a namespace was read or written and holds the current text.
    pub(super) fn is_right(&mut self, namespace: &str) {
        self.right.insert(namespace.to_owned());
    }

    fn wanting(&self) -> Vec<String> {
        let names = self.namespaces.keys();
        names
            .filter(|name| self.is_wanting(name))
            .cloned()
            .collect()
    }

    fn if_wanting(&self, name: String) -> Vec<String> {
        if self.is_wanting(&name) {
            vec![name]
        } else {
            Vec::new()
        }
    }

    fn is_wanting(&self, name: &str) -> bool {
        let is_other = self.only.as_deref().is_some_and(|only| only != name);
        if is_other || LEFT_OUT.contains(&name) || self.right.contains(name) {
            return false;
        }
        match self.namespaces.get(name) {
            Some(state) => !state.terminating && self.selectors.selects(&state.labels),
            // A ConfigMap in a namespace of which we have not heard yet; its own event follows.
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace {
            metadata: ObjectMeta {
                name: Some(name.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        }
    }

    fn known(names: &[&str]) -> Known {
        let mut known = Known::new(None);
        known.namespaces_begin();
        for name in names {
            known.namespace(namespace(name));
        }
        known.namespaces_end();
        known
    }

    #[test]
    fn what_is_missing_or_wrong_is_wanting() {
        let mut known = known(&["a", "b", "c", "kube-system", "kube-public"]);
        assert!(!known.is_complete());
        known.config_maps_begin();
        assert!(known.config_map("a".into(), true).is_empty());
        assert_eq!(known.config_map("b".into(), false), ["b"]);
        assert_eq!(known.config_maps_end(), ["b", "c", "kube-system"]);
        assert!(known.is_complete());
        assert_eq!(known.config_map("a".into(), false), ["a"]);
        assert_eq!(known.all_wrong(), ["a", "b", "c", "kube-system"]);
    }

    #[test]
    fn what_a_list_lacks_is_gone() {
        let mut known = known(&["a", "b"]);
        known.config_maps_begin();
        known.config_map("a".into(), true);
        known.config_map("b".into(), true);
        assert!(known.config_maps_end().is_empty());
        known.config_maps_begin();
        known.config_map("a".into(), true);
        assert_eq!(known.config_maps_end(), ["b"]);
        known.namespaces_begin();
        known.namespace(namespace("a"));
        known.namespaces_end();
        assert_eq!(known.all_wrong(), ["a"]);
    }

    #[test]
    fn a_namespace_that_goes_away_wants_nothing() {
        let mut known = known(&["a"]);
        let mut going = namespace("a");
        going.status.get_or_insert_default().phase = Some("Terminating".into());
        assert!(known.namespace(going).is_empty());
        assert!(known.config_map("a".into(), false).is_empty());
        assert_eq!(known.namespace(namespace("a")), ["a"]);
    }

    #[test]
    fn one_namespace_only() {
        let mut known = Known::new(Some("b".into()));
        assert!(known.namespace(namespace("a")).is_empty());
        assert_eq!(known.namespace(namespace("b")), ["b"]);
    }
}

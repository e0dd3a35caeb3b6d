//! EnvoyFilters in the order in which they are applied. Istio 1.31: `PushContext.EnvoyFilters`.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_model::envoy_filter::{EnvoyFilter, ProxyCondition};
use meltemi_model::mesh::Mesh;
use meltemi_model::{Labels, Shared, Str};

use crate::store::Table;

/// The EnvoyFilters of each namespace.
#[derive(Debug, Default)]
pub struct EnvoyFilters {
    namespaces: BTreeMap<Str, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    /// By priority, then oldest first.
    filters: Vec<Shared<EnvoyFilter>>,
    /// What their patches ask of proxies.
    conditions: BTreeSet<ProxyCondition>,
}

/// Sorts the EnvoyFilters.
pub fn envoy_filters(table: &Table<EnvoyFilter>) -> EnvoyFilters {
    let mut out = EnvoyFilters::default();
    for (key, filter) in table.iter() {
        let row = out.namespaces.entry(key.namespace.clone()).or_default();
        row.filters.push(filter.clone());
        let conditions = filter.patches.iter().filter_map(|p| p.proxy.clone());
        row.conditions.extend(conditions);
    }
    for row in out.namespaces.values_mut() {
        row.filters.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    out
}

fn order(filter: &EnvoyFilter) -> (i32, (i64, &str, &str)) {
    (filter.priority, filter.meta.age_order())
}

impl EnvoyFilters {
    /// Those that select a workload, in the order in which they are applied: by priority, those of the root namespace
    /// first, then by age.
    pub fn selecting(
        &self,
        namespace: &str,
        labels: &Labels,
        mesh: &Mesh,
    ) -> Vec<&Shared<EnvoyFilter>> {
        let mut found: Vec<_> = self
            .rows(namespace, mesh)
            .flat_map(|row| &row.filters)
            .filter(|filter| filter.selects(labels))
            .collect();
        // Each namespace is sorted already, and the root's rows came first: the sort is stable.
        found.sort_by_key(|filter| filter.priority);
        found
    }

    /// What the EnvoyFilters that may be for a proxy of this namespace ask of it.
    pub fn conditions<'a>(
        &'a self,
        namespace: &str,
        mesh: &Mesh,
    ) -> impl Iterator<Item = &'a ProxyCondition> {
        self.rows(namespace, mesh).flat_map(|row| &row.conditions)
    }

    fn rows<'a>(&'a self, namespace: &str, mesh: &Mesh) -> impl Iterator<Item = &'a Namespace> {
        let root = &mesh.root_namespace;
        let own = (*namespace != **root).then(|| self.namespaces.get(namespace));
        let root = self.namespaces.get(root);
        root.into_iter().chain(own.flatten())
    }
}

#[cfg(test)]
mod tests {
    use meltemi_model::testing::{labels, meta};
    use meltemi_model::{Kind, Meta, Object};

    use super::*;
    use crate::store::{Change, Store};

    fn filter(namespace: &str, name: &str, priority: i32, created: i64, selector: &str) -> Object {
        let filter = EnvoyFilter {
            meta: Meta {
                created,
                ..meta(Kind::EnvoyFilter, namespace, name)
            },
            selector: labels(selector),
            gateways: None,
            priority,
            references: Vec::new(),
            patches: Vec::new(),
        };
        filter.into()
    }

    #[test]
    fn priority_then_the_root_namespace_then_age_decide_the_order() {
        let mut store = Store::default();
        let objects = [
            filter("ns", "b-old", 0, 1, ""),
            filter("ns", "a-new", 0, 2, ""),
            filter("ns", "c-new", 0, 2, ""),
            filter("ns", "early", -1, 9, ""),
            filter("ns", "foreign", 0, 1, "app=other"),
            filter("istio-system", "root", 0, 5, ""),
            filter("istio-system", "late", 3, 0, "app=x"),
            filter("elsewhere", "no", 0, 0, ""),
        ];
        store.apply(objects.into_iter().map(Change::Apply));
        let sorted = envoy_filters(&store.envoy_filters);
        let mesh = Mesh {
            root_namespace: "istio-system".into(),
            ..Mesh::default()
        };
        let names = |namespace: &str| -> Vec<String> {
            let found = sorted.selecting(namespace, &labels("app=x"), &mesh);
            found
                .into_iter()
                .map(|f| f.meta.key.name.to_string())
                .collect()
        };
        assert_eq!(
            names("ns"),
            ["early", "root", "b-old", "a-new", "c-new", "late"]
        );
        assert_eq!(names("istio-system"), ["root", "late"]);
    }
}

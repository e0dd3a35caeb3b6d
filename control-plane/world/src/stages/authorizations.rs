//! AuthorizationPolicies in the order in which proxies get them. Istio 1.31: `ListAuthorizationPolicies`.

use std::collections::BTreeMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::security::AuthorizationPolicy;
use meltemi_model::{Labels, Shared, Str};

use crate::store::Table;

/// The policies of each namespace, oldest first.
#[derive(Debug, Default)]
pub struct Authorizations {
    namespaces: BTreeMap<Str, Vec<Shared<AuthorizationPolicy>>>,
}

/// Sorts the policies.
pub fn authorizations(table: &Table<AuthorizationPolicy>) -> Authorizations {
    let mut out = Authorizations::default();
    for (key, policy) in table.iter() {
        let row = out.namespaces.entry(key.namespace.clone()).or_default();
        row.push(policy.clone());
    }
    for row in out.namespaces.values_mut() {
        row.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    }
    out
}

impl Authorizations {
    /// Those that guard a workload: the root namespace's first.
    pub fn workload(
        &self,
        namespace: &str,
        labels: &Labels,
        mesh: &Mesh,
    ) -> Vec<Shared<AuthorizationPolicy>> {
        let root = &*mesh.root_namespace;
        let of = |name: &str, is_own: bool| {
            let row = self.namespaces.get(name).into_iter().flatten();
            row.filter(move |policy| policy.target.selects(labels, is_own))
        };
        if namespace == root {
            return of(namespace, true).cloned().collect();
        }
        of(root, false)
            .chain(of(namespace, true))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use meltemi_model::Object;
    use meltemi_model::security::{AuthorizationAction, PolicyTarget};
    use meltemi_model::testing::{authorization_policy, labels};

    use super::*;
    use crate::store::{Change, Store};

    fn policy(namespace: &str, name: &str, created: i64, target: PolicyTarget) -> Object {
        let mut policy = authorization_policy(namespace, name, AuthorizationAction::Deny);
        policy.meta.created = created;
        AuthorizationPolicy { target, ..policy }.into()
    }

    fn selector(text: &str) -> PolicyTarget {
        PolicyTarget {
            selector: labels(text),
            gateways: None,
        }
    }

    fn gateway(name: &str) -> PolicyTarget {
        PolicyTarget {
            selector: Labels::default(),
            gateways: Some(vec![name.into()]),
        }
    }

    #[test]
    fn the_root_namespace_then_age_decide_the_order() {
        let mut store = Store::default();
        let objects = [
            policy("ns", "b-old", 1, selector("")),
            policy("ns", "a-new", 2, selector("app=x")),
            policy("ns", "foreign", 1, selector("app=other")),
            policy("istio-system", "root", 5, selector("")),
            policy("istio-system", "gateway", 5, gateway("edge")),
            policy("ns", "gateway", 5, gateway("edge")),
            policy("elsewhere", "no", 0, selector("")),
        ];
        store.apply(objects.into_iter().map(Change::Apply));
        let sorted = authorizations(&store.authorization_policies);
        let mesh = Mesh {
            root_namespace: "istio-system".into(),
            ..Mesh::default()
        };
        let names = |namespace: &str, own: &str| -> Vec<String> {
            let found = sorted.workload(namespace, &labels(own), &mesh);
            found.iter().map(|p| p.meta.key.name.to_string()).collect()
        };
        assert_eq!(names("ns", "app=x"), ["root", "b-old", "a-new"]);
        assert_eq!(names("istio-system", "app=x"), ["root"]);
        let edge = "gateway.networking.k8s.io/gateway-name=edge";
        assert_eq!(names("ns", edge), ["root", "b-old", "gateway"]);
    }
}

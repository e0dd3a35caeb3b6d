//! DestinationRules by namespace and host, merged where one namespace has several for a host.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_model::mesh::Mesh;
use meltemi_model::service::{ExportTo, Service};
use meltemi_model::traffic::{DestinationRule, MergedRule};
use meltemi_model::{Hostname, Labels, Shared, Str};

use crate::store::Table;

/// A merged rule with what decides for whom it is.
#[derive(Debug, Clone)]
struct Candidate {
    namespace: Str,
    export: Export,
    selector: Option<Labels>,
    rule: MergedRule,
}

/// `exportTo` as a set, in Istio's terms: empty is "not said".
type Export = BTreeSet<Str>;

/// Rules by host, exact and wildcard ones apart, in the manner of Istio's `consolidatedDestRules`.
#[derive(Debug, Default)]
struct ByHost {
    rules: BTreeMap<Hostname, Vec<Candidate>>,
}

/// All rules.
#[derive(Debug, Default)]
pub struct DestinationRules {
    local: BTreeMap<Str, ByHost>,
    exported: BTreeMap<Str, ByHost>,
    root_private: ByHost,
}

/// Merges and indexes. Istio 1.31: `setDestinationRules`.
pub fn destination_rules(table: &Table<DestinationRule>, mesh: &Mesh) -> DestinationRules {
    let mut sorted: Vec<&Shared<DestinationRule>> = table.iter().map(|(_, dr)| dr).collect();
    sorted.sort_by_key(|dr| (dr.workload_selector.is_none(), dr.meta.age_order()));
    let default_private = export_set(&mesh.destination_rule_export_to).contains(".");
    let mut all = DestinationRules::default();
    for rule in sorted {
        let own = &rule.meta.key.namespace;
        let export = match &rule.workload_selector {
            // A rule for some workloads of a namespace is nobody else's business.
            Some(_) => Export::from([".".into()]),
            None => export_set(&rule.export_to)
                .into_iter()
                .map(|n| if n == *own { ".".into() } else { n })
                .collect(),
        };
        if export.is_empty() || export.contains("*") || export.contains(".") {
            merge(all.local.entry(own.clone()).or_default(), rule, &export);
        }
        let private =
            (export.is_empty() && default_private) || (export.len() == 1 && export.contains("."));
        if !private {
            merge(all.exported.entry(own.clone()).or_default(), rule, &export);
        } else if *own == mesh.root_namespace {
            merge(&mut all.root_private, rule, &export);
        }
    }
    all
}

fn export_set(export: &ExportTo) -> Export {
    match export {
        ExportTo::Default => Export::new(),
        ExportTo::Nobody => Export::from(["~".into()]),
        ExportTo::Everybody => Export::from(["*".into()]),
        ExportTo::Namespaces(set) => set.clone(),
    }
}

/// Istio 1.31: `mergeDestinationRule`. Subsets are joined, the first policy stays; rules with different workload
/// selectors, or different `exportTo`, stay apart.
fn merge(into: &mut ByHost, rule: &Shared<DestinationRule>, export: &Export) {
    let list = into.rules.entry(rule.host.clone()).or_default();
    let mut separate = list.is_empty();
    let mut merged_any = false;
    for existing in list.iter_mut() {
        if *export == existing.export {
            separate = false;
        } else if !existing.export.is_empty() && export.is_superset(&existing.export) {
            separate = true;
        } else {
            separate = true;
            continue;
        }
        match (&existing.selector, &rule.workload_selector) {
            (Some(a), Some(b)) if a != b => {
                separate = true;
                continue;
            }
            (Some(_), Some(_)) | (None, None) => separate = false,
            _ => {}
        }
        merged_any = true;
        existing.rule.from.push(rule.meta.key.clone());
        for subset in &rule.subsets {
            if existing.rule.subsets.iter().all(|s| s.name != subset.name) {
                existing.rule.subsets.push(subset.clone());
            }
        }
        if existing.rule.policy.is_none() {
            existing.rule.policy.clone_from(&rule.policy);
        }
    }
    if separate || !merged_any {
        list.push(Candidate {
            namespace: rule.meta.key.namespace.clone(),
            export: export.clone(),
            selector: rule.workload_selector.clone(),
            rule: MergedRule {
                from: vec![rule.meta.key.clone()],
                policy: rule.policy.clone(),
                subsets: rule.subsets.clone(),
            },
        });
    }
}

impl ByHost {
    /// The rules of the most specific host that covers `host`.
    fn most_specific(&self, host: &Hostname) -> Option<&[Candidate]> {
        if let Some(exact) = self.rules.get(host) {
            return Some(exact);
        }
        self.rules
            .iter()
            .filter(|(pattern, _)| pattern.is_wildcard() && host.subset_of(pattern))
            .min_by(|(a, _), (b, _)| a.specificity(b))
            .map(|(_, rules)| rules.as_slice())
    }
}

impl DestinationRules {
    /// The rule that clients of `namespace` with `labels` use for a service: of their own namespace, else an exported
    /// one of the service's, else of the root namespace. Also whether a workload selector chose it.
    /// Istio 1.31: `PushContext.destinationRule`.
    pub fn choose(
        &self,
        service: &Service,
        namespace: &str,
        labels: &Labels,
        mesh: &Mesh,
    ) -> Option<(MergedRule, bool)> {
        let candidates = self.candidates(service, namespace, mesh);
        let mut general = None;
        for candidate in candidates {
            match &candidate.selector {
                None => general = Some(candidate),
                Some(selector) => {
                    if *candidate.namespace == *namespace && labels.satisfies(selector) {
                        return Some((candidate.rule.clone(), true));
                    }
                }
            }
        }
        general.map(|c| (c.rule.clone(), false))
    }

    /// The rule for a workload's own service, where rules with a workload selector do not count.
    pub fn choose_inbound(
        &self,
        service: &Service,
        namespace: &str,
        mesh: &Mesh,
    ) -> Option<MergedRule> {
        let candidates = self.candidates(service, namespace, mesh);
        candidates
            .into_iter()
            .rfind(|c| c.selector.is_none())
            .map(|c| c.rule.clone())
    }

    fn candidates(&self, service: &Service, namespace: &str, mesh: &Mesh) -> Vec<&Candidate> {
        let host = &service.key.host;
        let local = if *namespace == *mesh.root_namespace {
            self.root_private.most_specific(host)
        } else {
            self.local
                .get(namespace)
                .and_then(|rules| rules.most_specific(host))
        };
        if let Some(rules) = local {
            return rules.iter().collect();
        }
        for owner in [&service.key.namespace, &mesh.root_namespace] {
            let exported = self
                .exported
                .get(owner)
                .and_then(|rules| rules.most_specific(host));
            let visible: Vec<&Candidate> = exported
                .unwrap_or_default()
                .iter()
                .filter(|c| {
                    c.export.is_empty() || c.export.contains("*") || c.export.contains(namespace)
                })
                .collect();
            if !visible.is_empty() {
                return visible;
            }
        }
        Vec::new()
    }

    /// The labels by which any rule chooses workloads, so that scopes differ only where rules do.
    pub fn selects_workloads(&self) -> bool {
        self.local
            .values()
            .any(|l| l.rules.values().flatten().any(|c| c.selector.is_some()))
    }
}

#[cfg(test)]
mod tests;

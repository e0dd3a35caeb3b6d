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
    rule: Shared<MergedRule>,
}

/// `exportTo` as a set, in Istio's terms: empty is "not said".
type Export = BTreeSet<Str>;

/// Rules by host, exact and wildcard ones apart, in the manner of Istio's `consolidatedDestRules`.
#[derive(Debug, Default)]
struct ByHost {
    rules: BTreeMap<Hostname, Vec<Candidate>>,
    /// The wildcards among them, the most specific first.
    wildcards: Vec<Hostname>,
}

/// All rules.
#[derive(Debug, Default)]
pub struct DestinationRules {
    local: BTreeMap<Str, ByHost>,
    exported: BTreeMap<Str, ByHost>,
    root_private: ByHost,
    selects_workloads: bool,
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
    let namespaces = all.local.values_mut().chain(all.exported.values_mut());
    for by_host in namespaces.chain([&mut all.root_private]) {
        let wildcards = by_host.rules.keys().filter(|host| host.is_wildcard());
        by_host.wildcards = wildcards.cloned().collect();
        by_host.wildcards.sort_by(Hostname::specificity);
    }
    let mut local = all.local.values().flat_map(|l| l.rules.values().flatten());
    all.selects_workloads = local.any(|c| c.selector.is_some());
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
        let mut merged = (*existing.rule).clone();
        merged.from.push(rule.meta.key.clone());
        for subset in &rule.subsets {
            if merged.subsets.iter().all(|s| s.name != subset.name) {
                merged.subsets.push(subset.clone());
            }
        }
        if merged.policy.is_none() {
            merged.policy.clone_from(&rule.policy);
        }
        existing.rule = Shared::new(merged);
    }
    if separate || !merged_any {
        list.push(Candidate {
            namespace: rule.meta.key.namespace.clone(),
            export: export.clone(),
            selector: rule.workload_selector.clone(),
            rule: alone(rule),
        });
    }
}

/// What a rule is that no other is merged with, kept beside it.
fn alone(rule: &Shared<DestinationRule>) -> Shared<MergedRule> {
    let make = |rule: &Shared<DestinationRule>| {
        Shared::new(MergedRule {
            from: vec![rule.meta.key.clone()],
            policy: rule.policy.clone(),
            subsets: rule.subsets.clone(),
        })
    };
    let kept = rule.made(|_: &Shared<MergedRule>| true, make);
    Shared::clone(&kept)
}

impl ByHost {
    /// The rules of the most specific host that covers `host`.
    fn most_specific(&self, host: &Hostname) -> Option<&[Candidate]> {
        if let Some(exact) = self.rules.get(host) {
            return Some(exact);
        }
        let mut wildcards = self.wildcards.iter();
        let found = wildcards.find(|pattern| host.subset_of(pattern))?;
        self.rules.get(found).map(Vec::as_slice)
    }
}

/// The rules as clients of one namespace see them.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    rules: &'a DestinationRules,
    namespace: &'a str,
    root: &'a Str,
    local: Option<&'a ByHost>,
}

impl DestinationRules {
    /// The rules as clients of a namespace see them.
    pub fn seen_from<'a>(&'a self, namespace: &'a str, mesh: &'a Mesh) -> Seen<'a> {
        let local = if *namespace == *mesh.root_namespace {
            Some(&self.root_private)
        } else {
            self.local.get(namespace)
        };
        Seen {
            rules: self,
            namespace,
            root: &mesh.root_namespace,
            local,
        }
    }

    /// The rule for a workload's own service, where rules with a workload selector do not count.
    pub fn choose_inbound(
        &self,
        service: &Service,
        namespace: &str,
        mesh: &Mesh,
    ) -> Option<Shared<MergedRule>> {
        let candidates = self.seen_from(namespace, mesh).candidates(service);
        let general = candidates.into_iter().rfind(|c| c.selector.is_none());
        general.map(|c| c.rule.clone())
    }

    /// Whether any rule chooses workloads by their labels: scopes differ only where rules do.
    pub fn selects_workloads(&self) -> bool {
        self.selects_workloads
    }
}

impl<'a> Seen<'a> {
    /// The rule that clients with `labels` use for a service: of their own namespace, else an exported one of the
    /// service's, else of the root namespace. Also whether a workload selector chose it.
    /// Istio 1.31: `PushContext.destinationRule`.
    pub fn choose(
        &self,
        service: &Service,
        labels: &Labels,
    ) -> Option<(&'a Shared<MergedRule>, bool)> {
        let mut general = None;
        for candidate in self.candidates(service) {
            match &candidate.selector {
                None => general = Some(candidate),
                Some(selector) => {
                    if *candidate.namespace == *self.namespace && labels.satisfies(selector) {
                        return Some((&candidate.rule, true));
                    }
                }
            }
        }
        general.map(|c| (&c.rule, false))
    }

    fn candidates(&self, service: &Service) -> Vec<&'a Candidate> {
        let host = &service.key.host;
        if let Some(rules) = self.local.and_then(|rules| rules.most_specific(host)) {
            return rules.iter().collect();
        }
        if self.rules.exported.is_empty() {
            return Vec::new();
        }
        for owner in [&service.key.namespace, self.root] {
            let exported = self.rules.exported.get(owner);
            let exported = exported.and_then(|rules| rules.most_specific(host));
            let visible: Vec<&Candidate> = exported
                .unwrap_or_default()
                .iter()
                .filter(|c| {
                    c.export.is_empty()
                        || c.export.contains("*")
                        || c.export.contains(self.namespace)
                })
                .collect();
            if !visible.is_empty() {
                return visible;
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;

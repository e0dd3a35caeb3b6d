//! VirtualServices in order of precedence: by gateway, and by the namespaces that see them.

mod delegates;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_model::mesh::Mesh;
use meltemi_model::routing::{Destination, HttpAction, VirtualService};
use meltemi_model::service::ExportTo;
use meltemi_model::{Diagnostics, Hostname, Shared, Str};

use crate::store::Table;

/// The VirtualServices that are bound to each gateway name (`mesh` or `namespace/name`), oldest first.
#[derive(Debug, Default)]
pub struct VirtualServices {
    sorted: Vec<Shared<VirtualService>>,
    /// By gateway, then place in `sorted`.
    by_gateway: Vec<(Str, usize)>,
    /// Delegates that are not there, or do not fit.
    pub findings: Diagnostics,
}

/// Joins delegates into the VirtualServices that name them, adds those that were `made` of other kinds, sorts and indexes.
pub fn virtual_services(
    table: &Table<VirtualService>,
    made: &[Shared<VirtualService>],
    mesh: &Mesh,
) -> VirtualServices {
    let (mut sorted, findings) = delegates::joined(table, &mesh.virtual_service_export_to);
    sorted.extend_from_slice(made);
    sorted.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    let mut by_gateway = Vec::with_capacity(sorted.len());
    for (place, vs) in sorted.iter().enumerate() {
        by_gateway.extend(vs.gateways.iter().map(|gateway| (gateway.clone(), place)));
    }
    // The sort is stable.
    by_gateway.sort_by(|(a, _), (b, _)| a.cmp(b));
    VirtualServices {
        sorted,
        by_gateway,
        findings,
    }
}

impl VirtualServices {
    /// Those of a gateway that a namespace sees, in order of precedence: its own private ones, those exported to it by
    /// name, the public ones; the oldest first in each group. Istio 1.31: `VirtualServicesForGateway`.
    pub fn visible(
        &self,
        gateway: &str,
        namespace: &str,
        mesh: &Mesh,
    ) -> Vec<Shared<VirtualService>> {
        by_precedence(self.bound(gateway), namespace, mesh)
    }

    /// The hosts to which those of a gateway route, whoever may see them. Istio 1.31: `destinationsByGateway`.
    pub fn destinations<'a>(
        &'a self,
        gateway: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = Hostname> + use<'a> {
        self.bound(gateway).flat_map(move |vs| {
            let found = destinations(vs, namespace);
            found.keys().cloned().collect::<Vec<_>>()
        })
    }

    /// Those of all gateways that a namespace sees, in the same order.
    pub fn all_visible(&self, namespace: &str, mesh: &Mesh) -> Vec<Shared<VirtualService>> {
        by_precedence(self.sorted.iter(), namespace, mesh)
    }

    fn bound<'a>(
        &'a self,
        gateway: &str,
    ) -> impl Iterator<Item = &'a Shared<VirtualService>> + use<'a> {
        let start = self.by_gateway.partition_point(|(own, _)| **own < *gateway);
        let rest = &self.by_gateway[start..];
        let bound = &rest[..rest.partition_point(|(own, _)| **own == *gateway)];
        bound.iter().map(|(_, place)| &self.sorted[*place])
    }
}

fn by_precedence<'a>(
    bound: impl Iterator<Item = &'a Shared<VirtualService>>,
    namespace: &str,
    mesh: &Mesh,
) -> Vec<Shared<VirtualService>> {
    let mut groups: [Vec<Shared<VirtualService>>; 3] = Default::default();
    for vs in bound {
        if let Some(group) = group_for(vs, namespace, mesh) {
            groups[group].push(vs.clone());
        }
    }
    let [mut all, mut named, mut public] = groups;
    if all.is_empty() && named.is_empty() {
        return public;
    }
    all.append(&mut named);
    all.append(&mut public);
    all
}

/// 0: private to the namespace, 1: exported to it by name, 2: public, `None`: not visible.
fn group_for(vs: &VirtualService, namespace: &str, mesh: &Mesh) -> Option<usize> {
    let own = &vs.meta.key.namespace;
    let export = match &vs.export_to {
        ExportTo::Default => &mesh.virtual_service_export_to,
        explicit => explicit,
    };
    match export {
        ExportTo::Default | ExportTo::Everybody => Some(2),
        ExportTo::Nobody => None,
        ExportTo::Namespaces(set) => {
            let private = set.contains(own) || set.contains(".");
            if **own == *namespace && private {
                Some(0)
            } else if set.contains(namespace) {
                Some(1)
            } else {
                None
            }
        }
    }
}

/// Hosts with ports; 0 stands for every port.
pub(crate) type Destinations = BTreeMap<Hostname, BTreeSet<u16>>;

/// Where a VirtualService routes, kept beside it: scopes ask at every revision.
struct Kept {
    destinations: Arc<Destinations>,
    /// Whether some routes are for callers of some namespaces, so that what is kept is only what holds for all together.
    by_namespace: bool,
}

/// The hosts to which a VirtualService routes for callers of a namespace (`None`: of any).
pub(crate) fn destinations(
    vs: &Shared<VirtualService>,
    namespace: Option<&str>,
) -> Arc<Destinations> {
    let make = |vs: &Shared<VirtualService>| Kept {
        destinations: Arc::new(routed_to(vs, None)),
        by_namespace: {
            let mut matches = vs.http.iter().flat_map(|route| &route.matches);
            matches.any(|m| !m.source_namespace.is_empty())
        },
    };
    let kept = vs.made(|_: &Kept| true, make);
    match namespace {
        Some(_) if kept.by_namespace => Arc::new(routed_to(vs, namespace)),
        _ => Arc::clone(&kept.destinations),
    }
}

fn routed_to(vs: &VirtualService, namespace: Option<&str>) -> Destinations {
    let mut found = Destinations::new();
    let mut add = |d: &Destination| {
        found
            .entry(d.host.clone())
            .or_default()
            .insert(d.port.unwrap_or(0));
    };
    for route in &vs.http {
        let wanted: Vec<_> = route
            .matches
            .iter()
            .filter(|m| !m.source_namespace.is_empty())
            .collect();
        let elsewhere = |namespace: &str| wanted.iter().all(|m| m.source_namespace != namespace);
        if !wanted.is_empty() && namespace.is_some_and(elsewhere) {
            continue;
        }
        if let HttpAction::Forward(to) = &route.action {
            to.iter().for_each(|d| add(&d.destination));
        }
        let listed = route.mirrors.iter().map(|m| &m.destination);
        route.mirror.to.iter().chain(listed).for_each(&mut add);
    }
    vs.tcp
        .iter()
        .flat_map(|r| &r.destinations)
        .for_each(|(d, _)| add(d));
    vs.tls
        .iter()
        .flat_map(|r| &r.destinations)
        .for_each(|(d, _)| add(d));
    found
}

#[cfg(test)]
mod tests;

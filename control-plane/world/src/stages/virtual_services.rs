//! VirtualServices in order of precedence: by gateway, and by the namespaces that see them.

mod delegates;

use std::collections::BTreeMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::routing::VirtualService;
use meltemi_model::service::ExportTo;
use meltemi_model::{Diagnostics, Hostname, Shared, Str};

use crate::scope::destinations;
use crate::store::Table;

/// The VirtualServices that are bound to each gateway name (`mesh` or `namespace/name`), oldest first.
#[derive(Debug, Default)]
pub struct VirtualServices {
    sorted: Vec<Shared<VirtualService>>,
    by_gateway: BTreeMap<Str, Vec<Shared<VirtualService>>>,
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
    let mut by_gateway: BTreeMap<Str, Vec<Shared<VirtualService>>> = BTreeMap::new();
    for vs in &sorted {
        for gateway in &vs.gateways {
            by_gateway
                .entry(gateway.clone())
                .or_default()
                .push(vs.clone());
        }
    }
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
        let bound = self.by_gateway.get(gateway).map(Vec::as_slice);
        by_precedence(bound.unwrap_or_default(), namespace, mesh)
    }

    /// The hosts to which those of a gateway route, whoever may see them. Istio 1.31: `destinationsByGateway`.
    pub fn destinations<'a>(
        &'a self,
        gateway: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = Hostname> + use<'a> {
        let bound = self.by_gateway.get(gateway).into_iter().flatten();
        bound.flat_map(move |vs| destinations(vs, namespace).into_keys())
    }

    /// Those of all gateways that a namespace sees, in the same order.
    pub fn all_visible(&self, namespace: &str, mesh: &Mesh) -> Vec<Shared<VirtualService>> {
        by_precedence(&self.sorted, namespace, mesh)
    }
}

fn by_precedence(
    bound: &[Shared<VirtualService>],
    namespace: &str,
    mesh: &Mesh,
) -> Vec<Shared<VirtualService>> {
    let mut groups: [Vec<Shared<VirtualService>>; 3] = Default::default();
    for vs in bound {
        if let Some(group) = group_for(vs, namespace, mesh) {
            groups[group].push(vs.clone());
        }
    }
    groups.concat()
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

#[cfg(test)]
mod tests;

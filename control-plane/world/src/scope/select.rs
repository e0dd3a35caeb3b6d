//! How a scope is chosen. Istio 1.31: `convertToSidecarScope` and `DefaultSidecarScopeForGateway`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_model::routing::{MESH_GATEWAY, VirtualService};
use meltemi_model::service::{ExportTo, Service};
use meltemi_model::sidecar::{EgressListener, Sidecar};
use meltemi_model::traffic::MergedRule;
use meltemi_model::{Hostname, Labels, Shared, Str};

use super::egress::{Hosts, match_port, with_ports};
use super::{ByHost, EgressScope, List, Scope, ScopeKey, ScopedService};
use crate::World;
use crate::stages::virtual_services::destinations;

/// A service that may be seen. A listener may have trimmed it.
#[derive(Debug, Clone)]
pub(super) struct Seen<'w> {
    /// The place among the world's services of the one that it is or was trimmed from.
    pub(super) at: usize,
    pub(super) service: Cow<'w, Shared<Service>>,
}

/// What the proxies of a key may see, and whether that are more services than its listeners show, since VirtualServices
/// route to them.
pub(super) fn select(world: &World, key: &ScopeKey) -> (Scope, bool) {
    let mut picked = Picked::new(world);
    let visible = exported_to(world, &key.namespace);
    let mut egress = Vec::new();
    let listeners = key
        .sidecar
        .as_ref()
        .map(|s| s.egress.as_slice())
        .unwrap_or_default();
    if listeners.is_empty() {
        let virtual_services =
            world
                .virtual_services
                .visible(MESH_GATEWAY, &key.namespace, &world.mesh);
        // A gateway takes every visible service as it is; a sidecar first picks one namespace for each host.
        let services = if key.gateway {
            visible
        } else {
            one_namespace_each(world, visible, &key.namespace)
        };
        egress.push((None, services, virtual_services));
    } else {
        for listener in listeners {
            let hosts = Hosts::of(listener, &key.namespace);
            let services = hosts.services(&visible, match_port(listener));
            let services = one_namespace_each(world, services, &key.namespace);
            let virtual_services = hosts.virtual_services(world, &key.namespace);
            egress.push((Some(listener.clone()), services, virtual_services));
        }
    }
    for (_, services, _) in &egress {
        services.iter().for_each(|s| picked.add(s));
    }
    let shown = picked.changes;
    if !key.gateway {
        for (listener, _, virtual_services) in &egress {
            let port = listener.as_ref().and_then(match_port);
            add_destinations(world, key, virtual_services, port, &mut picked);
        }
    }
    let added = picked.changes != shown;
    (assemble(world, key, &picked, egress), added)
}

type Egress<'w> = (
    Option<EgressListener>,
    Vec<Seen<'w>>,
    Vec<Shared<VirtualService>>,
);

fn assemble(world: &World, key: &ScopeKey, picked: &Picked<'_>, egress: Vec<Egress<'_>>) -> Scope {
    let rules = world
        .destination_rules
        .seen_from(&key.namespace, &world.mesh);
    let row = |seen: &Seen<'_>| -> ScopedService {
        let rule = rules.choose(&seen.service, &key.labels);
        let found = world.endpoints.at(seen.at);
        let (rule, selects) = match rule {
            Some((rule, selects)) => (Some(Shared::<MergedRule>::clone(rule)), selects),
            None => (None, false),
        };
        ScopedService {
            service: Shared::clone(&seen.service),
            rule_selects_workload: selects,
            rule,
            endpoints: found.map(|r| r.set.clone()).unwrap_or_default(),
            identities: found.map(|r| r.identities.clone()).unwrap_or_default(),
        }
    };
    let services: List<ScopedService> = picked.services.iter().map(row).collect();
    let egress = egress
        .into_iter()
        .map(|(listener, shown, virtual_services)| EgressScope {
            listener,
            services: if shown.len() == services.len() && picked.is(&shown) {
                services.clone()
            } else {
                let rows = shown.iter().map(|seen| {
                    let known = picked.place(seen).and_then(|place| services.get(place));
                    match known.filter(|known| known.service.same(&seen.service)) {
                        Some(known) => known.clone(),
                        None => row(seen),
                    }
                });
                rows.collect()
            },
            virtual_services: virtual_services.into(),
        })
        .collect();
    let sidecar_policy = key.sidecar.as_ref().and_then(|s| s.outbound_policy);
    Scope {
        mesh: world.mesh.clone(),
        namespace: key.namespace.clone(),
        sidecar: key.sidecar.clone(),
        peer_authentications: Arc::clone(&world.peer_authentications),
        request_authentications: Arc::clone(&world.request_authentications),
        authorizations: Arc::clone(&world.authorizations),
        registry: Arc::clone(&world.services),
        outbound_policy: sidecar_policy.unwrap_or(world.mesh.outbound_policy),
        by_host: picked.by_host(),
        services,
        egress,
    }
}

/// Services that a namespace sees: those exported to it by name first, then the public ones, each oldest first.
fn exported_to<'w>(world: &'w World, namespace: &str) -> Vec<Seen<'w>> {
    let sorted = &world.services.sorted;
    let default = &world.mesh.service_export_to;
    let mut seen = Vec::new();
    let mut public = Vec::with_capacity(sorted.len());
    for (at, service) in sorted.iter().enumerate() {
        let export = match &service.export_to {
            ExportTo::Default => default,
            explicit => explicit,
        };
        let row = || Seen {
            at,
            service: Cow::Borrowed(service),
        };
        match export {
            ExportTo::Everybody | ExportTo::Default => public.push(row()),
            _ if visible_in(world, service, namespace) => seen.push(row()),
            _ => {}
        }
    }
    if seen.is_empty() {
        return public;
    }
    seen.append(&mut public);
    seen
}

fn visible_in(world: &World, service: &Service, namespace: &str) -> bool {
    let default = &world.mesh.service_export_to;
    service
        .export_to
        .visible_in(namespace, default, &service.key.namespace)
}

/// Where several namespaces declare a host, only one of them is shown: the clients' own, else the first, unless a
/// Kubernetes Service comes after a ServiceEntry. Istio 1.31: `selectServices`.
fn one_namespace_each<'w>(world: &World, mut services: Vec<Seen<'w>>, own: &str) -> Vec<Seen<'w>> {
    let mut chosen: BTreeMap<usize, (Str, bool)> = BTreeMap::new();
    for Seen { at, service } in &services {
        if !world.services.is_contested(*at) {
            continue;
        }
        let candidate = (service.key.namespace.clone(), service.kubernetes);
        let host = world.services.host_number(*at);
        let better = match chosen.get(&host) {
            None => true,
            Some(_) if *candidate.0 == *own => true,
            Some((namespace, kubernetes)) => {
                !kubernetes && service.kubernetes && **namespace != *own
            }
        };
        if better {
            chosen.insert(host, candidate);
        }
    }
    if !chosen.is_empty() {
        services.retain(|seen| {
            let choice = chosen.get(&world.services.host_number(seen.at));
            choice.is_none_or(|(namespace, _)| *namespace == seen.service.key.namespace)
        });
    }
    services
}

/// Services that a listener does not name, but to which one of its VirtualServices routes, get clusters too.
fn add_destinations<'w>(
    world: &'w World,
    key: &ScopeKey,
    virtual_services: &[Shared<VirtualService>],
    listener_port: Option<u16>,
    picked: &mut Picked<'w>,
) {
    each_destination(world, key, virtual_services, listener_port, |seen| {
        picked.add(&seen);
    });
}

/// The services to which VirtualServices route, trimmed to the ports that are reached.
pub(super) fn each_destination<'w>(
    world: &'w World,
    key: &ScopeKey,
    virtual_services: &[Shared<VirtualService>],
    listener_port: Option<u16>,
    mut add: impl FnMut(Seen<'w>),
) {
    for vs in virtual_services {
        for (host, ports) in destinations(vs, Some(&key.namespace)).iter() {
            let owner = world.services.owner_place(host, &key.namespace);
            let Some(at) = owner.or_else(|| best_owner(world, host, &key.namespace)) else {
                continue;
            };
            let service = &world.services.sorted[at];
            let trimmed = match listener_port {
                Some(port) => with_ports(service, &|p| p == port),
                None if ports.contains(&0) => Some(Cow::Borrowed(service)),
                None => with_ports(service, &|p| ports.contains(&p)),
            };
            if let Some(service) = trimmed {
                add(Seen { at, service });
            }
        }
    }
}

/// Istio 1.31: `pickBestVisibleNamespace`: a Kubernetes Service, else the oldest.
fn best_owner(world: &World, host: &Hostname, namespace: &str) -> Option<usize> {
    let service = |at: &usize| &world.services.sorted[*at];
    let owners = world.services.owner_places(host);
    let visible = owners.filter(|at| visible_in(world, service(at), namespace));
    visible.min_by_key(|at| (!service(at).kubernetes, service(at).created))
}

/// The services of a scope while it is put together, one for each host. Istio 1.31: `appendSidecarServices`.
struct Picked<'w> {
    world: &'w World,
    services: Vec<Seen<'w>>,
    /// For each number of a host, the place in `services`; [`NONE`]: not there.
    by_host: Vec<usize>,
    /// How often `services` changed.
    changes: usize,
}

const NONE: usize = usize::MAX;

impl<'w> Picked<'w> {
    fn new(world: &'w World) -> Self {
        Self {
            world,
            services: Vec::with_capacity(world.services.host_count()),
            by_host: vec![NONE; world.services.host_count()],
            changes: 0,
        }
    }

    /// The place of the service of the same host.
    fn place(&self, seen: &Seen<'_>) -> Option<usize> {
        let place = self.by_host[self.world.services.host_number(seen.at)];
        (place != NONE).then_some(place)
    }

    fn by_host(&self) -> ByHost {
        let places = self.by_host.iter().filter(|place| **place != NONE);
        let hosts = places.map(|place| (self.services[*place].service.key.host.clone(), *place));
        hosts.collect()
    }

    fn add(&mut self, seen: &Seen<'w>) {
        let Some(place) = self.place(seen) else {
            self.by_host[self.world.services.host_number(seen.at)] = self.services.len();
            self.services.push(seen.clone());
            self.changes += 1;
            return;
        };
        let existing = &mut self.services[place];
        if let Some(service) = joined(&existing.service, &seen.service) {
            self.changes += 1;
            if service.same(&seen.service) {
                existing.at = seen.at;
            }
            existing.service = Cow::Owned(service);
        }
    }

    /// Whether these are the very services of the scope, in order.
    fn is(&self, shown: &[Seen<'_>]) -> bool {
        let mut pairs = self.services.iter().zip(shown);
        pairs.all(|(a, b)| a.service.same(&b.service))
    }
}

/// What two services of one host come to, if it is not the first as it is.
pub(super) fn joined(
    known: &Shared<Service>,
    service: &Shared<Service>,
) -> Option<Shared<Service>> {
    if service == known {
        return None;
    }
    if !known.kubernetes && service.kubernetes {
        return Some(service.clone());
    }
    if !mergeable(known, service) {
        return None;
    }
    let mut ports = Cow::Borrowed(&known.ports);
    for port in &service.ports {
        if ports.iter().all(|p| p.number != port.number) {
            ports.to_mut().push(port.clone());
        }
    }
    let Cow::Owned(ports) = ports else {
        return None;
    };
    Some(Shared::new(Service {
        ports,
        ..(**known).clone()
    }))
}

/// Istio 1.31: `canMergeServices`.
fn mergeable(a: &Service, b: &Service) -> bool {
    a.key == b.key
        && a.resolution == b.resolution
        && a.kubernetes == b.kubernetes
        && a.labels == b.labels
        && a.selector == b.selector
        && a.export_to == b.export_to
}

/// The key of a workload's scope.
pub fn scope_key(world: &World, gateway: bool, namespace: &Str, labels: &Labels) -> ScopeKey {
    let sidecar: Option<Shared<Sidecar>> = if gateway {
        None
    } else {
        world.sidecar_for(namespace, labels).cloned()
    };
    let labels = if world.destination_rules.selects_workloads() {
        labels.clone()
    } else {
        Labels::default()
    };
    ScopeKey {
        gateway,
        namespace: namespace.clone(),
        sidecar,
        labels,
    }
}

#[cfg(test)]
mod tests;

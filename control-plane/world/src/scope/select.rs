//! How a scope is chosen. Istio 1.31: `convertToSidecarScope` and `DefaultSidecarScopeForGateway`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_model::port::Protocol;
use meltemi_model::routing::{Destination, HttpAction, MESH_GATEWAY, VirtualService};
use meltemi_model::service::{Service, ServiceKey};
use meltemi_model::sidecar::{EgressHost, EgressListener, Sidecar};
use meltemi_model::{Hostname, Labels, Shared, Str};

use super::{EgressScope, Scope, ScopeKey, ScopedService};
use crate::World;

/// What the proxies of a key may see.
pub fn scope(world: &World, key: &ScopeKey) -> Scope {
    let mut picked = Picked::default();
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
            visible.clone()
        } else {
            one_namespace_each(visible.clone(), &key.namespace)
        };
        egress.push((None, services, virtual_services));
    }
    for listener in listeners {
        let hosts = Hosts::of(listener, &key.namespace);
        let services = hosts.services(&visible, match_port(listener), &key.namespace);
        let virtual_services = hosts.virtual_services(world, &key.namespace);
        egress.push((Some(listener.clone()), services, virtual_services));
    }
    for (_, services, _) in &egress {
        services.iter().for_each(|s| picked.add(s));
    }
    if !key.gateway {
        for (listener, _, virtual_services) in &egress {
            let port = listener.as_ref().and_then(match_port);
            add_destinations(world, key, virtual_services, port, &mut picked);
        }
    }
    assemble(world, key, &picked, egress)
}

type Egress = (
    Option<EgressListener>,
    Vec<Shared<Service>>,
    Vec<Shared<VirtualService>>,
);

fn assemble(world: &World, key: &ScopeKey, picked: &Picked, egress: Vec<Egress>) -> Scope {
    let row = |service: &Shared<Service>| row(world, key, service);
    let services: Vec<ScopedService> = picked.services.iter().map(row).collect();
    let by_host = services
        .iter()
        .enumerate()
        .map(|(i, s)| (s.service.key.host.clone(), i))
        .collect();
    let by_identity: BTreeMap<_, _> = services
        .iter()
        .map(|s| (s.service.fingerprint(), s))
        .collect();
    let egress = egress
        .into_iter()
        .map(|(listener, shown, virtual_services)| EgressScope {
            listener,
            services: shown
                .iter()
                .map(|s| {
                    by_identity
                        .get(&s.fingerprint())
                        .map_or_else(|| row(s), |found| (*found).clone())
                })
                .collect(),
            virtual_services,
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
        services,
        by_host,
        egress,
    }
}

fn row(world: &World, key: &ScopeKey, service: &Shared<Service>) -> ScopedService {
    let rule = world
        .destination_rules
        .choose(service, &key.namespace, &key.labels, &world.mesh);
    let found = world.endpoints.get(&service.key);
    ScopedService {
        service: service.clone(),
        rule_selects_workload: rule.as_ref().is_some_and(|(_, selects)| *selects),
        rule: rule.map(|(rule, _)| Shared::new(rule)),
        endpoints: found.map(|r| r.set.clone()).unwrap_or_default(),
        identities: found.map(|r| r.identities.clone()).unwrap_or_default(),
    }
}

/// Services that a namespace sees: those exported to it by name first, then the public ones, each oldest first.
fn exported_to(world: &World, namespace: &str) -> Vec<Shared<Service>> {
    let export = |s: &Service| match &s.export_to {
        meltemi_model::service::ExportTo::Default => world.mesh.service_export_to.clone(),
        explicit => explicit.clone(),
    };
    let is_public = |s: &Service| {
        use meltemi_model::service::ExportTo::{Default, Everybody};
        matches!(export(s), Everybody | Default)
    };
    let (public, private): (Vec<_>, Vec<_>) = world
        .services
        .sorted
        .iter()
        .cloned()
        .partition(|s| is_public(s));
    let seen = private
        .into_iter()
        .filter(|s| visible_in(world, s, namespace));
    seen.chain(public).collect()
}

fn visible_in(world: &World, service: &Service, namespace: &str) -> bool {
    let default = &world.mesh.service_export_to;
    service
        .export_to
        .visible_in(namespace, default, &service.key.namespace)
}

/// Where several namespaces declare a host, only one of them is shown: the clients' own, else the first, unless a
/// Kubernetes Service comes after a ServiceEntry. Istio 1.31: `selectServices`.
fn one_namespace_each(services: Vec<Shared<Service>>, own: &str) -> Vec<Shared<Service>> {
    let mut chosen: BTreeMap<Hostname, (Str, bool)> = BTreeMap::new();
    for service in &services {
        let candidate = (service.key.namespace.clone(), service.kubernetes);
        let better = match chosen.get(&service.key.host) {
            None => true,
            Some(_) if *candidate.0 == *own => true,
            Some((namespace, kubernetes)) => {
                !kubernetes && service.kubernetes && **namespace != *own
            }
        };
        if better {
            chosen.insert(service.key.host.clone(), candidate);
        }
    }
    let is_chosen = |s: &Shared<Service>| {
        chosen
            .get(&s.key.host)
            .is_some_and(|(ns, _)| *ns == s.key.namespace)
    };
    services.into_iter().filter(is_chosen).collect()
}

/// The port that services must have to be shown by a listener. Istio 1.31: `needsPortMatch`.
fn match_port(listener: &EgressListener) -> Option<u16> {
    let port = listener
        .port
        .as_ref()
        .filter(|p| p.number != 0 && p.protocol != Protocol::HttpProxy)?;
    Some(port.number)
}

/// The hosts of an egress listener by namespace.
struct Hosts<'a> {
    by_namespace: BTreeMap<&'a str, Vec<&'a Hostname>>,
    excluded: Vec<(&'a str, &'a Hostname)>,
}

impl<'a> Hosts<'a> {
    /// `.` is the namespace of the clients, which is not that of the Sidecar when it stands in the root namespace.
    fn of(listener: &'a EgressListener, own: &'a str) -> Self {
        let mut hosts = Hosts {
            by_namespace: BTreeMap::new(),
            excluded: Vec::new(),
        };
        for EgressHost { namespace, host } in &listener.hosts {
            let real = |namespace: &'a str| if namespace == "." { own } else { namespace };
            match namespace.strip_prefix('~') {
                Some("") => hosts.excluded.push(("*", host)),
                Some(namespace) => hosts.excluded.push((real(namespace), host)),
                None => hosts
                    .by_namespace
                    .entry(real(namespace))
                    .or_default()
                    .push(host),
            }
        }
        hosts
    }

    fn excludes(&self, namespace: &str, host: &Hostname) -> bool {
        self.excluded
            .iter()
            .any(|(ns, pattern)| (*ns == "*" || *ns == namespace) && host.subset_of(pattern))
    }

    /// The host lists that apply to an object of a namespace: its own namespace's first, then `*`.
    fn lists(&self, namespace: &str) -> impl Iterator<Item = &Vec<&'a Hostname>> {
        [self.by_namespace.get(namespace), self.by_namespace.get("*")]
            .into_iter()
            .flatten()
    }

    fn services(
        &self,
        visible: &[Shared<Service>],
        port: Option<u16>,
        own: &str,
    ) -> Vec<Shared<Service>> {
        let shown = |service: &Shared<Service>| {
            let key = &service.key;
            if self.excludes(&key.namespace, &key.host) {
                return None;
            }
            self.lists(&key.namespace)
                .filter(|list| list.iter().any(|h| key.host.subset_of(h)))
                .find_map(|list| {
                    let trimmed = match port {
                        Some(port) => with_ports(service, &|p| p == port)?,
                        None => service.clone(),
                    };
                    Some(with_aliases(&trimmed, list))
                })
        };
        one_namespace_each(visible.iter().filter_map(shown).collect(), own)
    }

    fn virtual_services(&self, world: &World, namespace: &str) -> Vec<Shared<VirtualService>> {
        let mut visible = world
            .virtual_services
            .visible(MESH_GATEWAY, namespace, &world.mesh);
        visible.retain(|vs| {
            let own = &vs.meta.key.namespace;
            self.lists(own).any(|list| {
                vs.hosts.iter().any(|h| {
                    list.iter().any(|pattern| h.matches(pattern)) && !self.excludes(own, h)
                })
            })
        });
        visible
    }
}

/// The service with only the ports that pass; `None` when none does.
fn with_ports(service: &Shared<Service>, keep: &dyn Fn(u16) -> bool) -> Option<Shared<Service>> {
    let kept: Vec<_> = service
        .ports
        .iter()
        .filter(|p| keep(p.number))
        .cloned()
        .collect();
    if kept.is_empty() {
        None
    } else if kept.len() == service.ports.len() {
        Some(service.clone())
    } else {
        Some(Shared::new(Service {
            ports: kept,
            ..(**service).clone()
        }))
    }
}

/// The service with only the aliases that the listener names.
fn with_aliases(service: &Shared<Service>, hosts: &[&Hostname]) -> Shared<Service> {
    let named = |alias: &ServiceKey| hosts.iter().any(|h| alias.host.subset_of(h));
    if service.aliases.iter().all(named) {
        return service.clone();
    }
    let aliases = service
        .aliases
        .iter()
        .filter(|a| named(a))
        .cloned()
        .collect();
    Shared::new(Service {
        aliases,
        ..(**service).clone()
    })
}

/// Services that a listener does not name, but to which one of its VirtualServices routes, get clusters too.
fn add_destinations(
    world: &World,
    key: &ScopeKey,
    virtual_services: &[Shared<VirtualService>],
    listener_port: Option<u16>,
    picked: &mut Picked,
) {
    for vs in virtual_services {
        for (host, ports) in destinations(vs, Some(&key.namespace)) {
            let Some(owners) = world.services.by_host.get(&host) else {
                continue;
            };
            let service = owners
                .get(&key.namespace)
                .or_else(|| best_owner(world, owners, &key.namespace));
            let trimmed = service.and_then(|service| match listener_port {
                Some(port) => with_ports(service, &|p| p == port),
                None if ports.contains(&0) => Some(service.clone()),
                None => with_ports(service, &|p| ports.contains(&p)),
            });
            if let Some(service) = trimmed {
                picked.add(&service);
            }
        }
    }
}

/// Istio 1.31: `pickBestVisibleNamespace`: a Kubernetes Service, else the oldest.
fn best_owner<'a>(
    world: &World,
    owners: &'a BTreeMap<Str, Shared<Service>>,
    namespace: &str,
) -> Option<&'a Shared<Service>> {
    let visible = owners.values().filter(|s| visible_in(world, s, namespace));
    visible.min_by_key(|s| (!s.kubernetes, s.created))
}

/// Hosts to which a VirtualService routes for callers of a namespace (`None`: of any), with the ports; 0 stands for
/// every port.
pub(crate) fn destinations(
    vs: &VirtualService,
    namespace: Option<&str>,
) -> BTreeMap<Hostname, BTreeSet<u16>> {
    let mut found: BTreeMap<Hostname, BTreeSet<u16>> = BTreeMap::new();
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

/// The services of a scope while it is put together, one for each host. Istio 1.31: `appendSidecarServices`.
#[derive(Default)]
struct Picked {
    services: Vec<Shared<Service>>,
    by_host: BTreeMap<Hostname, usize>,
}

impl Picked {
    fn add(&mut self, service: &Shared<Service>) {
        let Some(&index) = self.by_host.get(&service.key.host) else {
            self.by_host
                .insert(service.key.host.clone(), self.services.len());
            self.services.push(service.clone());
            return;
        };
        let Some(existing) = self.services.get_mut(index) else {
            return;
        };
        if service == existing {
            return;
        }
        if !existing.kubernetes && service.kubernetes {
            *existing = service.clone();
        } else if mergeable(existing, service) {
            let mut ports = existing.ports.clone();
            for port in &service.ports {
                if ports.iter().all(|p| p.number != port.number) {
                    ports.push(port.clone());
                }
            }
            if ports.len() != existing.ports.len() {
                *existing = Shared::new(Service {
                    ports,
                    ..(**existing).clone()
                });
            }
        }
    }
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

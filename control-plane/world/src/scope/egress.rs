//! What an egress listener of a Sidecar shows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meltemi_model::port::Protocol;
use meltemi_model::routing::{MESH_GATEWAY, VirtualService};
use meltemi_model::service::{Service, ServiceKey};
use meltemi_model::sidecar::{EgressHost, EgressListener};
use meltemi_model::{Hostname, Shared};

use super::select::Seen;
use crate::World;

/// The port that services must have to be shown by a listener. Istio 1.31: `needsPortMatch`.
pub(super) fn match_port(listener: &EgressListener) -> Option<u16> {
    let port = listener
        .port
        .as_ref()
        .filter(|p| p.number != 0 && p.protocol != Protocol::HttpProxy)?;
    Some(port.number)
}

/// The hosts of an egress listener by namespace.
pub(super) struct Hosts<'a> {
    by_namespace: BTreeMap<&'a str, Vec<&'a Hostname>>,
    excluded: Vec<(&'a str, &'a Hostname)>,
}

impl<'a> Hosts<'a> {
    /// `.` is the namespace of the clients, which is not that of the Sidecar when it stands in the root namespace.
    pub(super) fn of(listener: &'a EgressListener, own: &'a str) -> Self {
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

    pub(super) fn services<'w>(&self, visible: &[Seen<'w>], port: Option<u16>) -> Vec<Seen<'w>> {
        let shown = |Seen { at, service }: &Seen<'w>| {
            let key = &service.key;
            if self.excludes(&key.namespace, &key.host) {
                return None;
            }
            self.lists(&key.namespace)
                .filter(|list| list.iter().any(|h| key.host.subset_of(h)))
                .find_map(|list| {
                    let with_ports = match port {
                        Some(port) => ported(service, port)?,
                        None => service.clone(),
                    };
                    let service = with_aliases(with_ports, list);
                    Some(Seen { at: *at, service })
                })
        };
        visible.iter().filter_map(shown).collect()
    }

    pub(super) fn virtual_services(
        &self,
        world: &World,
        namespace: &str,
    ) -> Vec<Shared<VirtualService>> {
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

/// The service with only a port; `None` when it does not have it.
fn ported<'w>(service: &Cow<'w, Shared<Service>>, port: u16) -> Option<Cow<'w, Shared<Service>>> {
    match service {
        Cow::Borrowed(service) => with_ports(service, &|p| p == port),
        Cow::Owned(service) => {
            with_ports(service, &|p| p == port).map(|service| Cow::Owned(service.into_owned()))
        }
    }
}

/// The service with only the ports that pass; `None` when none does.
pub(super) fn with_ports<'w>(
    service: &'w Shared<Service>,
    keep: &dyn Fn(u16) -> bool,
) -> Option<Cow<'w, Shared<Service>>> {
    let kept = service.ports.iter().filter(|p| keep(p.number));
    match kept.clone().count() {
        0 => None,
        all if all == service.ports.len() => Some(Cow::Borrowed(service)),
        _ => Some(Cow::Owned(Shared::new(Service {
            ports: kept.cloned().collect(),
            ..(**service).clone()
        }))),
    }
}

/// The service with only the aliases that the listener names.
fn with_aliases<'w>(
    service: Cow<'w, Shared<Service>>,
    hosts: &[&Hostname],
) -> Cow<'w, Shared<Service>> {
    let named = |alias: &ServiceKey| hosts.iter().any(|h| alias.host.subset_of(h));
    if service.aliases.iter().all(named) {
        return service;
    }
    let aliases = service
        .aliases
        .iter()
        .filter(|a| named(a))
        .cloned()
        .collect();
    Cow::Owned(Shared::new(Service {
        aliases,
        ..(**service).clone()
    }))
}

//! What an egress listener of a Sidecar shows.

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

    pub(super) fn services(&self, visible: &[Seen], port: Option<u16>) -> Vec<Seen> {
        let shown = |Seen { at, service }: &Seen| {
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
                    let service = with_aliases(&trimmed, list);
                    Some(Seen { at: *at, service })
                })
        };
        visible.iter().filter_map(shown).collect()
    }

    pub(super) fn virtual_services(&self, world: &World, namespace: &str) -> Vec<Shared<VirtualService>> {
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
pub(super) fn with_ports(service: &Shared<Service>, keep: &dyn Fn(u16) -> bool) -> Option<Shared<Service>> {
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


//! Outbound listeners of a sidecar: one per port for HTTP, one per address and port for the rest; and what happens
//! where services of different protocols want the same place. Istio 1.31: `buildSidecarOutboundListeners`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_builders::listener::{ListenerInput, ListenerKind};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{InterceptionMode, ProxyClass};
use meltemi_model::routing::VirtualService;
use meltemi_model::service::Resolution;
use meltemi_model::sidecar::{CaptureMode, EgressListener};
use meltemi_model::{ObjectKey, Shared, Str};
use meltemi_world::{EgressScope, Scope, ScopedService};

use super::addresses::{ServiceAddress, can_bind, localhosts, service_addresses, wildcards};
use super::facets::Facets;
use super::l4::ListenPort;
use super::virtual_outbound::fallthrough_cluster;

mod chains;
mod conflicts;

use chains::ChainPlan;

/// Where a listener binds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Binding {
    /// The addresses, the primary one first; empty: not decided yet.
    addresses: Vec<Str>,
    /// It binds its port, rather than being found by original destination.
    to_port: bool,
}

impl Binding {
    fn primary(&self) -> &str {
        self.addresses.first().map_or("", |address| address)
    }
}

/// A listener as far as services have claimed it.
#[derive(Debug, Clone)]
struct Entry {
    port: ListenPort,
    binding: Binding,
    /// What it speaks now; [`Protocol::Unsupported`] where bytes decide.
    protocol: Protocol,
    /// It was made by a Sidecar's listener with a port; the catch-all listener adds nothing to it.
    locked: bool,
    chains: Vec<ChainPlan>,
    from: Vec<ObjectKey>,
}

/// One wish for a listener.
#[derive(Debug, Clone)]
struct Wish<'a> {
    binding: Binding,
    /// Ranges that the connection's destination must be in.
    ranges: Vec<Str>,
    port: ListenPort,
    service: &'a ScopedService,
    /// The address of the service that it is about.
    address: &'a ServiceAddress,
}

/// The state while services are taken in turn.
struct Outbound<'a> {
    scope: &'a Scope,
    class: &'a ProxyClass,
    wildcards: Vec<Str>,
    entries: BTreeMap<(Str, u16), Entry>,
}

/// All outbound listeners but the virtual one.
pub(super) fn listeners(scope: &Scope, class: &ProxyClass, facets: &Facets) -> Vec<ListenerInput> {
    let mut state = Outbound {
        scope,
        class,
        wildcards: wildcards(class),
        entries: BTreeMap::new(),
    };
    for egress in &scope.egress {
        let binding = binding(egress.listener.as_ref(), class);
        let port = egress
            .listener
            .as_ref()
            .and_then(|listener| listener.port.as_ref());
        match port {
            Some(port) => {
                let port = ListenPort {
                    number: port.number,
                    name: port.name.clone(),
                    protocol: port.protocol,
                };
                state.add_port(egress, &binding, &port);
            }
            None => state.add_all(egress, &binding),
        }
    }
    let fallthrough = fallthrough_cluster(scope);
    state
        .entries
        .into_values()
        .map(|entry| input(scope, class, facets, entry, &fallthrough))
        .collect()
}

/// Where the listeners of an egress listener bind.
fn binding(listener: Option<&EgressListener>, class: &ProxyClass) -> Binding {
    let wants_port =
        |l: &EgressListener| l.capture_mode == CaptureMode::None || l.bind.starts_with("unix://");
    let to_port = class.interception == InterceptionMode::None || listener.is_some_and(wants_port);
    let addresses = match listener {
        Some(listener) if !listener.bind.is_empty() => vec![listener.bind.clone()],
        Some(_) | None if to_port => localhosts(class),
        Some(_) | None => Vec::new(),
    };
    Binding { addresses, to_port }
}

impl<'a> Outbound<'a> {
    /// A Sidecar's listener with a port: every service that it shows, at that port.
    fn add_port(&mut self, egress: &'a EgressScope, binding: &Binding, port: &ListenPort) {
        if !self.may_bind(binding, port) {
            return;
        }
        for service in self.scope.services_of(egress) {
            for address in service_addresses(&service.service, self.class) {
                let wish = Wish {
                    binding: binding.clone(),
                    ranges: Vec::new(),
                    port: port.clone(),
                    service,
                    address: &address,
                };
                self.add(wish, &egress.virtual_services);
            }
        }
    }

    /// The catch-all listener: every service at each of its ports.
    fn add_all(&mut self, egress: &'a EgressScope, binding: &Binding) {
        for entry in self.entries.values_mut() {
            entry.locked = true;
        }
        for service in self.scope.services_of(egress) {
            for address in service_addresses(&service.service, self.class) {
                for port in &service.service.ports {
                    let port = ListenPort {
                        number: port.number,
                        name: port.name.clone(),
                        protocol: port.protocol,
                    };
                    if !self.may_bind(binding, &port) {
                        continue;
                    }
                    let wish = Wish {
                        binding: binding.clone(),
                        ranges: Vec::new(),
                        port,
                        service,
                        address: &address,
                    };
                    if self.is_headless(&wish) {
                        self.add_pods(wish, &egress.virtual_services);
                    } else {
                        self.add(wish, &egress.virtual_services);
                    }
                }
            }
        }
    }

    fn may_bind(&self, binding: &Binding, port: &ListenPort) -> bool {
        let mesh = Some(&*self.scope.mesh);
        can_bind(
            self.class,
            mesh,
            binding.to_port,
            binding.primary(),
            port.number,
            port.protocol,
        )
    }

    /// A service without an address whose clients choose one of its endpoints themselves. HTTP finds them by host.
    fn is_headless(&self, wish: &Wish<'_>) -> bool {
        let protocol = wish.port.protocol;
        wish.binding.addresses.is_empty()
            && wish.service.service.resolution == Resolution::Passthrough
            && wish.address.is_unspecified()
            && (protocol.is_tcp() || protocol.is_unsupported())
    }

    /// A listener per endpoint; none where there are none, since a wildcard one would take the port from others. A
    /// ServiceEntry that will never have endpoints gets the wildcard one.
    fn add_pods(&mut self, wish: Wish<'_>, virtual_services: &[Shared<VirtualService>]) {
        let service = &wish.service.service;
        let endpoints = wish.service.endpoints.port(&wish.port.name);
        if endpoints.is_empty() && !service.kubernetes && service.selector.is_empty() {
            self.add(wish, virtual_services);
            return;
        }
        let own = self.class.own_ips.first();
        for endpoint in endpoints {
            let ips: Result<Vec<IpAddr>, _> = endpoint.addresses().map(|a| a.parse()).collect();
            let Ok(ips) = ips else {
                continue;
            };
            if ips.first() == own {
                continue;
            }
            let mut at_pod = wish.clone();
            at_pod.binding.addresses = endpoint.addresses().cloned().collect();
            self.add(at_pod, virtual_services);
        }
    }
}

fn input(
    scope: &Scope,
    class: &ProxyClass,
    facets: &Facets,
    entry: Entry,
    fallthrough: &Str,
) -> ListenerInput {
    let name: Str = format!("{}_{}", entry.binding.primary(), entry.port.number).into();
    let has_http = entry.chains.iter().any(ChainPlan::is_http);
    let chains = entry
        .chains
        .into_iter()
        .map(|chain| chain.finish(&name))
        .collect();
    ListenerInput {
        addresses: entry.binding.addresses,
        port: entry.port.number,
        kind: ListenerKind::Outbound {
            bind_to_port: entry.binding.to_port,
        },
        transparent: false,
        exact_balance: class.facet.outbound_exact_balance,
        detection_timeout: scope.mesh.protocol_detection_timeout,
        proxy_protocol: false,
        chains,
        fallthrough: Some(fallthrough.clone()),
        network: facets.network.clone(),
        http: has_http.then(|| facets.http.clone()),
        from: entry.from,
        name,
    }
}

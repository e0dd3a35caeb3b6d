//! Which network an endpoint is in, and where the networks are entered. Istio 1.31: `NetworkManager` and the
//! `networkManager` of the Kubernetes registry.

use std::net::IpAddr;

use meltemi_model::mesh::Mesh;
use meltemi_model::network::{
    GatewayAt, MeshNetworks, NETWORK_LABEL, NetworkFact, NetworkGateway, NetworkGateways, Places,
};
use meltemi_model::service::KubeService;
use meltemi_model::{Diagnostic, Diagnostics, Kind, ObjectKey, Shared, Str};

use crate::stages::services::kubernetes_host;
use crate::store::Store;

/// The label of a Service that says at which of its ports mutual TLS is passed through.
const PORT_LABEL: &str = "networking.istio.io/gatewayPort";

/// That port where no label says another.
const PASSTHROUGH_PORT: u16 = 15443;

/// The port of HBONE.
const HBONE_PORT: u16 = 15008;

/// The networks of the mesh.
#[derive(Debug, Default)]
pub struct Networks {
    /// How the network of an endpoint is found.
    pub places: Shared<Places>,
    /// The entrances by address; those whose host names are not resolved are left out.
    pub gateways: Shared<NetworkGateways>,
    /// The entrances as they are written, for clusters whose names Envoy resolves.
    pub unresolved: Shared<NetworkGateways>,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

impl Networks {
    /// The host names among the entrances, each once: what is to be resolved.
    pub fn names(&self) -> Vec<Str> {
        let all = self.unresolved.all().iter().map(|g| &g.address);
        let mut names: Vec<Str> = all.filter(|a| !is_ip(a)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The key of what is known of a host name.
pub fn resolved_key(host: &str) -> ObjectKey {
    ObjectKey::new(Kind::Network, "dns", host)
}

/// Reads the networks off all that says something of them.
pub fn networks(store: &Store, mesh: &Mesh) -> Networks {
    let mut diagnostics = Diagnostics::new();
    let none = MeshNetworks::default();
    let configured = mesh.networks.as_ref().or_else(|| from_file(store));
    let configured = configured.unwrap_or(&none);
    let places = places(store, mesh, configured, &mut diagnostics);
    let mut found = Vec::new();
    for network in &configured.networks {
        for (at, port) in &network.gateways {
            if let GatewayAt::Address(address) = at {
                found.push(NetworkGateway {
                    network: network.name.clone(),
                    cluster: "".into(),
                    address: address.clone(),
                    port: *port,
                    hbone_port: 0,
                });
            }
        }
    }
    for (_, service) in store.services.iter() {
        let entrances = entrances(service, mesh, configured, &mut diagnostics);
        if !entrances.is_empty() {
            add_addresses(store, service, mesh, &entrances, &mut found);
        }
    }
    let unresolved = NetworkGateways::new(found);
    let gateways = NetworkGateways::new(resolve(&unresolved, store, mesh, &mut diagnostics));
    Networks {
        places: Shared::new(places),
        gateways: Shared::new(gateways),
        unresolved: Shared::new(unresolved),
        diagnostics,
    }
}

fn from_file(store: &Store) -> Option<&MeshNetworks> {
    store
        .network_facts
        .iter()
        .find_map(|(_, fact)| match &**fact {
            NetworkFact::Configured(networks) => Some(networks),
            NetworkFact::Resolved(_) => None,
        })
}

fn is_ip(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok()
}

fn mesh_key(mesh: &Mesh) -> ObjectKey {
    ObjectKey::new(Kind::MeshConfig, mesh.system_namespace.clone(), "istio")
}

fn places(
    store: &Store,
    mesh: &Mesh,
    configured: &MeshNetworks,
    diagnostics: &mut Diagnostics,
) -> Places {
    let system = ObjectKey::new(Kind::Namespace, "", mesh.system_namespace.clone());
    let namespace = store.namespaces.get(&system);
    let label = namespace.and_then(|n| n.meta.labels.get(NETWORK_LABEL));
    let mut registry = None;
    let mut cidrs = Vec::new();
    for network in &configured.networks {
        let path = format!("data.meshNetworks.networks[{:?}].endpoints", network.name);
        if network.registries.contains(&mesh.cluster_id) {
            match &registry {
                None => registry = Some(network.name.clone()),
                Some(first) => {
                    let message = format!(
                        "{} is in the network {first} already, and stays there; name each cluster in one network only",
                        mesh.cluster_id
                    );
                    diagnostics.push(Diagnostic::warning(&mesh_key(mesh), &*path, message));
                }
            }
        }
        for block in &network.cidrs {
            let other = cidrs.iter().find(|(b, _): &&(_, Str)| b == block);
            if let Some((_, first)) = other.filter(|(_, first)| *first != network.name) {
                let message = format!(
                    "{block} is in the network {first} already, and stays there; name each block in one network only"
                );
                diagnostics.push(Diagnostic::warning(&mesh_key(mesh), &*path, message));
                continue;
            }
            cidrs.push((*block, network.name.clone()));
        }
    }
    // Istio 1.31 takes the first block on the way down its tree of prefixes, which is the widest.
    cidrs.sort_by_key(|(block, _)| block.prefix_len());
    Places {
        cluster: label.filter(|label| !label.is_empty()).cloned(),
        registry,
        cidrs,
    }
}

/// Of which network a Service is an entrance, and at which of its ports.
#[derive(Debug)]
struct Entrance {
    network: Str,
    port: u16,
    hbone_port: u16,
}

/// Istio 1.31: `getGatewayDetails`.
fn entrances(
    service: &KubeService,
    mesh: &Mesh,
    configured: &MeshNetworks,
    diagnostics: &mut Diagnostics,
) -> Vec<Entrance> {
    let key = &service.meta.key;
    let labels = &service.meta.labels;
    if let Some(network) = labels.get(NETWORK_LABEL).filter(|l| !l.is_empty()) {
        let mut port = PASSTHROUGH_PORT;
        if let Some(text) = labels.get(PORT_LABEL).filter(|l| !l.is_empty()) {
            match text.parse() {
                Ok(number) => port = number,
                Err(_) => {
                    let path = format!("metadata.labels[{PORT_LABEL:?}]");
                    let message = format!("{text:?} is not a port; {PASSTHROUGH_PORT} is taken");
                    diagnostics.push(Diagnostic::warning(key, path, message));
                }
            }
        }
        let listens = |number: u16| service.ports.iter().any(|p| p.number == number);
        let entrance = Entrance {
            network: network.clone(),
            port: if listens(port) { port } else { 0 },
            hbone_port: if listens(HBONE_PORT) { HBONE_PORT } else { 0 },
        };
        if entrance.port == 0 && entrance.hbone_port == 0 {
            let path = format!("metadata.labels[{NETWORK_LABEL:?}]");
            let message = format!(
                "the Service is no gateway of the network {network}: it has neither port {port} nor port {HBONE_PORT}; \
                 add the port, or name another with the label {PORT_LABEL}"
            );
            diagnostics.push(Diagnostic::warning(key, path, message));
            return Vec::new();
        }
        return vec![entrance];
    }
    let own = configured
        .networks
        .iter()
        .filter(|network| network.registries.contains(&mesh.cluster_id));
    let mut entered = own.clone().flat_map(|network| &network.gateways);
    if !entered.any(|(at, _)| matches!(at, GatewayAt::Service(_))) {
        return Vec::new();
    }
    let host = kubernetes_host(&key.name, &key.namespace, &mesh.domain);
    let named = own.flat_map(|network| {
        let at = network.gateways.iter();
        at.filter(|(at, _)| matches!(at, GatewayAt::Service(name) if *name == host))
            .map(|(_, port)| Entrance {
                network: network.name.clone(),
                port: *port,
                hbone_port: 0,
            })
    });
    named.collect()
}

/// The addresses at which a Service is reached from outside: of its load balancer and its external IPs, else those of the
/// nodes that a Service of type NodePort selects. Istio 1.31: `extractGatewaysInner`, `updateServiceNodePortAddresses`.
fn add_addresses(
    store: &Store,
    service: &KubeService,
    mesh: &Mesh,
    entrances: &[Entrance],
    found: &mut Vec<NetworkGateway>,
) {
    let mut addresses = service.external_ips.clone();
    if let (true, Some(selector)) = (addresses.is_empty(), &service.node_selector) {
        let nodes = store.nodes.iter();
        let selected = nodes.filter(|(_, node)| node.meta.labels.satisfies(selector));
        addresses.extend(selected.filter_map(|(_, node)| node.external_addresses.first().cloned()));
    }
    let outside = |port: u16| {
        let node_port = service.ports.iter().find(|p| p.number == port);
        match node_port.filter(|_| service.node_selector.is_some()) {
            Some(known) => known.node_port,
            None => port,
        }
    };
    for address in addresses {
        found.extend(entrances.iter().map(|entrance| NetworkGateway {
            network: entrance.network.clone(),
            cluster: mesh.cluster_id.clone(),
            address: address.clone(),
            port: outside(entrance.port),
            hbone_port: entrance.hbone_port,
        }));
    }
}

/// Istio 1.31: `resolveHostnameGateways`.
fn resolve(
    unresolved: &NetworkGateways,
    store: &Store,
    mesh: &Mesh,
    diagnostics: &mut Diagnostics,
) -> Vec<NetworkGateway> {
    let mut resolved = Vec::new();
    for gateway in unresolved.all() {
        if is_ip(&gateway.address) {
            resolved.push(gateway.clone());
            continue;
        }
        let fact = store.network_facts.get(&resolved_key(&gateway.address));
        let addresses = match fact.map(|fact| &**fact) {
            Some(NetworkFact::Resolved(addresses)) if mesh.resolve_gateways => addresses.as_slice(),
            _ => &[],
        };
        if addresses.is_empty() {
            let why = match mesh.resolve_gateways {
                true => "has no address that is known yet",
                false => "is not resolved (RESOLVE_HOSTNAME_GATEWAYS is false)",
            };
            let message = format!(
                "the gateway {} of the network {} {why}, so it is not used; write an IP address where names cannot be \
                 resolved",
                gateway.address, gateway.network
            );
            diagnostics.push(Diagnostic::warning(&mesh_key(mesh), "", message));
        }
        resolved.extend(addresses.iter().map(|ip| NetworkGateway {
            address: ip.to_string().into(),
            ..gateway.clone()
        }));
    }
    resolved
}

#[cfg(test)]
mod tests;

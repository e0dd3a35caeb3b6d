//! Networks: which workloads reach one another by address, and the gateways between those that do not.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Hostname, Labels, Str};

/// The label that says which network something is in.
pub const NETWORK_LABEL: &str = "topology.istio.io/network";

/// `MeshNetworks`: the networks that the mesh configuration names, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MeshNetworks {
    /// Sorted by name.
    pub networks: Vec<Network>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its name.
    pub name: Str,
    /// `endpoints[].fromCidr`: addresses that are in it.
    pub cidrs: Vec<IpNet>,
    /// `endpoints[].fromRegistry`: clusters whose endpoints are in it.
    pub registries: Vec<Str>,
    /// `gateways[]`: where it is entered, with the port.
    pub gateways: Vec<(GatewayAt, u16)>,
}

/// What `gateways[]` of a network names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GatewayAt {
    /// `address`: an IP or a host name.
    Address(Str),
    /// `registryServiceName`: the external addresses of a Kubernetes Service.
    Service(Hostname),
}

/// What is known of networks from outside of the cluster's objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NetworkFact {
    /// The file of `--networks-config`; it counts where the mesh configuration has no `meshNetworks`.
    Configured(MeshNetworks),
    /// The addresses of a gateway that is named by host name, sorted.
    Resolved(Vec<IpAddr>),
}

/// An entrance of a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkGateway {
    /// The network behind it.
    pub network: Str,
    /// The cluster that it runs in; empty: not known.
    pub cluster: Str,
    /// An IP, or a host name that is not resolved.
    pub address: Str,
    /// The port of mutual TLS that is passed through; 0: none.
    pub port: u16,
    /// The port of HBONE; 0: none. Sidecars have no use for it.
    pub hbone_port: u16,
}

/// All entrances of all networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NetworkGateways {
    /// Sorted by address, then port.
    all: Vec<NetworkGateway>,
    /// By what weights are multiplied so that they can be divided among the gateways of any network.
    factor: u32,
}

impl NetworkGateways {
    /// Sorts them; what stands there twice counts once. Istio 1.31: `NetworkGateways.update`.
    pub fn new(mut all: Vec<NetworkGateway>) -> Self {
        let order = |gateway: &NetworkGateway| {
            (
                gateway.address.clone(),
                gateway.port,
                gateway.network.clone(),
                gateway.cluster.clone(),
                gateway.hbone_port,
            )
        };
        all.sort_by_key(order);
        all.dedup();
        let mut factor = 1;
        for gateway in &all {
            let network = || all.iter().filter(|g| g.network == gateway.network);
            let cluster = network().filter(|g| g.cluster == gateway.cluster);
            for count in [network().count(), cluster.count()] {
                factor = lcm(factor, u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
        Self { all, factor }
    }

    /// All of them, in order.
    pub fn all(&self) -> &[NetworkGateway] {
        &self.all
    }

    /// Whether there is none, so that all endpoints are reached by their addresses.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The least common multiple of the numbers of gateways of each network, and of each network in a cluster.
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// Those through which an endpoint's network is entered: of the endpoint's own cluster if there are any. Those that
    /// only take HBONE are none. Istio 1.31: `selectNetworkGateways`.
    pub fn of(&self, network: &str, cluster: &str) -> Vec<&NetworkGateway> {
        let there = || self.all.iter().filter(|g| *g.network == *network);
        let mut chosen: Vec<&NetworkGateway> = there().filter(|g| *g.cluster == *cluster).collect();
        if chosen.is_empty() {
            chosen = there().collect();
        }
        chosen.retain(|g| g.port != 0);
        chosen
    }
}

fn lcm(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b).max(1)
}

/// How the network of an endpoint is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Places {
    /// The label of the control plane's namespace: the network of the cluster.
    pub cluster: Option<Str>,
    /// The network whose `fromRegistry` is our cluster.
    pub registry: Option<Str>,
    /// Those with `fromCidr`; wide blocks first.
    pub cidrs: Vec<(IpNet, Str)>,
}

impl Places {
    /// The network of a workload: its label, the label of the control plane's namespace, then MeshNetworks. Empty: not
    /// known, so it is taken to be near. Istio 1.31: `Controller.Network`.
    pub fn of(&self, address: &str, labels: &Labels) -> Str {
        let label = labels.get(NETWORK_LABEL).filter(|label| !label.is_empty());
        let known = label.or(self.cluster.as_ref()).or(self.registry.as_ref());
        let by_address = || {
            let ip = address.parse::<IpAddr>().ok()?;
            let holds = |(block, _): &&(IpNet, Str)| block.contains(&ip);
            self.cidrs.iter().find(holds).map(|(_, network)| network)
        };
        known
            .or_else(by_address)
            .cloned()
            .unwrap_or_else(|| "".into())
    }
}

#[cfg(test)]
mod tests;

//! Which endpoints a proxy reaches by their addresses, and the gateways that stand for the others.
//! Istio 1.31: `EndpointsByNetworkFilter` (split horizon EDS).

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_model::network::{NETWORK_LABEL, NetworkGateway, NetworkGateways};
use meltemi_model::proxy::IpMode;
use meltemi_model::workload::Endpoint;
use meltemi_model::{Labels, Locality, Shared, Str};

use super::Choice;
use super::balance::ByLocality;

/// From where a proxy looks at endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Horizon {
    /// The proxy's network; empty: not known, so every network that has gateways is another one.
    pub network: Str,
    /// The networks that it asks for; empty: all. Endpoints of no known network are always among them.
    pub view: Vec<Str>,
    /// The cluster whose endpoints it gets; `None`: of all clusters.
    pub cluster: Option<Str>,
    /// Its address families: it reaches gateways of these.
    pub ip_mode: IpMode,
    /// The gateways of all networks.
    pub gateways: Shared<NetworkGateways>,
}

impl Horizon {
    /// What is seen of the endpoints of each locality. Gateways come after what is reached by address, and a locality
    /// stays where nothing of it is left.
    pub(super) fn seen(
        &self,
        choice: &Choice,
        endpoints: ByLocality<'_>,
    ) -> Vec<(Locality, Vec<Shared<Endpoint>>)> {
        let seen = endpoints.into_iter().filter_map(|(locality, list)| {
            let visible: Vec<&Shared<Endpoint>> =
                list.into_iter().filter(|e| self.shows(e)).collect();
            (!visible.is_empty()).then(|| (locality.clone(), self.of(choice, locality, &visible)))
        });
        seen.collect()
    }

    /// Istio 1.31: `filterIstioEndpoint`.
    fn shows(&self, endpoint: &Endpoint) -> bool {
        let in_view = self.view.is_empty()
            || endpoint.network.is_empty()
            || self.view.contains(&endpoint.network);
        let in_cluster = self.cluster.as_ref();
        let in_cluster = in_cluster.is_none_or(|cluster| *cluster == endpoint.cluster);
        // Without gateways nobody knows the way to an endpoint without an address.
        let known = !endpoint.address.is_empty() || !self.gateways.is_empty();
        in_view && in_cluster && known
    }

    fn of(
        &self,
        choice: &Choice,
        locality: &Locality,
        endpoints: &[&Shared<Endpoint>],
    ) -> Vec<Shared<Endpoint>> {
        if self.gateways.is_empty() {
            return endpoints.iter().map(|e| (*e).clone()).collect();
        }
        let mut seen = Vec::with_capacity(endpoints.len());
        // By address and port, the order in which they are served.
        let mut weights: BTreeMap<(&str, u16, &str, &str), (&NetworkGateway, u32)> =
            BTreeMap::new();
        for endpoint in endpoints {
            let gateways = self.gateways.of(&endpoint.network, &endpoint.cluster);
            if gateways.is_empty() || self.is_near(&endpoint.network) {
                if !endpoint.address.is_empty() {
                    seen.push(self.scaled(endpoint));
                }
                continue;
            }
            let reachable: Vec<&NetworkGateway> = gateways
                .into_iter()
                .filter(|g| reaches(self.ip_mode, g))
                .collect();
            // The gateway finds its way by the SNI of mutual TLS.
            let Some(count) = u32::try_from(reachable.len()).ok().filter(|n| *n > 0) else {
                continue;
            };
            if !choice.mtls(endpoint) {
                continue;
            }
            for gateway in reachable {
                let key = (
                    &*gateway.address,
                    gateway.port,
                    &*gateway.network,
                    &*gateway.cluster,
                );
                let entry = weights.entry(key).or_insert((gateway, 0));
                entry.1 = entry.1.saturating_add(self.weight(endpoint) / count);
            }
        }
        let gateways = weights.into_values();
        seen.extend(gateways.map(|(g, weight)| Shared::new(stand_in(g, locality, weight.max(1)))));
        seen
    }

    /// Whether endpoints of a network are reached by their addresses. A proxy that does not say where it is takes the
    /// gateways of those that do.
    fn is_near(&self, network: &str) -> bool {
        network.is_empty() || *self.network == *network
    }

    fn weight(&self, endpoint: &Endpoint) -> u32 {
        endpoint.weight.saturating_mul(self.gateways.factor())
    }

    fn scaled(&self, endpoint: &Shared<Endpoint>) -> Shared<Endpoint> {
        let weight = self.weight(endpoint);
        if weight == endpoint.weight {
            return endpoint.clone();
        }
        Shared::new(Endpoint {
            weight,
            ..(**endpoint).clone()
        })
    }
}

/// Istio 1.31: `filterGatewaysByIPFamily`; a host name is for proxies of both families only.
fn reaches(mode: IpMode, gateway: &NetworkGateway) -> bool {
    let ip = gateway.address.parse::<IpAddr>();
    let ip = ip.map(|ip| ip.to_canonical());
    match (mode, ip) {
        (IpMode::Dual, _) => true,
        (IpMode::V4, Ok(ip)) => ip.is_ipv4(),
        (IpMode::V6, Ok(ip)) => ip.is_ipv6(),
        (_, Err(_)) => false,
    }
}

/// A gateway as an endpoint: it takes mutual TLS, and nothing is known of the workloads behind it.
fn stand_in(gateway: &NetworkGateway, locality: &Locality, weight: u32) -> Endpoint {
    let mut labels = Labels::default();
    for (label, value) in [
        ("topology.istio.io/cluster", &gateway.cluster),
        (NETWORK_LABEL, &gateway.network),
    ] {
        if !value.is_empty() {
            labels.0.insert(label.into(), value.clone());
        }
    }
    Endpoint {
        labels,
        network: gateway.network.clone(),
        cluster: gateway.cluster.clone(),
        locality: locality.clone(),
        weight,
        mtls: true,
        ..Endpoint::at(gateway.address.clone(), gateway.port)
    }
}

#[cfg(test)]
mod tests;

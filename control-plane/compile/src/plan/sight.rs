//! How far a class sees: which endpoints of a service it reaches by address.

use meltemi_builders::endpoint::Horizon;
use meltemi_model::network::NetworkGateways;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::Service;
use meltemi_model::{Shared, Str};
use meltemi_world::World;

/// The horizons of one class. Most meshes have one network, and then there are none.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    world: &'a World,
    pub(super) class: &'a ProxyClass,
    /// For endpoints that we serve.
    served: Option<Shared<Horizon>>,
    /// For endpoints whose names Envoy resolves.
    named: Option<Shared<Horizon>>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(world: &'a World, class: &'a ProxyClass) -> Self {
        let limited = |gateways: &Shared<NetworkGateways>| {
            let is_limited = !gateways.is_empty() || !class.network_view.is_empty();
            is_limited.then(|| Shared::new(horizon(class, gateways, None)))
        };
        Self {
            world,
            class,
            served: limited(&world.networks.gateways),
            named: limited(&world.networks.unresolved),
        }
    }

    /// The horizon for a service's endpoints. `named`: Envoy resolves them.
    pub(super) fn of(&self, service: &Service, named: bool) -> Option<Shared<Horizon>> {
        let mesh = &self.world.mesh;
        let cluster = &self.class.cluster_id;
        // All endpoints that we know of are of our own cluster, so only proxies of others need to be told.
        if *cluster != mesh.cluster_id && mesh.is_cluster_local(&service.key.host) {
            let networks = &self.world.networks;
            let gateways = if named {
                &networks.unresolved
            } else {
                &networks.gateways
            };
            let own = Some(cluster.clone());
            return Some(Shared::new(horizon(self.class, gateways, own)));
        }
        match named {
            true => self.named.clone(),
            false => self.served.clone(),
        }
    }
}

fn horizon(
    class: &ProxyClass,
    gateways: &Shared<NetworkGateways>,
    cluster: Option<Str>,
) -> Horizon {
    Horizon {
        network: class.network.clone(),
        view: class.network_view.clone(),
        cluster,
        ip_mode: class.ip_mode,
        gateways: gateways.clone(),
    }
}

#[cfg(test)]
mod tests;

//! Which listeners a class of proxies has, and which filter chains each of them.
//!
//! Everything that a listener depends on is chosen here and handed over in its Input; `meltemi_builders::listener`
//! only renders. Every route configuration that a listener refers to is one that `plan/routes` yields (I7).
//!
//! Read first: `listeners/outbound.rs` (services and their conflicts), `listeners/inbound.rs`, `listeners/gateway.rs`.

use std::collections::BTreeMap;

use meltemi_builders::listener::ListenerInput;
use meltemi_model::proxy::{InterceptionMode, ProxyClass};
use meltemi_model::routing::VirtualService;
use meltemi_model::{Diagnostic, Diagnostics, Shared, Str};
use meltemi_world::Scope;

use super::gateway::{MergedGateways, Refused};

mod addresses;
mod authorization;
mod facets;
mod gateway;
mod inbound;
mod l4;
mod outbound;
mod server_tls;
mod virtual_outbound;

pub(super) use facets::{any_dns_cache, dns_family};

#[cfg(test)]
mod tests;

/// The listeners of a sidecar. Istio 1.31: `buildSidecarListeners`.
pub fn sidecar_listeners(scope: &Scope, class: &ProxyClass) -> Vec<ListenerInput> {
    if scope.mesh.outbound_port == 0 {
        return Vec::new();
    }
    // Istio would send two listeners of one name and Envoy take the first; here only that one is sent.
    let mut by_name: BTreeMap<Str, ListenerInput> = BTreeMap::new();
    let facets = facets::Facets::sidecar(scope, class);
    let mut all = outbound::listeners(scope, class, &facets);
    all.extend(virtual_outbound::http_proxy(scope, class));
    if class.interception != InterceptionMode::None {
        all.push(virtual_outbound::listener(scope, class, &facets));
    }
    all.extend(inbound::listeners(scope, class));
    for listener in all {
        by_name.entry(listener.name.clone()).or_insert(listener);
    }
    by_name.into_values().collect()
}

/// The listeners of a gateway. `virtual_services`: those that the class sees, in order of precedence. Servers that
/// [`unserved_servers`] names are left out. Istio 1.31: `buildGatewayListeners`.
pub fn gateway_listeners(
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
    virtual_services: &[Shared<VirtualService>],
) -> Vec<ListenerInput> {
    gateway::listeners(scope, class, gateways, virtual_services)
}

/// CUSTOM policies whose provider cannot be asked, so that they refuse what they match.
pub fn unasked_providers(scope: &Scope, class: &ProxyClass) -> Diagnostics {
    authorization::unasked(scope, class)
}

/// A policy that a sidecar cannot follow, so that it refuses connections.
pub fn unmet_strictness(scope: &Scope, class: &ProxyClass) -> Option<Diagnostic> {
    inbound::unmet_strictness(scope, class)
}

/// The accepted servers of a gateway that this class is not sent a filter chain for, with the reason.
pub fn unserved_servers(class: &ProxyClass, gateways: &MergedGateways) -> Vec<Refused> {
    gateway::unserved(class, gateways)
}

//! Which route configurations a class of proxies gets, and what is in them: services and VirtualServices become the
//! inputs of the route builder. Everything that only filters (source labels, gateways, ports, visibility) is decided
//! here, so that classes which decide alike share the resource.
//!
//! Read first: `routes/sidecar.rs` and `routes/hosts.rs`, `routes/gateway.rs`, then `routes/rules.rs`, which both use.

mod domains;
mod gateway;
mod hosts;
mod names;
mod rules;
mod sidecar;
#[cfg(test)]
mod tests;

use meltemi_builders::route::RouteInput;
use meltemi_model::Str;

pub use gateway::{gateway_route, gateway_routes};
pub use names::sidecar_route_names;
pub use sidecar::{sidecar_route, sidecar_routes};

/// The route configuration of the port of `proxyHttpPort`. Istio 1.31: `RDSHttpProxy`.
pub const HTTP_PROXY: &str = "http_proxy";
/// What begins the name of a route configuration of a Unix domain socket.
pub const UNIX: &str = "unix://";

/// The answer for a name that nothing is known about, such as that of a listener that is being drained.
pub fn empty_route(name: &str) -> RouteInput {
    RouteInput {
        name: Str::from(name),
        virtual_hosts: Vec::new(),
        limits: false,
    }
}

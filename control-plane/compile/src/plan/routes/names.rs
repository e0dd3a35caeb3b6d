//! The route configurations that the outbound listeners of a sidecar refer to. Istio 1.31:
//! `buildSidecarOutboundListeners` and `buildSidecarOutboundHTTPListenerOpts`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use meltemi_model::Str;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{InterceptionMode, ProxyClass};
use meltemi_model::service::{Resolution, ServicePort};
use meltemi_model::sidecar::CaptureMode;
use meltemi_model::workload::Endpoint;
use meltemi_world::{EgressScope, Scope, ScopedService};

use super::{HTTP_PROXY, UNIX};
use crate::plan::families::address;

/// Where a listener binds, as far as it decides the name.
#[derive(Debug, Clone, Copy)]
struct Bind<'a> {
    /// The address of the egress listener; empty: none.
    address: &'a str,
    /// Whether it takes a real port, rather than redirected traffic.
    to_port: bool,
}

/// The names, sorted.
pub fn sidecar_route_names(scope: &Scope, class: &ProxyClass) -> BTreeSet<Str> {
    let mut out = BTreeSet::new();
    for egress in &scope.egress {
        let bind = bind(egress, class);
        let own = egress
            .listener
            .as_ref()
            .and_then(|listener| listener.port.as_ref());
        for row in scope
            .services_of(egress)
            .filter(|row| row.service.resolution != Resolution::Alias)
        {
            if let Some(own) = own {
                let port = ServicePort {
                    name: own.name.clone(),
                    number: own.number,
                    protocol: own.protocol,
                };
                out.extend(name(row, &port, bind, class));
            } else {
                out.extend(
                    row.service
                        .ports
                        .iter()
                        .filter_map(|port| name(row, port, bind, class)),
                );
            }
        }
    }
    let own_port = class.facet.http_proxy_port;
    if own_port != 0 || scope.mesh.http_proxy_port != 0 {
        out.insert(HTTP_PROXY.into());
    }
    out
}

fn bind<'a>(egress: &'a EgressScope, class: &ProxyClass) -> Bind<'a> {
    let address = egress
        .listener
        .as_ref()
        .map_or("", |listener| &*listener.bind);
    let captured = egress
        .listener
        .as_ref()
        .is_none_or(|listener| listener.capture_mode != CaptureMode::None);
    let to_port =
        class.interception == InterceptionMode::None || !captured || address.starts_with(UNIX);
    Bind { address, to_port }
}

/// The name for one port of a service; `None` where its listener has no HTTP.
fn name(
    row: &ScopedService,
    port: &ServicePort,
    bind: Bind<'_>,
    class: &ProxyClass,
) -> Option<Str> {
    if !can_bind(port, bind, class) {
        return None;
    }
    if port.number == 0 {
        return (port.protocol.is_http() || port.protocol.is_unsupported())
            .then(|| bind.address.into());
    }
    let shared = || Some(Str::from(port.number.to_string()));
    if port.protocol.is_http() {
        return shared();
    }
    if !port.protocol.is_unsupported() {
        return None;
    }
    // A detected protocol on the wildcard address shares the port's routes; on an address of its own it has its own.
    let own = || {
        Some(Str::from(format!(
            "{}:{}",
            row.service.key.host, port.number
        )))
    };
    if !bind.address.is_empty() {
        return if is_wildcard(bind.address) {
            shared()
        } else {
            own()
        };
    }
    if bind.to_port {
        return own();
    }
    match address(&row.service, class) {
        Some(address) if address.contains('/') || is_wildcard(address) => shared(),
        Some(_) => own(),
        None if row.service.resolution == Resolution::Passthrough => {
            let endpoints = row.endpoints.port(&port.name);
            if endpoints.is_empty() && !row.service.kubernetes && row.service.selector.is_empty() {
                return shared();
            }
            let mine = class.own_ips.first().map(ToString::to_string);
            let listens = |e: &Endpoint| {
                e.addresses().all(|a| a.parse::<IpAddr>().is_ok())
                    && mine.as_deref() != Some(&e.address)
            };
            if endpoints.iter().any(|e| listens(e)) {
                own()
            } else {
                None
            }
        }
        None => shared(),
    }
}

/// Istio 1.31: `CanBindToPort`.
fn can_bind(port: &ServicePort, bind: Bind<'_>, class: &ProxyClass) -> bool {
    if bind.to_port && class.facet.unprivileged && port.number < 1024 {
        return false;
    }
    let wildcard = if bind.address.is_empty() {
        is_http(port.protocol)
    } else {
        is_wildcard(bind.address)
    };
    let wildcard = wildcard && !(bind.to_port && bind.address.is_empty());
    !(wildcard && class.facet.reserved_ports.contains(&port.number))
}

fn is_http(protocol: Protocol) -> bool {
    protocol.is_http()
}

fn is_wildcard(address: &str) -> bool {
    matches!(address, "0.0.0.0" | "::")
}

//! VirtualServices. Istio 1.31: `ValidateVirtualService`.

mod cors;
mod fault;
mod headers;
pub mod http;
mod l4;
pub mod route;
mod unreachable;

use meltemi_api::virtual_service::{HttpMatchRequest, VirtualService};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::export_to::{Of, export_to};
use crate::rules::gateway_name::gateway_names;
use crate::rules::{cidr, header, host};

pub use cors::cors_policy;
pub use fault::{abort, delay};
pub use l4::{SniHosts, route_destinations};

/// The name of the gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// A VirtualService.
pub fn validate(meta: &Meta<'_>, service: &VirtualService) -> Findings {
    let mut found = Findings::default();
    let converted = meta.annotation("internal.istio.io/route-semantics") == Some("gateway");
    let delegate = service.hosts.is_empty();
    if delegate {
        only_http(&mut found, service);
    }
    let no_mesh = !service.gateways.iter().any(|name| name == MESH);
    let for_gateways = !service.gateways.is_empty() && no_mesh;
    gateway_names(&mut found, "spec.gateways", &service.gateways, converted);
    if !for_gateways {
        no_claims(&mut found, service);
    }
    hosts(&mut found, service, for_gateways);
    if service.http.is_empty() && service.tcp.is_empty() && service.tls.is_empty() {
        found.error(
            "spec",
            "http, tcp or tls must be provided in virtual service",
        );
    }
    for (at, route) in elements("spec.http", &service.http) {
        http::route(&mut found, &at, route, delegate, converted);
    }
    let sni = SniHosts {
        hosts: &service.hosts,
        // Without gateways, too: Istio asks here only whether `mesh` is named.
        for_gateways: no_mesh,
    };
    for (at, route) in elements("spec.tls", &service.tls) {
        l4::tls(&mut found, &at, route, sni, converted);
    }
    for (at, route) in elements("spec.tcp", &service.tcp) {
        l4::tcp(&mut found, &at, route, converted);
    }
    export_to(
        &mut found,
        meta.namespace,
        &service.export_to,
        Of::Configuration,
    );
    unreachable::http(&mut found, &service.http);
    let tcp = service.tcp.iter().map(|route| &route.r#match[..]);
    unreachable::l4(&mut found, "spec.tcp", tcp);
    let tls = service.tls.iter().map(|route| &route.r#match[..]);
    unreachable::l4(&mut found, "spec.tls", tls);
    found
}

/// What has no hosts is a delegate of others.
fn only_http(found: &mut Findings, service: &VirtualService) {
    for (field, set, what) in [
        ("gateways", !service.gateways.is_empty(), "gateways"),
        ("tls", !service.tls.is_empty(), "tls route"),
        ("tcp", !service.tcp.is_empty(), "tcp route"),
    ] {
        if set {
            found.error(
                format!("spec.{field}"),
                format!("delegate virtual service must have no {what} specified"),
            );
        }
    }
}

/// Claims of tokens are known to gateways only.
fn no_claims(found: &mut Findings, service: &VirtualService) {
    let gateways = format!("[{}]", service.gateways.join(" "));
    for (at, route) in elements("spec.http", &service.http) {
        for (at, condition) in elements(&format!("{at}.match"), &route.r#match) {
            for name in claims(condition) {
                found.error(
                    &at,
                    format!(
                        "JWT claim based routing (key: {name}) is only supported for gateway, found no gateways: {gateways}"
                    ),
                );
            }
        }
    }
}

fn claims(condition: &HttpMatchRequest) -> impl Iterator<Item = &String> {
    let names = condition.headers.keys();
    let names = names.chain(condition.without_headers.keys());
    names.filter(|name| header::is_claim(name))
}

fn hosts(found: &mut Findings, service: &VirtualService, for_gateways: bool) {
    let sni = service
        .tls
        .iter()
        .flat_map(|route| &route.r#match)
        .any(|condition| !condition.sni_hosts.is_empty());
    let mut all_good = true;
    for (at, name) in elements("spec.hosts", &service.hosts) {
        let good = if for_gateways {
            host::bound_to_gateway(sni, name)
        } else {
            host::wildcard(name)
        };
        match good {
            Err(_) if cidr::is_ip(name) => {}
            Err(message) => {
                found.error(at, message);
                all_good = false;
            }
            Ok(()) if !for_gateways && name == "*" => {
                found.error(
                    at,
                    "wildcard host * is not allowed for virtual services bound to the mesh gateway",
                );
                all_good = false;
            }
            Ok(()) => {}
        }
    }
    if !all_good {
        return;
    }
    for (i, one) in service.hosts.iter().enumerate() {
        for (j, other) in service.hosts.iter().enumerate().skip(i + 1) {
            if host::overlap(one, other) {
                found.error(
                    format!("spec.hosts[{j}]"),
                    format!("duplicate hosts in virtual service: {one} & {other}"),
                );
            }
        }
    }
}

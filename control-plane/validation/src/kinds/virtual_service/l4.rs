//! TLS and TCP routes.

use meltemi_api::virtual_service::{
    L4MatchAttributes, RouteDestination, TcpRoute, TlsMatchAttributes, TlsRoute,
};

use super::{http, route as parts};
use crate::Findings;
use crate::object::elements;
use crate::rules::gateway_name::gateway_names;
use crate::rules::labels::labels;
use crate::rules::{cidr, host, port};

/// What names of a TLS handshake are compared with.
#[derive(Debug, Clone, Copy)]
pub struct SniHosts<'a> {
    /// The hosts of the VirtualService.
    pub hosts: &'a [String],
    /// Whether it does not name `mesh` among its gateways.
    pub for_gateways: bool,
}

/// Istio 1.31: `validateTLSRoute`.
pub(super) fn tls(
    found: &mut Findings,
    at: &str,
    route: &TlsRoute,
    sni: SniHosts<'_>,
    converted: bool,
) {
    if route.r#match.is_empty() {
        found.error(
            format!("{at}.match"),
            "TLS route must have at least one match condition",
        );
    }
    for (at, condition) in elements(&format!("{at}.match"), &route.r#match) {
        tls_match(found, &at, condition, sni);
    }
    if route.route.is_empty() {
        found.error(format!("{at}.route"), "TLS route is required");
    }
    route_destinations(found, &format!("{at}.route"), &route.route, converted);
}

/// Istio 1.31: `validateTLSMatch`.
fn tls_match(found: &mut Findings, at: &str, condition: &TlsMatchAttributes, sni: SniHosts<'_>) {
    if condition.sni_hosts.is_empty() {
        found.error(
            format!("{at}.sniHosts"),
            "TLS match must have at least one SNI host",
        );
    }
    for (at, name) in elements(&format!("{at}.sniHosts"), &condition.sni_hosts) {
        sni_host(found, &at, name, sni);
    }
    for (at, subnet) in elements(
        &format!("{at}.destinationSubnets"),
        &condition.destination_subnets,
    ) {
        found.check(at, cidr::subnet(subnet));
    }
    found.check(format!("{at}.port"), port::optional(condition.port));
    labels(
        found,
        &format!("{at}.sourceLabels"),
        &condition.source_labels,
    );
    gateway_names(found, &format!("{at}.gateways"), &condition.gateways, false);
}

/// Istio 1.31: `validateSniHost`.
fn sni_host(found: &mut Findings, at: &str, name: &str, sni: SniHosts<'_>) {
    let good = if sni.for_gateways {
        host::bound_to_gateway(true, name)
    } else {
        host::wildcard(name)
    };
    if let Err(message) = good {
        if cidr::is_ip(name) {
            found.warning(
                at,
                format!(
                    "using an IP address ({name:?}) goes against SNI spec and most clients do not support this"
                ),
            );
        } else {
            found.error(at, message);
        }
        return;
    }
    if !sni.hosts.iter().any(|by| host::is_covered(name, by)) {
        found.error(
            at,
            format!(
                "SNI host {name:?} is not a compatible subset of any of the virtual service hosts: [{}]",
                sni.hosts.join(", ")
            ),
        );
    }
}

/// Istio 1.31: `validateTCPRoute`.
pub(super) fn tcp(found: &mut Findings, at: &str, route: &TcpRoute, converted: bool) {
    for (at, condition) in elements(&format!("{at}.match"), &route.r#match) {
        tcp_match(found, &at, condition);
    }
    if route.route.is_empty() {
        found.error(format!("{at}.route"), "TCP route is required");
    }
    route_destinations(found, &format!("{at}.route"), &route.route, converted);
}

/// Istio 1.31: `validateTCPMatch`.
fn tcp_match(found: &mut Findings, at: &str, condition: &L4MatchAttributes) {
    for (at, subnet) in elements(
        &format!("{at}.destinationSubnets"),
        &condition.destination_subnets,
    ) {
        found.check(at, cidr::subnet(subnet));
    }
    found.check(format!("{at}.port"), port::optional(condition.port));
    labels(
        found,
        &format!("{at}.sourceLabels"),
        &condition.source_labels,
    );
    let mut names = Findings::default();
    gateway_names(
        &mut names,
        &format!("{at}.gateways"),
        &condition.gateways,
        false,
    );
    found.extend_errors(names);
}

/// `route` of either. Istio 1.31: `validateRouteDestinations`.
pub fn route_destinations(
    found: &mut Findings,
    at: &str,
    destinations: &[RouteDestination],
    converted: bool,
) {
    for (at, entry) in elements(at, destinations) {
        match &entry.destination {
            None => found.error(format!("{at}.destination"), "destination is required"),
            Some(_) if converted => {}
            Some(to) => parts::destination(found, &format!("{at}.destination"), to),
        }
        http::weight(found, &at, entry.weight);
    }
    http::total(found, at, destinations.iter().map(|entry| entry.weight));
}

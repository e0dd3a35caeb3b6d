//! `tls[]` and `tcp[]`.

use meltemi_api::virtual_service as api;
use meltemi_model::routing::{Destination, L4Match, TcpRoute, TlsRoute};
use meltemi_model::{Hostname, Str};

use crate::lower::checks;
use crate::lower::findings::Findings;
use crate::lower::meta::labels;

use super::{Scope, gateways, http};

pub(super) fn lower_tls(
    route: &api::TlsRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> TlsRoute {
    if route.r#match.is_empty() {
        findings.error(
            format!("{path}.match"),
            "a TLS route needs a match with sniHosts",
        );
    }
    let matches = route.r#match.iter().enumerate();
    TlsRoute {
        matches: matches
            .map(|(i, m)| tls_match(m, &format!("{path}.match[{i}]"), scope, findings))
            .collect(),
        destinations: destinations(&route.route, path, scope, findings),
    }
}

pub(super) fn lower_tcp(
    route: &api::TcpRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> TcpRoute {
    let matches = route.r#match.iter().enumerate();
    TcpRoute {
        matches: matches
            .map(|(i, m)| tcp_match(m, &format!("{path}.match[{i}]"), scope, findings))
            .collect(),
        destinations: destinations(&route.route, path, scope, findings),
    }
}

fn destinations(
    routes: &[api::RouteDestination],
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> Vec<(Destination, u32)> {
    let path = format!("{path}.route");
    if routes.is_empty() {
        findings.error(&path, "the route is missing; write a destination");
    }
    http::check_weights(routes.iter().map(|r| r.weight), &path, findings);
    let routes = routes.iter().enumerate();
    routes
        .map(|(i, route)| {
            let at = format!("{path}[{i}].destination");
            let destination = findings.destination(
                &at,
                route.destination.as_ref(),
                scope.namespace,
                scope.domain,
            );
            (destination, u32::try_from(route.weight).unwrap_or(0))
        })
        .collect()
}

fn tls_match(
    m: &api::TlsMatchAttributes,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> L4Match {
    if m.sni_hosts.is_empty() {
        findings.error(
            format!("{path}.sniHosts"),
            "a TLS match needs at least one SNI host",
        );
    }
    for (i, sni) in m.sni_hosts.iter().enumerate() {
        check_sni(sni, &format!("{path}.sniHosts[{i}]"), scope, findings);
    }
    L4Match {
        // SNI is compared without regard to case, in lower case.
        sni_hosts: m.sni_hosts.iter().map(|sni| Hostname::new(sni).0).collect(),
        destination_subnets: subnets(&m.destination_subnets, path, findings),
        port: findings.optional_port(format!("{path}.port"), m.port),
        source_labels: labels(&m.source_labels),
        source_namespace: m.source_namespace.clone(),
        gateways: gateways(&format!("{path}.gateways"), &m.gateways, scope, findings),
    }
}

/// Istio 1.31: `validateSniHost`.
fn check_sni(sni: &str, path: &str, scope: &Scope<'_>, findings: &mut Findings) {
    if checks::ip(sni).is_ok() {
        findings.warning(
            path,
            format!("{sni:?}: clients send no SNI for an IP address"),
        );
        return;
    }
    if !sni.starts_with("outbound_") {
        findings.check(path, checks::wildcard_host(sni));
    }
    let name = Hostname::new(sni);
    if !scope
        .hosts
        .iter()
        .any(|host| name.subset_of(&Hostname::new(host)))
    {
        let message = format!("{sni:?} is not covered by the hosts of the VirtualService");
        findings.warning(path, message);
    }
}

fn tcp_match(
    m: &api::L4MatchAttributes,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> L4Match {
    if !m.source_subnet.is_empty() {
        findings.warning(
            format!("{path}.sourceSubnet"),
            "it has no effect, as in Istio",
        );
    }
    L4Match {
        sni_hosts: Vec::new(),
        destination_subnets: subnets(&m.destination_subnets, path, findings),
        port: findings.optional_port(format!("{path}.port"), m.port),
        source_labels: labels(&m.source_labels),
        source_namespace: m.source_namespace.clone(),
        gateways: gateways(&format!("{path}.gateways"), &m.gateways, scope, findings),
    }
}

fn subnets(subnets: &[String], path: &str, findings: &mut Findings) -> Vec<Str> {
    for (i, subnet) in subnets.iter().enumerate() {
        findings.check(
            &format!("{path}.destinationSubnets[{i}]"),
            checks::subnet(subnet),
        );
    }
    subnets.iter().map(|s| s.as_str().into()).collect()
}

//! networking.istio.io VirtualService.

mod fault;
mod headers;
mod http;
mod l4;
mod matches;
pub(super) mod retries;

use meltemi_api::virtual_service as api;
use meltemi_model::routing::{MESH_GATEWAY, VirtualService};
use meltemi_model::{Hostname, Object, Shared, Str};

use super::findings::Findings;
use super::meta::Raw;
use super::{LowerSettings, checks, names};

/// What the parts of a VirtualService must know of the whole.
struct Scope<'a> {
    namespace: &'a str,
    domain: &'a str,
    /// As written, for `sniHosts`.
    hosts: &'a [String],
    /// Whether no Gateway is named.
    for_sidecars_only: bool,
}

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let spec: api::VirtualService = findings.spec(raw)?;
    if spec.hosts.is_empty() {
        check_delegate(&spec, findings);
    }
    let scope = Scope {
        namespace: raw.namespace(),
        domain: &settings.domain,
        hosts: &spec.hosts,
        for_sidecars_only: !spec.hosts.is_empty()
            && spec.gateways.iter().all(|g| g == MESH_GATEWAY),
    };
    let gateways = match spec.gateways.as_slice() {
        [] => vec![MESH_GATEWAY.into()],
        names => gateways("spec.gateways", names, &scope, findings),
    };
    check_hosts(&spec, &gateways, findings);
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        findings.error("spec", "there is no route; write http, tls or tcp");
    }
    let http = spec.http.iter().enumerate();
    let tls = spec.tls.iter().enumerate();
    let tcp = spec.tcp.iter().enumerate();
    Some(Object::VirtualService(Shared::new(VirtualService {
        hosts: spec
            .hosts
            .iter()
            .map(|host| names::fqdn(host, scope.namespace, scope.domain))
            .collect(),
        gateways,
        export_to: findings.export_to("spec.exportTo", &spec.export_to, raw.namespace()),
        http: http
            .map(|(i, route)| http::lower(route, &format!("spec.http[{i}]"), &scope, findings))
            .collect(),
        tls: tls
            .map(|(i, route)| l4::lower_tls(route, &format!("spec.tls[{i}]"), &scope, findings))
            .collect(),
        tcp: tcp
            .map(|(i, route)| l4::lower_tcp(route, &format!("spec.tcp[{i}]"), &scope, findings))
            .collect(),
        meta: raw.meta.clone(),
    })))
}

/// What has no hosts is a delegate: others' routes lead to its `http`. Istio 1.31: `ValidateVirtualService`.
fn check_delegate(spec: &api::VirtualService, findings: &mut Findings) {
    for (field, given) in [
        ("gateways", !spec.gateways.is_empty()),
        ("tls", !spec.tls.is_empty()),
        ("tcp", !spec.tcp.is_empty()),
    ] {
        if given {
            let message = format!("a delegate has no {field}; write hosts, or remove {field}");
            findings.error(format!("spec.{field}"), message);
        }
    }
}

/// Istio 1.31: `ValidateVirtualService`.
fn check_hosts(spec: &api::VirtualService, gateways: &[Str], findings: &mut Findings) {
    let for_sidecars = gateways.iter().any(|g| &**g == MESH_GATEWAY);
    let before = findings.is_usable();
    for (i, host) in spec.hosts.iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        if host == "*" && for_sidecars {
            // istiod serves it where it is already there; validation says that it should not be.
            continue;
        } else if checks::ip(host).is_err() && !host.starts_with("outbound_") {
            findings.check(&path, checks::wildcard_host(host));
        }
    }
    if before && findings.is_usable() {
        let hosts: Vec<Hostname> = spec.hosts.iter().map(|h| Hostname::new(h)).collect();
        for (i, host) in hosts.iter().enumerate() {
            if let Some(other) = hosts[..i].iter().find(|other| other.matches(host)) {
                let message = format!("{host} and {other} have hosts in common; write them once");
                findings.warning(format!("spec.hosts[{i}]"), message);
            }
        }
    }
}

/// Gateway names in full. Istio 1.31: `validateGatewayNames`.
fn gateways(path: &str, list: &[String], scope: &Scope<'_>, findings: &mut Findings) -> Vec<Str> {
    for (i, name) in list.iter().enumerate() {
        let path = format!("{path}[{i}]");
        match name.split_once('/') {
            None => findings.check(&path, checks::fqdn(name)),
            Some((namespace, name)) => {
                if namespace != "." {
                    findings.check(&path, checks::dns_label(namespace));
                }
                findings.check(&path, checks::dns_label(name));
            }
        }
    }
    list.iter()
        .map(|name| names::gateway(name, scope.namespace))
        .collect()
}

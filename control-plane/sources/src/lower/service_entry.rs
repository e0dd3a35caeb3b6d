//! networking.istio.io ServiceEntry.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_api::service_entry::{self as api, Location};
use meltemi_model::allocation::takes_part;
use meltemi_model::port::Protocol;
use meltemi_model::service::{Resolution, ServiceEntry, ServiceEntryPort};
use meltemi_model::{Hostname, Object, Shared, Str};

use super::findings::Findings;
use super::meta::Raw;
use super::{LowerSettings, checks, names, workload_entry};

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let spec: api::ServiceEntry = findings.spec(raw)?;
    let status: api::ServiceEntryStatus = findings.parse_part("status", raw.part("status"))?;
    let resolution = resolution(spec.resolution);
    check_hosts(&spec, resolution, findings);
    check_endpoints(&spec, resolution, findings);
    let endpoints = spec
        .endpoints
        .iter()
        .enumerate()
        .map(|(i, e)| workload_entry::lower_spec(e, &format!("spec.endpoints[{i}]"), findings))
        .collect();
    Some(Object::ServiceEntry(Shared::new(ServiceEntry {
        hosts: spec.hosts.iter().map(|h| Hostname::new(h)).collect(),
        addresses: addresses(&spec, resolution, findings),
        allocated: if settings.features.ip_autoallocate
            && takes_part(resolution, !spec.addresses.is_empty(), &raw.meta.labels)
        {
            allocated(&status)
        } else {
            Vec::new()
        },
        ports: ports(&spec, resolution, findings),
        mesh_internal: spec.location == Location::MeshInternal,
        resolution,
        endpoints,
        workload_selector: spec
            .workload_selector
            .as_ref()
            .map(|s| findings.selector("spec.workloadSelector.labels", &s.labels)),
        export_to: findings.export_to("spec.exportTo", &spec.export_to, raw.namespace()),
        subject_alt_names: spec
            .subject_alt_names
            .iter()
            .map(|s| s.as_str().into())
            .collect(),
        meta: raw.meta.clone(),
    })))
}

fn resolution(resolution: api::Resolution) -> Resolution {
    match resolution {
        api::Resolution::None => Resolution::Passthrough,
        api::Resolution::Static => Resolution::ClientSideLb,
        api::Resolution::Dns => Resolution::Dns,
        api::Resolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        api::Resolution::DynamicDns => Resolution::DynamicDns,
    }
}

/// One address of each family for each host, IPv4 first; the last one written counts. Istio 1.31: `convertServices`.
fn allocated(status: &api::ServiceEntryStatus) -> Vec<(Hostname, Str)> {
    let mut by_host: BTreeMap<Hostname, BTreeMap<bool, IpAddr>> = BTreeMap::new();
    for address in &status.addresses {
        if let Ok(ip) = address.value.parse::<IpAddr>() {
            let host = by_host.entry(Hostname::new(&address.host)).or_default();
            host.insert(ip.is_ipv6(), ip);
        }
    }
    let of_host = |(host, ips): (Hostname, BTreeMap<bool, IpAddr>)| {
        let addresses = ips.into_values().map(|ip| Str::from(ip.to_string()));
        addresses
            .map(move |a| (host.clone(), a))
            .collect::<Vec<_>>()
    };
    by_host.into_iter().flat_map(of_host).collect()
}

fn check_hosts(spec: &api::ServiceEntry, resolution: Resolution, findings: &mut Findings) {
    if spec.hosts.is_empty() {
        findings.error("spec.hosts", "a ServiceEntry needs at least one host");
    }
    let by_name = matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    for (i, host) in spec.hosts.iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        if host == "*" {
            findings.error(
                path,
                "\"*\" would be every host; write a name such as *.example.com",
            );
        } else if by_name && spec.endpoints.is_empty() && host.starts_with('*') {
            findings.warning(
                path,
                format!("{host:?} cannot be resolved; name endpoints, or use resolution: NONE or DYNAMIC_DNS"),
            );
        } else if resolution == Resolution::DynamicDns && !host.starts_with('*') {
            findings.error(
                path,
                "with resolution: DYNAMIC_DNS a host begins with a wildcard",
            );
        } else {
            findings.check(&path, checks::wildcard_host(host));
        }
    }
    let plain = |port: &api::ServicePort| {
        let protocol = names::protocol(&port.protocol);
        !protocol.is_http() && !protocol.is_tls()
    };
    // Nothing in a plain TCP stream tells which host is meant.
    if resolution != Resolution::Passthrough && spec.hosts.len() > 1 && spec.ports.iter().any(plain)
    {
        findings.warning(
            "spec.hosts",
            "several hosts need HTTP or TLS ports; write one ServiceEntry per host",
        );
    }
}

fn check_endpoints(spec: &api::ServiceEntry, resolution: Resolution, findings: &mut Findings) {
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        findings.error(
            "spec.endpoints",
            "endpoints and workloadSelector exclude each other; keep only one of them",
        );
    }
    let none_allowed = matches!(resolution, Resolution::Passthrough | Resolution::DynamicDns);
    if none_allowed && !spec.endpoints.is_empty() {
        findings.error(
            "spec.endpoints",
            "with this resolution there are no endpoints; use resolution: STATIC",
        );
    }
    if resolution == Resolution::DnsRoundRobin && spec.endpoints.len() > 1 {
        findings.error(
            "spec.endpoints",
            "with resolution: DNS_ROUND_ROBIN there is at most one endpoint",
        );
    }
    for (i, endpoint) in spec.endpoints.iter().enumerate() {
        let path = format!("spec.endpoints[{i}]");
        let names_allowed = resolution != Resolution::ClientSideLb;
        workload_entry::check(endpoint, &path, names_allowed, findings);
        if endpoint.address.starts_with("unix://") && spec.ports.len() != 1 {
            findings.error(
                format!("{path}.address"),
                "a Unix socket serves exactly one port",
            );
        }
        for name in endpoint.ports.keys() {
            if spec.ports.iter().all(|port| port.name != *name) {
                let message = format!("no port of the ServiceEntry is named {name:?}");
                findings.warning(format!("{path}.ports.{name}"), message);
            }
        }
    }
}

/// Addresses; a CIDR of one address becomes that address. Istio 1.31: `convertServices`.
fn addresses(
    spec: &api::ServiceEntry,
    resolution: Resolution,
    findings: &mut Findings,
) -> Vec<Str> {
    if resolution == Resolution::DynamicDns && !spec.addresses.is_empty() {
        findings.error(
            "spec.addresses",
            "with resolution: DYNAMIC_DNS there are no addresses",
        );
    }
    let cidr_allowed = matches!(
        resolution,
        Resolution::Passthrough | Resolution::ClientSideLb
    );
    let mut out = Vec::with_capacity(spec.addresses.len());
    for (i, address) in spec.addresses.iter().enumerate() {
        let path = format!("spec.addresses[{i}]");
        findings.check(&path, checks::subnet(address));
        if address.contains('/') && !cidr_allowed {
            findings.error(path, "a CIDR needs resolution: NONE or STATIC");
        }
        let single = address
            .parse::<ipnet::IpNet>()
            .ok()
            .filter(|net| net.prefix_len() == net.max_prefix_len());
        out.push(match single {
            Some(net) => net.addr().to_string().into(),
            None => Str::from(address.as_str()),
        });
    }
    out
}

fn ports(
    spec: &api::ServiceEntry,
    resolution: Resolution,
    findings: &mut Findings,
) -> Vec<ServiceEntryPort> {
    let mut out: Vec<ServiceEntryPort> = Vec::with_capacity(spec.ports.len());
    for (i, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        findings.check(&format!("{path}.name"), checks::dns_label(&port.name));
        let number = findings.port(format!("{path}.number"), port.number);
        let target = findings.optional_port(format!("{path}.targetPort"), port.target_port);
        let protocol = findings.protocol(&format!("{path}.protocol"), &port.protocol);
        if out.iter().any(|p| *p.name == *port.name) {
            let message = format!("the port name {:?} is used twice", port.name);
            findings.error(format!("{path}.name"), message);
        }
        if out.iter().any(|p| p.number == number) {
            findings.error(
                format!("{path}.number"),
                format!("port {number} is listed twice"),
            );
        }
        let dynamic = matches!(
            protocol,
            Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2
        );
        if resolution == Resolution::DynamicDns && !dynamic {
            findings.error(
                format!("{path}.protocol"),
                "with resolution: DYNAMIC_DNS a port is HTTP, HTTP2, GRPC or TLS",
            );
        }
        out.push(ServiceEntryPort {
            name: port.name.as_str().into(),
            number,
            target,
            protocol,
        });
    }
    out
}

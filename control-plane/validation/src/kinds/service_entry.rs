//! ServiceEntries. Istio 1.31: `ValidateServiceEntry`.

use std::collections::BTreeSet;

use meltemi_api::service_entry::{Location, Resolution, ServiceEntry};
use meltemi_api::workload_entry::WorkloadEntry;
use meltemi_model::port::Protocol;

use super::workload_entry::{Known, workload_entry};
use crate::Findings;
use crate::object::{Meta, elements, entries};
use crate::rules::export_to::{Of, export_to};
use crate::rules::labels::labels;
use crate::rules::protocol::{self, is_http, is_tcp, is_tls};
use crate::rules::{cidr, host, port, selector};

/// A ServiceEntry.
pub fn validate(meta: &Meta<'_>, entry: &ServiceEntry) -> Findings {
    let mut found = Findings::default();
    if !selector::workloads(
        &mut found,
        "service entry",
        entry.workload_selector.as_ref(),
    ) {
        return found;
    }
    if entry.workload_selector.is_some() && !entry.endpoints.is_empty() {
        found.error(
            "spec",
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
    hosts(&mut found, entry);
    addresses(&mut found, entry);
    ports(&mut found, meta, entry);
    let names: BTreeSet<&str> = entry.ports.iter().map(|port| &*port.name).collect();
    match entry.resolution {
        Resolution::None => none(&mut found, entry),
        Resolution::Static => {
            for (at, endpoint) in elements("spec.endpoints", &entry.endpoints) {
                workload_entry(&mut found, &at, endpoint, &Known::OfStatic(&names));
            }
        }
        Resolution::Dns | Resolution::DnsRoundRobin => dns(&mut found, entry, &names),
        Resolution::DynamicDns => dynamic_dns(&mut found, meta, entry),
    }
    one_host_for_tcp(&mut found, entry);
    export_to(
        &mut found,
        meta.namespace,
        &entry.export_to,
        Of::ServiceEntry,
    );
    found
}

fn hosts(found: &mut Findings, entry: &ServiceEntry) {
    if entry.hosts.is_empty() {
        found.error("spec.hosts", "service entry must have at least one host");
    }
    for (at, name) in elements("spec.hosts", &entry.hosts) {
        if name == "*" {
            found.error(at, "invalid host *");
            continue;
        }
        found.check(&at, host::wildcard(name));
        if entry.resolution != Resolution::DynamicDns
            && let Err(message) = host::no_partial_wildcard(name)
        {
            found.warning(at, message);
        }
    }
}

fn addresses(found: &mut Findings, entry: &ServiceEntry) {
    for (at, address) in elements("spec.addresses", &entry.addresses) {
        found.check(at, cidr::subnet(address));
    }
    let blocks = entry.addresses.iter().any(|address| address.contains('/'));
    if blocks && !matches!(entry.resolution, Resolution::None | Resolution::Static) {
        found.error(
            "spec.addresses",
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
        );
    }
}

fn ports(found: &mut Findings, meta: &Meta<'_>, entry: &ServiceEntry) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    let unreachable = entry.addresses.is_empty() && !allocates(meta, entry);
    for (at, part) in elements("spec.ports", &entry.ports) {
        if !names.insert(&part.name) {
            let message = format!("service entry port name {:?} already defined", part.name);
            found.error(format!("{at}.name"), message);
        }
        if !numbers.insert(part.number) {
            let message = format!("service entry port {} already defined", part.number);
            found.error(format!("{at}.number"), message);
        }
        found.check(format!("{at}.targetPort"), port::optional(part.target_port));
        if unreachable && matches!(&*part.protocol, "" | "TCP") {
            found.warning(
                &at,
                "addresses are required for ports serving TCP (or unset) protocol when IP Autoallocation is not enabled",
            );
        }
        found.check(format!("{at}.name"), port::name(&part.name));
        found.check(format!("{at}.protocol"), protocol::known(&part.protocol));
        found.check(format!("{at}.number"), port::port(part.number));
    }
}

/// Whether istiod gives the hosts addresses. Istio 1.31: `ShouldV2AutoAllocateIPFromConfig`.
fn allocates(meta: &Meta<'_>, entry: &ServiceEntry) -> bool {
    let switch = meta.label("networking.istio.io/enable-autoallocate-ip");
    entry.resolution != Resolution::None
        && entry.addresses.is_empty()
        && !switch.is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

fn none(found: &mut Findings, entry: &ServiceEntry) {
    if !entry.endpoints.is_empty() {
        found.error(
            "spec.endpoints",
            "no endpoints should be provided for resolution type none",
        );
    }
    if entry.workload_selector.is_some() {
        found.warning(
            "spec.workloadSelector",
            "workloadSelector should not be set when resolution mode is NONE",
        );
    }
}

fn dns(found: &mut Findings, entry: &ServiceEntry, ports: &BTreeSet<&str>) {
    let mode = entry.resolution.as_str();
    if entry.endpoints.is_empty() {
        let mut bad = elements("spec.hosts", &entry.hosts)
            .filter_map(|(at, name)| host::fqdn(name).err().map(|why| (at, why)));
        if let Some((at, why)) = bad.next() {
            found.error(
                at,
                format!(
                    "hosts must be FQDN or contain only prefix wildcards if no endpoints are provided for resolution mode {mode}, {why}"
                ),
            );
        }
    }
    if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
        found.error(
            "spec.endpoints",
            format!("there must only be 0 or 1 endpoint for resolution mode {mode}"),
        );
    }
    for (at, endpoint) in elements("spec.endpoints", &entry.endpoints) {
        named_endpoint(found, &at, endpoint, ports);
    }
    let tcp =
        |part: &meltemi_api::service_entry::ServicePort| is_tcp(protocol::protocol(&part.protocol));
    if !entry.addresses.is_empty() && entry.hosts.len() > 1 && entry.ports.iter().any(tcp) {
        found.warning(
            "spec.hosts",
            "service entry can not have more than one host specified simultaneously with address and tcp port",
        );
    }
}

fn named_endpoint(
    found: &mut Findings,
    at: &str,
    endpoint: &WorkloadEntry,
    ports: &BTreeSet<&str>,
) {
    let address = &endpoint.address;
    if !cidr::is_ip(address) && host::fqdn(address).is_err() {
        found.error(
            format!("{at}.address"),
            format!("endpoint address {address:?} is not a valid FQDN or an IP address"),
        );
    }
    labels(found, &format!("{at}.labels"), &endpoint.labels);
    for (at, name, number) in entries(&format!("{at}.ports"), &endpoint.ports) {
        if !ports.contains(name) {
            let message = format!("endpoint port {number} is not defined by the service entry");
            found.error(&at, message);
        }
        found.check(&at, port::name(name));
        found.check(at, port::port(*number));
    }
}

fn dynamic_dns(found: &mut Findings, meta: &Meta<'_>, entry: &ServiceEntry) {
    let mode = entry.resolution.as_str();
    if entry.hosts.is_empty() {
        found.error(
            "spec.hosts",
            format!("at least one wildcard host must be provided for resolution type {mode}"),
        );
    }
    for (at, name) in elements("spec.hosts", &entry.hosts) {
        if !name.starts_with('*') {
            let message = format!("host must be wildcarded for resolution mode {mode}");
            found.error(at, message);
        }
    }
    if !entry.addresses.is_empty() {
        found.error(
            "spec.addresses",
            format!(
                "addresses cannot be set for resolution type {mode}. HTTP route domains will only be generated from the hosts field values"
            ),
        );
    }
    if !entry.endpoints.is_empty() {
        found.error(
            "spec.endpoints",
            format!(
                "endpoints cannot be set for resolution type {mode}. Destination IP address determined from hosts field values"
            ),
        );
    }
    for (at, part) in elements("spec.ports", &entry.ports) {
        use Protocol::{Grpc, Http, Http2, Tls};
        if !matches!(
            protocol::protocol(&part.protocol),
            Http | Tls | Grpc | Http2
        ) {
            found.error(
                format!("{at}.protocol"),
                format!(
                    "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type {mode}"
                ),
            );
        }
    }
    let waypoint = meta
        .label("istio.io/use-waypoint")
        .is_some_and(|name| !name.is_empty() && !name.eq_ignore_ascii_case("none"));
    if entry.location == Location::MeshInternal && waypoint {
        found.error(
            "spec.location",
            format!(
                "location MESH_INTERNAL with resolution type {mode} is not supported when using waypoints"
            ),
        );
    }
}

/// Plain TCP names no host, so several could not be told apart; without resolution nobody asks.
fn one_host_for_tcp(found: &mut Findings, entry: &ServiceEntry) {
    if entry.resolution == Resolution::None || entry.hosts.len() < 2 {
        return;
    }
    let mute = elements("spec.ports", &entry.ports).find(|(_, part)| {
        let protocol = protocol::protocol(&part.protocol);
        !is_http(protocol) && !is_tls(protocol)
    });
    if let Some((at, _)) = mute {
        found.error(at, "multiple hosts provided with non-HTTP, non-TLS ports");
    }
}

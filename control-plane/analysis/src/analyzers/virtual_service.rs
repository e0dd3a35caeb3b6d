//! Destinations of VirtualServices: hosts, ports and subsets.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::analyze::Found;
use crate::hosts::{Service, all_hosts, service_for, service_of};
use crate::message::{listed, types};
use crate::object::{has, list, number, text};
use crate::{Input, Kind, Object};

/// A destination and where it stands.
struct Destination<'a> {
    value: &'a Value,
    /// The field with its host.
    field: String,
    /// Whether copies of requests go there.
    is_mirror: bool,
}

impl Destination<'_> {
    fn host(&self) -> &str {
        text(self.value, "/host")
    }
}

fn destinations(service: &Object) -> Vec<Destination<'_>> {
    let mut all = Vec::new();
    let mut mirrors = Vec::new();
    for protocol in ["tcp", "tls", "http"] {
        for (i, rule) in service
            .list(&format!("/spec/{protocol}"))
            .iter()
            .enumerate()
        {
            let at = format!("spec.{protocol}[{i}]");
            for (j, route) in list(rule, "/route").iter().enumerate() {
                all.push(Destination {
                    value: route.get("destination").unwrap_or(&Value::Null),
                    field: format!("{at}.route[{j}].destination.host"),
                    is_mirror: false,
                });
            }
            if let Some(value) = rule.get("mirror").filter(|value| !value.is_null()) {
                mirrors.push(Destination {
                    value,
                    field: format!("{at}.mirror.host"),
                    is_mirror: true,
                });
            }
            for (j, mirror) in list(rule, "/mirrors").iter().enumerate() {
                mirrors.push(Destination {
                    value: mirror.get("destination").unwrap_or(&Value::Null),
                    field: format!("{at}.mirrors[{j}].destination.host"),
                    is_mirror: true,
                });
            }
        }
    }
    all.append(&mut mirrors);
    all
}

pub(super) fn hosts<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let hosts = all_hosts(input);
    for service in input.of(Kind::VirtualService) {
        let export_to = service.texts("/spec/exportTo");
        for destination in destinations(service) {
            let host = destination.host();
            match service_for(&hosts, &service.namespace, &export_to, host) {
                Some(known) => port(service, &destination, known, found),
                None => {
                    let what = if destination.is_mirror {
                        "mirror host"
                    } else {
                        "host"
                    };
                    let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
                    found.add(kind, service, &destination.field, &[&what, &host]);
                }
            }
        }
        without_effect_at_gateways(input, service, found);
    }
}

fn port<'a>(
    service: &'a Object,
    destination: &Destination<'a>,
    known: &Service<'_>,
    found: &mut Found<'a>,
) {
    let host = destination.host();
    if !has(destination.value, "/port") {
        if known.ports.len() > 1 {
            let kind = &types::VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED;
            let ports = listed(&known.ports);
            found.add(kind, service, &destination.field, &[&host, &ports]);
        }
        return;
    }
    let wanted = number(destination.value, "/port/number");
    if !known.ports.contains(&wanted) {
        let what = format!("{host}:{wanted}");
        let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
        found.add(kind, service, &destination.field, &[&"host:port", &what]);
    }
}

/// Routes of a gateway to a host whose subsets another VirtualService chooses: the gateway does not ask that one.
fn without_effect_at_gateways<'a>(
    input: &'a Input<'a>,
    service: &'a Object,
    found: &mut Found<'a>,
) {
    if service.list("/spec/gateways").is_empty() {
        return;
    }
    let routes = |service: &'a Object| {
        let rules = service.list("/spec/http").iter();
        rules.flat_map(|rule| list(rule, "/route"))
    };
    let (host, subset) = ("/destination/host", "/destination/subset");
    for route in routes(service).filter(|route| text(route, subset).is_empty()) {
        for other in input.of(Kind::VirtualService) {
            let own_hosts = other.texts("/spec/hosts");
            let is_chosen = routes(other)
                .filter(|theirs| !text(theirs, subset).is_empty())
                .filter(|theirs| text(theirs, host) == text(route, host))
                .any(|theirs| own_hosts.contains(&text(theirs, host)));
            if is_chosen {
                let kind = &types::INGRESS_ROUTE_RULES_NOT_AFFECTED;
                let (other, own) = (other.full_name(), service.full_name());
                found.add(kind, service, "", &[&other, &own]);
            }
        }
    }
}

pub(super) fn subsets<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut defined = BTreeSet::new();
    for rule in input.of(Kind::DestinationRule) {
        let host = service_of(&rule.namespace, rule.text("/spec/host"));
        for subset in rule.list("/spec/subsets") {
            defined.insert((host.clone(), text(subset, "/name")));
        }
    }
    for service in input.of(Kind::VirtualService) {
        for destination in destinations(service) {
            let subset = text(destination.value, "/subset");
            let host = service_of(&service.namespace, destination.host());
            if subset.is_empty() || defined.contains(&(host, subset)) {
                continue;
            }
            let what = match destination.is_mirror {
                true => "mirror+subset in destinationrule",
                false => "host+subset in destinationrule",
            };
            let missing = format!("{}+{subset}", destination.host());
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, service, &destination.field, &[&what, &missing]);
        }
    }
}

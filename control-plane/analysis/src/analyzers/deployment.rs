//! Deployments with several Services.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::analyze::Found;
use crate::labels::selects;
use crate::message::{listed, types};
use crate::object::{map, number, number_or_name, text};
use crate::{Input, Kind, Object};

use super::in_mesh;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for deployment in input.of(Kind::Deployment) {
        let is_waypoint =
            deployment.label("gateway.istio.io/managed") == Some("istio.io-mesh-controller");
        if is_waypoint || !in_mesh::deployment(input, deployment) {
            continue;
        }
        let services = services(input, deployment);
        protocols(deployment, &services, found);
        target_ports(deployment, &services, found);
    }
}

fn services<'a>(input: &'a Input<'a>, deployment: &Object) -> Vec<&'a Object> {
    let labels = map(&deployment.value, "/spec/template/metadata/labels");
    let services = input.of(Kind::Service).filter(|service| {
        let selector = map(&service.value, "/spec/selector");
        service.namespace == deployment.namespace
            && !selector.is_empty()
            && selects(&selector, &labels)
    });
    services.collect()
}

fn ports<'a>(services: &[&'a Object]) -> impl Iterator<Item = (&'a Value, String)> {
    services.iter().flat_map(|service| {
        let ports = service.list("/spec/ports").iter();
        ports.map(|port| (port, service.full_name()))
    })
}

fn protocols<'a>(deployment: &'a Object, services: &[&'a Object], found: &mut Found<'a>) {
    let mut by_port: BTreeMap<i64, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for (port, service) in ports(services) {
        let protocol = match text(port, "/protocol") {
            "" => "TCP",
            protocol => protocol,
        };
        let protocols = by_port.entry(number(port, "/port")).or_default();
        protocols.entry(protocol).or_default().push(service);
    }
    for (port, protocols) in by_port {
        if protocols.len() > 1 {
            let mut names: Vec<_> = protocols.into_values().flatten().collect();
            names.sort();
            found.add(
                &types::DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES,
                deployment,
                "metadata.name",
                &[&deployment.name, &port, &listed(names)],
            );
        }
    }
}

fn target_ports<'a>(deployment: &'a Object, services: &[&'a Object], found: &mut Found<'a>) {
    // Target port → port → the Service that says so last.
    let mut by_target: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    for (port, service) in ports(services) {
        let own = number(port, "/port");
        let target = match &*number_or_name(port, "/targetPort") {
            "0" | "" => own.to_string(),
            target => target.to_owned(),
        };
        by_target.entry(target).or_default().insert(own, service);
    }
    for (target, ports) in by_target {
        if ports.len() > 1 {
            let numbers: BTreeSet<_> = ports.keys().copied().collect();
            let mut names: Vec<_> = ports.into_values().collect();
            names.sort();
            found.add(
                &types::DEPLOYMENT_CONFLICTING_PORTS,
                deployment,
                "metadata.name",
                &[&deployment.name, &listed(names), &target, &listed(numbers)],
            );
        }
    }
}

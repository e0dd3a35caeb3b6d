//! Ports of Gateways against the ports of the Services in front of their pods.

use std::collections::BTreeSet;

use crate::analyze::Found;
use crate::labels::{first_label, selects, shown};
use crate::message::types;
use crate::object::{has, map, number, number_or_name, text};
use crate::{Input, Kind};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for gateway in input.of(Kind::Gateway) {
        let selector = map(&gateway.value, "/spec/selector");
        let pods = input.of(Kind::Pod);
        let pods: Vec<_> = pods
            .filter(|pod| selects(&selector, &pod.labels()))
            .collect();
        let field = first_label("spec.selector", &selector);
        let selector = shown(&selector);
        if pods.is_empty() {
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, gateway, &field, &[&"selector", &selector]);
            continue;
        }
        let mut exposed = BTreeSet::new();
        for service in input.of(Kind::Service) {
            let selector = map(&service.value, "/spec/selector");
            let is_in_front = pods
                .iter()
                .any(|pod| pod.namespace == service.namespace && selects(&selector, &pod.labels()));
            let ports = service.list("/spec/ports").iter();
            // The API server writes the default of the protocol; a file may leave it out.
            for port in ports.filter(|port| ["TCP", ""].contains(&text(port, "/protocol"))) {
                if is_in_front {
                    // Both are taken: the proxy listens on the target port, and Istio translates the other one.
                    exposed.insert(number(port, "/port"));
                    exposed.extend(number_or_name(port, "/targetPort").parse::<i64>());
                }
            }
        }
        for server in gateway.list("/spec/servers") {
            let port = number(server, "/port/number");
            if has(server, "/port") && !exposed.contains(&port) {
                let kind = &types::GATEWAY_PORT_NOT_DEFINED_ON_SERVICE;
                found.add(kind, gateway, &field, &[&port, &selector]);
            }
        }
    }
}

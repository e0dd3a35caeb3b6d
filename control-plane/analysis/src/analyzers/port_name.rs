//! Names of ports, which tell the protocol.

use serde_json::Value;

use meltemi_model::port::Protocol;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{number, number_or_name, text};
use crate::{Input, Kind};

use super::in_mesh::is_control_plane;

/// Servers that speak first: a port of theirs is TCP, whatever it is called.
const SERVER_FIRST: [i64; 4] = [25, 53, 3306, 27017];

const MANAGED: [&str; 3] = [
    "istio.io-gateway-controller",
    "istio.io-mesh-controller",
    "istio.io-eastwest-controller",
];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for service in input.of(Kind::Service) {
        let manager = service.label("gateway.istio.io/managed").unwrap_or("");
        if is_control_plane(service) || MANAGED.contains(&manager) {
            continue;
        }
        let is_external = service.text("/spec/type") == "ExternalName";
        for (i, port) in service.list("/spec/ports").iter().enumerate() {
            let name = text(port, "/name");
            let field = format!("spec.ports[{i}].port");
            let is_external_tcp = is_external && name == "tcp";
            if tells_protocol(port) && !is_external_tcp {
                continue;
            }
            if is_external {
                let kind = &types::EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME;
                found.add(kind, service, &field, &[]);
            } else {
                let target = number_or_name(port, "/targetPort");
                let args: [&dyn std::fmt::Display; 3] = [&name, &number(port, "/port"), &target];
                let kind = &types::PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION;
                found.add(kind, service, &field, &args);
            }
        }
    }
}

/// Istio 1.31: `kube.ConvertProtocol`.
fn tells_protocol(port: &Value) -> bool {
    if text(port, "/protocol") == "UDP" {
        return true;
    }
    let by_field = port.get("appProtocol").and_then(Value::as_str);
    if by_field.is_some_and(|p| {
        ["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"].contains(&p)
    }) {
        return true;
    }
    let name = by_field.unwrap_or_else(|| text(port, "/name"));
    let is_grpc_web = name
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("grpc-web"));
    let prefix = name.split('-').next().unwrap_or("");
    is_grpc_web
        || !Protocol::parse(prefix).is_unsupported()
        || SERVER_FIRST.contains(&number(port, "/port"))
}

//! discovery.k8s.io/v1 EndpointSlice.

use std::net::IpAddr;

use serde::Deserialize;

use meltemi_model::workload::{EndpointSlice, SliceEndpoint, SlicePort};
use meltemi_model::{Object, Shared};

use super::findings::Findings;
use super::meta::Raw;

/// Slices that were imported from another cluster are not endpoints of a Service here (Istio 1.31:
/// `endpointSliceSelector`).
const IMPORTED: &str = "multicluster.kubernetes.io/service-name";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Slice {
    address_type: String,
    ports: Vec<Port>,
    endpoints: Vec<Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: String,
    port: u16,
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Vec<String>,
    conditions: Conditions,
    hostname: String,
    node_name: String,
    zone: String,
    target_ref: Option<TargetRef>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: String,
    name: String,
}

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let slice = Slice {
        address_type: findings.parse("addressType", raw.part("addressType"))?,
        ports: findings.parse_part("ports", raw.part("ports"))?,
        endpoints: findings.parse_part("endpoints", raw.part("endpoints"))?,
    };
    if raw.meta.labels.get(IMPORTED).is_some() {
        return None;
    }
    let fqdn = match slice.address_type.as_str() {
        "IPv4" | "IPv6" => false,
        "FQDN" => true,
        other => {
            let message = format!("{other:?} is not an address type; write IPv4, IPv6 or FQDN");
            findings.error("addressType", message);
            return None;
        }
    };
    for (i, endpoint) in slice.endpoints.iter().enumerate() {
        for (j, address) in endpoint.addresses.iter().enumerate() {
            if !fqdn && address.parse::<IpAddr>().is_err() {
                let message = format!("{address:?} is not an IP address");
                findings.error(format!("endpoints[{i}].addresses[{j}]"), message);
            }
        }
    }
    let service = raw.meta.labels.get("kubernetes.io/service-name");
    Some(Object::EndpointSlice(Shared::new(EndpointSlice {
        service: service.cloned().unwrap_or_else(|| "".into()),
        fqdn,
        ports: slice.ports.iter().map(port).collect(),
        endpoints: slice.endpoints.iter().map(endpoint).collect(),
        meta: raw.meta.clone(),
    })))
}

fn port(port: &Port) -> SlicePort {
    SlicePort {
        name: port.name.as_str().into(),
        number: port.port,
        tcp: matches!(port.protocol.as_str(), "" | "TCP"),
    }
}

fn endpoint(endpoint: &Endpoint) -> SliceEndpoint {
    let conditions = &endpoint.conditions;
    let ready = conditions.ready.unwrap_or(true);
    SliceEndpoint {
        addresses: endpoint
            .addresses
            .iter()
            .map(|a| a.as_str().into())
            .collect(),
        ready,
        // Istio 1.31, `endpointHealthStatus`: an endpoint that is not ready and says no more is serving and terminating.
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(!ready),
        hostname: endpoint.hostname.as_str().into(),
        node: endpoint.node_name.as_str().into(),
        zone: endpoint.zone.as_str().into(),
        pod: endpoint
            .target_ref
            .as_ref()
            .filter(|target| target.kind == "Pod")
            .map(|target| target.name.as_str().into()),
    }
}

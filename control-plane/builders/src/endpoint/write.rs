//! Writes ClusterLoadAssignments to bytes, in the canonical form, from the kept encodings of their endpoints.
//!
//! Building the messages and encoding them costs twenty times as much (perf-anchors 4). A test holds these bytes
//! equal to those of the general encoder.

use bytes::Bytes;
use meltemi_model::Locality;
use meltemi_model::workload::{Endpoint, Health};

use prost::encoding::{WireType, encode_key, encode_varint};

use super::Choice;
use super::balance::Group;

/// envoy.config.endpoint.v3.ClusterLoadAssignment.
pub(super) fn assignment(cluster: &str, groups: &[Group<'_>], choice: &Choice) -> Vec<u8> {
    let count: usize = groups.iter().map(|g| g.endpoints.len()).sum();
    let mut out = Vec::with_capacity(64 + cluster.len() + count * 160);
    text(&mut out, 1, cluster);
    let mut scratch = Vec::with_capacity(256);
    for group in groups {
        let mut body = Vec::with_capacity(64 + group.endpoints.len() * 160);
        scratch.clear();
        locality(&mut scratch, group.locality);
        bytes(&mut body, 1, &scratch);
        for endpoint in &group.endpoints {
            // A rule may overrule the endpoint's own word on TLS; only then is it written anew.
            let mtls = choice.mtls(endpoint);
            if mtls == endpoint.takes_mtls() {
                let own = endpoint.encoded(|e| lb_endpoint(e, e.takes_mtls()));
                bytes(&mut body, 2, own);
            } else {
                bytes(&mut body, 2, &lb_endpoint(endpoint, mtls));
            }
        }
        // Nothing is weighed where nothing is left.
        if group.weight > 0 {
            wrapped(&mut body, 3, group.weight);
        }
        number(&mut body, 5, group.priority);
        bytes(&mut out, 2, &body);
    }
    out
}

/// envoy.config.core.v3.Locality.
fn locality(out: &mut Vec<u8>, locality: &Locality) {
    text(out, 1, &locality.region);
    text(out, 2, &locality.zone);
    text(out, 3, &locality.subzone);
}

/// envoy.config.endpoint.v3.LbEndpoint.
fn lb_endpoint(endpoint: &Endpoint, mtls: bool) -> Bytes {
    let mut out = Vec::with_capacity(192);
    let mut host = Vec::with_capacity(56);
    bytes(&mut host, 1, &address(endpoint, &endpoint.address));
    for more in &endpoint.more_addresses {
        let mut additional = Vec::with_capacity(56);
        bytes(&mut additional, 1, &address(endpoint, more));
        bytes(&mut host, 4, &additional);
    }
    bytes(&mut out, 1, &host);
    number(
        &mut out,
        2,
        match endpoint.health {
            Health::Unknown => 0,
            Health::Healthy => 1,
            Health::Unhealthy => 2,
            Health::Draining => 3,
            Health::Terminating => 4,
        },
    );
    bytes(&mut out, 3, &metadata(endpoint, mtls));
    wrapped(&mut out, 4, endpoint.weight);
    Bytes::from(out)
}

/// envoy.config.core.v3.Address.
fn address(endpoint: &Endpoint, address: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    if endpoint.port == 0 && address.starts_with(['/', '@']) {
        let mut pipe = Vec::new();
        text(&mut pipe, 1, address);
        bytes(&mut out, 2, &pipe);
    } else {
        let mut socket = Vec::with_capacity(32);
        text(&mut socket, 2, address);
        // The port is one of a oneof: it is written even when it is 0.
        encode_key(3, WireType::Varint, &mut socket);
        encode_varint(u64::from(endpoint.port), &mut socket);
        bytes(&mut out, 1, &socket);
    }
    out
}

/// envoy.config.core.v3.Metadata: whether it takes mutual TLS, and what telemetry calls it. Keys in order.
fn metadata(endpoint: &Endpoint, mtls: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    if mtls {
        filter_metadata(&mut out, "envoy.transport_socket_match", "tlsMode", "istio");
    }
    filter_metadata(&mut out, "istio", "workload", &workload(endpoint));
    out
}

/// `name;namespace;canonical service;canonical revision;cluster`. Istio 1.31: `AppendLbEndpointMetadata`; the
/// revision `latest` is left empty.
fn workload(endpoint: &Endpoint) -> String {
    let label = |keys: &[&str]| {
        keys.iter()
            .find_map(|k| endpoint.labels.get(k))
            .map(|v| &**v)
    };
    let service = label(&[
        "service.istio.io/canonical-name",
        "app.kubernetes.io/name",
        "app",
    ]);
    let revision = label(&[
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/version",
        "version",
    ]);
    format!(
        "{};{};{};{};{}",
        endpoint.workload,
        endpoint.namespace,
        service.unwrap_or(&endpoint.workload),
        revision.filter(|r| *r != "latest").unwrap_or_default(),
        endpoint.cluster
    )
}

/// One entry of `filter_metadata` with one text field.
fn filter_metadata(out: &mut Vec<u8>, key: &str, field: &str, value: &str) {
    let mut wrapped = Vec::new();
    bytes(&mut wrapped, 3, value.as_bytes()); // Value.string_value, of a oneof.
    let mut entry = Vec::new();
    text(&mut entry, 1, field);
    bytes(&mut entry, 2, &wrapped);
    let mut fields = Vec::new();
    bytes(&mut fields, 1, &entry);
    let mut outer = Vec::new();
    text(&mut outer, 1, key);
    bytes(&mut outer, 2, &fields);
    bytes(out, 1, &outer);
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn number(out: &mut Vec<u8>, field: u32, value: u32) {
    if value != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(u64::from(value), out);
    }
}

/// A wrapped number.
fn wrapped(out: &mut Vec<u8>, field: u32, value: u32) {
    let mut inner = Vec::with_capacity(6);
    number(&mut inner, 1, value);
    bytes(out, field, &inner);
}

//! RouteConfigurations from the bytes of their virtual hosts, and those from the bytes of their routes.

use bytes::{BufMut, Bytes, BytesMut};
use meltemi_proto::encode;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::wire::{boolean, number, rt};
use super::{RouteInput, VirtualHostInput, default, in_order, route};
use crate::route::RouteSpec;

/// The number of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// The numbers of `VirtualHost`.
const NAME: u32 = 1;
const DOMAINS: u32 = 2;
const ROUTES: u32 = 3;
/// Istio 1.31 raises Envoy's limit of 4 KiB to what its validation admits.
const MAX_DIRECT_RESPONSE: u32 = 1 << 20;

/// The canonical bytes of one virtual host: the fields in the order of their numbers. A mesh has one for each service, so
/// its names are not copied into a message first.
pub fn encode_virtual_host(input: &VirtualHostInput) -> Bytes {
    let mut out = Vec::with_capacity(256);
    if !input.name.is_empty() {
        delimited(NAME, input.name.as_bytes(), &mut out);
    }
    for domain in &input.domains {
        delimited(DOMAINS, domain.as_bytes(), &mut out);
    }
    for spec in in_order(input) {
        let body = match spec {
            RouteSpec::Default(spec) => default::encode_service_route(spec),
            _ => encode(&route(spec)),
        };
        delimited(ROUTES, &body, &mut out);
    }
    out.extend_from_slice(&encode(&super::virtual_host_settings(input)));
    let out = Bytes::from(out);
    debug_assert_eq!(out, encode(&super::virtual_host(input)), "as the message");
    out
}

fn delimited(number: u32, body: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// The canonical bytes of a RouteConfiguration, given those of its virtual hosts: the fields before number 2, the
/// virtual hosts, and the fields after it, in the order of their numbers.
pub(super) fn route_configuration<'a>(
    input: &RouteInput,
    hosts: impl Iterator<Item = &'a Bytes> + Clone,
) -> Bytes {
    let head = encode(&rt::RouteConfiguration {
        name: input.name.to_string(),
        ..Default::default()
    });
    let tail = encode(&settings(input));
    let hosts_len: usize = hosts
        .clone()
        .map(|host| key_len(VIRTUAL_HOSTS) + encoded_len_varint(host.len() as u64) + host.len())
        .sum();
    let mut out = BytesMut::with_capacity(head.len() + hosts_len + tail.len());
    out.put_slice(&head);
    for host in hosts {
        encode_key(VIRTUAL_HOSTS, WireType::LengthDelimited, &mut out);
        encode_varint(host.len() as u64, &mut out);
        out.put_slice(host);
    }
    out.put_slice(&tail);
    out.freeze()
}

/// The fields with numbers above that of `virtual_hosts`.
fn settings(input: &RouteInput) -> rt::RouteConfiguration {
    rt::RouteConfiguration {
        // Clusters may arrive later than routes; a route to an unknown cluster answers 503 by itself.
        validate_clusters: Some(boolean(false)),
        max_direct_response_body_size_bytes: input.limits.then(|| number(MAX_DIRECT_RESPONSE)),
        ignore_port_in_host_matching: input.limits,
        ..Default::default()
    }
}

/// The whole message at once: the oracle of [`route_configuration`].
#[cfg(test)]
pub(super) fn message(input: &RouteInput) -> rt::RouteConfiguration {
    rt::RouteConfiguration {
        name: input.name.to_string(),
        virtual_hosts: input
            .virtual_hosts
            .iter()
            .map(|host| super::virtual_host(host))
            .collect(),
        ..settings(input)
    }
}

//! RouteConfigurations from the bytes of their virtual hosts.

use bytes::{BufMut, Bytes, BytesMut};
use meltemi_proto::encode;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::wire::{boolean, number, rt};
use super::{RouteInput, VirtualHostInput, virtual_host};

/// The number of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// Istio 1.31 raises Envoy's limit of 4 KiB to what its validation admits.
const MAX_DIRECT_RESPONSE: u32 = 1 << 20;

/// The canonical bytes of one virtual host.
pub fn encode_virtual_host(input: &VirtualHostInput) -> Bytes {
    encode(&virtual_host(input))
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
            .map(|host| virtual_host(host))
            .collect(),
        ..settings(input)
    }
}

//! Addresses and ranges of addresses as Envoy's messages hold them.

use std::net::IpAddr;

use ipnet::IpNet;
use meltemi_proto::envoy::config::core::v3::{
    Address, CidrRange, SocketAddress, address, envoy_internal_address, socket_address,
};

/// The IP address and port of a socket address. Those that need a resolver have none.
pub(crate) fn socket(address: Option<&Address>) -> Option<(IpAddr, u16)> {
    let socket = as_socket(address)?;
    Some((socket.address.parse().ok()?, port(socket)))
}

/// The socket address, if it is one.
pub(crate) fn as_socket(address: Option<&Address>) -> Option<&SocketAddress> {
    match address?.address.as_ref()? {
        address::Address::SocketAddress(socket) => Some(socket),
        _ => None,
    }
}

/// The port of a socket address; 0 for a named or impossible one.
pub(crate) fn port(socket: &SocketAddress) -> u16 {
    match socket.port_specifier {
        Some(socket_address::PortSpecifier::PortValue(port)) => u16::try_from(port).unwrap_or(0),
        _ => 0,
    }
}

/// Host and port of any address, for readers.
pub(crate) fn shown(address: Option<&Address>) -> (String, u16) {
    match address.and_then(|address| address.address.as_ref()) {
        Some(address::Address::SocketAddress(socket)) => (socket.address.clone(), port(socket)),
        Some(address::Address::Pipe(pipe)) => (pipe.path.clone(), 0),
        Some(address::Address::EnvoyInternalAddress(internal)) => {
            let listener = match &internal.address_name_specifier {
                Some(envoy_internal_address::AddressNameSpecifier::ServerListenerName(name)) => {
                    name.as_str()
                }
                None => "",
            };
            (format!("envoy://{listener}/{}", internal.endpoint_id), 0)
        }
        None => (String::new(), 0),
    }
}

/// A host with its port, an IPv6 address in brackets.
pub(crate) fn joined(host: &str, port: u16) -> String {
    if port == 0 {
        host.to_owned()
    } else if host.contains(':') && !host.contains('/') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// How many leading bits of the address a range fixes, if the address is in it. Envoy: a length beyond the address's own
/// counts as the whole address; a range without a length has 0.
pub(crate) fn prefix_match(range: &CidrRange, address: IpAddr) -> Option<u8> {
    let base: IpAddr = range.address_prefix.parse().ok()?;
    let full = if base.is_ipv4() { 32 } else { 128 };
    let length = range.prefix_len.map_or(0, |length| length.value);
    let length = u8::try_from(length).unwrap_or(full).min(full);
    let net = IpNet::new(base, length).ok()?;
    net.contains(&address).then_some(length)
}

/// A range for readers.
pub(crate) fn shown_range(range: &CidrRange) -> String {
    let length = range.prefix_len.map_or(0, |length| length.value);
    format!("{}/{length}", range.address_prefix)
}

//! Addresses and CIDR ranges.

use super::{is_ip, pb};

/// `unix://` before a path.
const UNIX: &str = "unix://";

/// An address to listen on. Istio 1.31: `util.BuildAddress`: without a port it is a socket path.
pub(super) fn address(bind: &str, port: u16) -> pb::core::Address {
    use pb::core::address::Address;
    let address = if port == 0 {
        Address::Pipe(pb::core::Pipe {
            path: bind.strip_prefix(UNIX).unwrap_or(bind).to_owned(),
            mode: 0,
        })
    } else {
        Address::SocketAddress(pb::core::SocketAddress {
            address: bind.to_owned(),
            port_specifier: Some(pb::core::socket_address::PortSpecifier::PortValue(
                port.into(),
            )),
            ..Default::default()
        })
    };
    pb::core::Address {
        address: Some(address),
    }
}

/// A further address of a listener.
pub(super) fn additional(bind: &str, port: u16) -> pb::listener::AdditionalAddress {
    pb::listener::AdditionalAddress {
        address: Some(address(bind, port)),
        ..Default::default()
    }
}

/// A range from `10.0.0.0/8` or a single address; `None` for what is neither. The address stays as it was written.
/// Istio 1.31: `util.AddrStrToCidrRange`.
pub(super) fn range(text: &str) -> Option<pb::core::CidrRange> {
    let (prefix, bits) = match text.split_once('/') {
        Some((prefix, bits)) => (prefix, bits.parse().ok()?),
        None => (text, if text.contains(':') { 128 } else { 32 }),
    };
    is_ip(prefix).then(|| pb::core::CidrRange {
        address_prefix: prefix.to_owned(),
        prefix_len: Some(pb::u32(bits)),
    })
}

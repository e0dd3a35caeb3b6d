//! IP addresses, CIDR blocks and Unix sockets.

use std::net::{IpAddr, Ipv6Addr};

use crate::Check;

/// An IP address as Go reads it: IPv6 may name a zone (`fe80::1%eth0`).
pub fn is_ip(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// An IP address. Istio 1.31: `ValidateIPAddress`.
pub fn ip(text: &str) -> Check {
    if is_ip(text) {
        return Ok(());
    }
    Err(format!("{text} is not a valid IP"))
}

/// A CIDR block as Go reads it (`netip.ParsePrefix`): no zone, no leading zeros in the length.
pub fn is_prefix(text: &str) -> bool {
    let Some((address, bits)) = text.rsplit_once('/') else {
        return false;
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let plain = bits.bytes().all(|b| b.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    let longest = if address.is_ipv4() { 32 } else { 128 };
    plain && bits.parse::<u32>().is_ok_and(|bits| bits <= longest)
}

/// An IP address or a CIDR block. Istio 1.31: `ValidateIPSubnet`.
pub fn subnet(text: &str) -> Check {
    if text.matches('/').count() != 1 {
        return ip(text);
    }
    if is_prefix(text) {
        return Ok(());
    }
    Err(format!("{text} is not a valid CIDR block"))
}

/// What an address begins with that is a Unix socket.
pub const UNIX_PREFIX: &str = "unix://";

/// The path of a Unix socket, without `unix://`. Istio 1.31: `ValidateUnixAddress`.
pub fn unix_path(path: &str) -> Check {
    if path.is_empty() {
        return Err("unix address must not be empty".to_owned());
    }
    if path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/')) {
        return Ok(());
    }
    Err(format!("{path} is not an absolute path to a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        for (text, good) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0/08", false),
            ("10.0.0.0/33", false),
            ("10.0.0.0/+8", false),
            ("10.0.0.0/", false),
            ("::/128", true),
            ("fe80::1%eth0/64", false),
            ("fe80::1%eth0", true),
            ("fe80::1%", false),
            ("1.2.3.4%eth0", false),
            ("1.2.3.04", false),
            ("1.2.3.4/1/2", false),
            ("", false),
        ] {
            assert_eq!(subnet(text).is_ok(), good, "{text}");
        }
    }
}

//! Addresses as istiod's flags spell them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address; write HOST:PORT with an IP address as host, :PORT for all interfaces, or nothing for none"
)]
pub struct AddressError(String);

/// Reads `IP:PORT`, `:PORT` (all interfaces, IPv4 too) or nothing (not served), as Go's listeners do.
pub fn parse_address(text: &str) -> Result<Option<SocketAddr>, AddressError> {
    if text.is_empty() {
        return Ok(None);
    }
    let error = || AddressError(text.to_owned());
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| error())?;
        let all = if has_ipv6() {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::from([0, 0, 0, 0])
        };
        return Ok(Some(SocketAddr::new(all, port)));
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse().map(Some).map_err(|_| error())
}

/// Whether this machine listens on IPv6; a kernel without it refuses `[::]`.
fn has_ipv6() -> bool {
    std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for (text, port) in [
            (":15010", Some(15010)),
            ("127.0.0.1:0", Some(0)),
            ("[::1]:80", Some(80)),
            ("localhost:8080", Some(8080)),
            ("", None),
        ] {
            let read = parse_address(text).unwrap();
            assert_eq!(read.map(|address| address.port()), port, "{text}");
        }
        assert!(parse_address(":1").unwrap().unwrap().ip().is_unspecified());
        for wrong in ["15010", ":x", "istiod:15010", "127.0.0.1"] {
            let message = parse_address(wrong).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }
}

//! Ports and their names.

use super::host::is_dns_label;
use crate::Check;

/// A port number. Istio 1.31: `ValidatePort`.
pub fn port(number: impl Into<i64>) -> Check {
    match number.into() {
        1..=65535 => Ok(()),
        number => Err(format!(
            "port number {number} must be in the range 1..65535"
        )),
    }
}

/// A port number where 0 means that none is given.
pub fn optional(number: u32) -> Check {
    if number == 0 { Ok(()) } else { port(number) }
}

/// The name of a port. Istio 1.31: `ValidatePortName`.
pub fn name(name: &str) -> Check {
    if is_dns_label(name) {
        return Ok(());
    }
    Err(format!("invalid port name: {name}"))
}

/// `host:port` taken apart as Go does (`net.SplitHostPort`).
pub(crate) fn split_host_port(address: &str) -> Result<(&str, &str), String> {
    let wrong = |why: &str| format!("address {address}: {why}");
    let colon = address
        .rfind(':')
        .ok_or_else(|| wrong("missing port in address"))?;
    let host = if let Some(inner) = address.strip_prefix('[') {
        let end = inner
            .find(']')
            .ok_or_else(|| wrong("missing ']' in address"))?
            + 1;
        match end + 1 {
            after if after == address.len() => return Err(wrong("missing port in address")),
            after if after == colon => {}
            after if address[after..].starts_with(':') => {
                return Err(wrong("too many colons in address"));
            }
            _ => return Err(wrong("missing port in address")),
        }
        if address[1..end].contains('[') {
            return Err(wrong("unexpected '[' in address"));
        }
        &address[1..end]
    } else {
        let host = &address[..colon];
        if host.contains(':') {
            return Err(wrong("too many colons in address"));
        }
        if host.contains('[') {
            return Err(wrong("unexpected '[' in address"));
        }
        if host.contains(']') {
            return Err(wrong("unexpected ']' in address"));
        }
        host
    };
    let port = &address[colon + 1..];
    if port.contains('[') {
        return Err(wrong("unexpected '[' in address"));
    }
    if port.contains(']') {
        return Err(wrong("unexpected ']' in address"));
    }
    Ok((host, port))
}

/// `host:port` of a service that proxies call. Istio 1.31: `ValidateProxyAddress`.
pub fn proxy_address(address: &str) -> Check {
    let (host, number) =
        split_host_port(address).map_err(|why| format!("unable to split {address:?}: {why}"))?;
    let number: i64 = number
        .parse()
        .map_err(|_| format!("port ({number}) is not a number"))?;
    port(number)?;
    if super::host::fqdn(host).is_err() && !super::cidr::is_ip(host) {
        return Err(format!("{host:?} is not a valid hostname or an IP address"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_go_does() {
        for (address, want) in [
            ("a:1", Ok(("a", "1"))),
            (":1", Ok(("", "1"))),
            ("[::1]:80", Ok(("::1", "80"))),
            ("a", Err("missing port")),
            ("::1:80", Err("too many colons")),
            ("[::1]", Err("missing port")),
            ("[::1]x:80", Err("missing port")),
            ("[::1", Err("missing ']'")),
            ("a]:80", Err("unexpected ']'")),
            ("[[::1]:80", Err("unexpected '['")),
        ] {
            match (split_host_port(address), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{address}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{address}: {got}"),
                (got, _) => panic!("{address}: {got:?}"),
            }
        }
    }
}

//! Host names.

use crate::{Check, Findings};

/// A DNS label as Istio reads it: letters of either case, digits and inner hyphens, at most 63.
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A label that may be `*`, or begin with `*` or `*-`.
fn is_wildcard_label(text: &str) -> bool {
    let plain = text.strip_prefix('*').unwrap_or(text);
    let plain = match plain.strip_prefix('-') {
        Some(rest) if plain.len() < text.len() => rest,
        _ => plain,
    };
    text.len() <= 63 && (text == "*" || is_dns_label(plain))
}

fn length(host: &str) -> Check {
    match host.len() {
        0 => Err("empty domain name not allowed".to_owned()),
        1..=255 => Ok(()),
        _ => Err(format!("domain name {host:?} too long (max 255)")),
    }
}

fn labels(host: &str) -> Check {
    let top = host.rsplit('.').next().unwrap_or(host);
    if top.parse::<i64>().is_ok() {
        return Err(format!(
            "domain name {host:?} invalid (top level domain {top:?} cannot be all-numeric)"
        ));
    }
    let count = host.split('.').count();
    for (i, label) in host.split('.').enumerate() {
        // The last part may be empty, as in `istio.io.`.
        if i + 1 == count && label.is_empty() {
            return Ok(());
        }
        if !is_dns_label(label) {
            return Err(bad_label(host, label));
        }
    }
    Ok(())
}

fn bad_label(host: &str, label: &str) -> String {
    format!("domain name {host:?} invalid (label {label:?} invalid)")
}

/// A host name without wildcard. Istio 1.31: `ValidateFQDN`.
pub fn fqdn(host: &str) -> Check {
    length(host)?;
    labels(host)
}

/// A host name that may begin with a wildcard. Istio 1.31: `ValidateWildcardDomain`.
pub fn wildcard(host: &str) -> Check {
    length(host)?;
    let (first, rest) = match host.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (host, None),
    };
    if !is_wildcard_label(first) {
        return Err(bad_label(host, first));
    }
    rest.map_or(Ok(()), labels)
}

/// A host of a VirtualService that is bound to gateways; names of clusters (`outbound_.80_._.host`) are SNI that gateways
/// between networks see. Istio 1.31: `ValidateWildcardDomainForVirtualServiceBoundToGateway`.
pub fn bound_to_gateway(sni: bool, host: &str) -> Check {
    const FORM: &str = "outbound_.<PORT>_._.<HOSTNAME>";
    length(host)?;
    if !sni || !host.starts_with("outbound_") {
        return wildcard(host);
    }
    let parts: Vec<&str> = host.split('_').collect();
    let [_, port, _, name, ..] = parts[..] else {
        return Err(format!(
            "domain name {host} invalid, should follow '{FORM}' format"
        ));
    };
    for (part, good) in [
        (port, port.contains(|c: char| c.is_ascii_digit())),
        (name, name.contains(|c: char| c.is_ascii_alphabetic())),
    ] {
        if !good {
            let part = part.trim_matches('.');
            return Err(format!(
                "{}. should follow {FORM} format",
                bad_label(host, part)
            ));
        }
    }
    Ok(())
}

/// No wildcard within the first label. Istio 1.31: `ValidatePartialWildCard`.
pub fn no_partial_wildcard(host: &str) -> Check {
    if host.contains('*') && host != "*" && !host.starts_with("*.") {
        return Err(format!("partial wildcard {host:?} not allowed"));
    }
    Ok(())
}

/// Who reads a `namespace/host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A Gateway's server; `converted` if the Gateway was made of one of the Gateway API.
    Gateway {
        /// Whether `~` may stand for no namespace.
        converted: bool,
    },
    /// A Sidecar's egress listener, or the service of an extension provider.
    Sidecar,
}

/// `namespace/host`. Istio 1.31: `ValidateNamespaceSlashWildcardHostname`.
pub fn namespaced(found: &mut Findings, at: &str, text: &str, reader: Reader) {
    let Some((namespace, host)) = text.split_once('/') else {
        match reader {
            Reader::Gateway { .. } => host_part(found, at, text, reader),
            Reader::Sidecar => found.error(at, "host must be of form namespace/dnsName"),
        }
        return;
    };
    if namespace.is_empty() || host.is_empty() {
        found.error(
            at,
            "config namespace and dnsName in host entry cannot be empty",
        );
    }
    match reader {
        Reader::Sidecar => {
            let bare = namespace.strip_prefix('~').unwrap_or(namespace);
            if !matches!(bare, "" | "*" | ".") && !is_dns_label(bare) {
                let message = format!("invalid namespace value {namespace:?} in sidecar");
                found.error(at, message);
            }
        }
        Reader::Gateway { converted } => {
            let known = matches!(namespace, "*" | ".") || (namespace == "~" && converted);
            if !known && !is_dns_label(namespace) {
                let message = format!("invalid namespace value {namespace:?} in gateway");
                found.error(at, message);
            }
        }
    }
    host_part(found, at, host, reader);
}

fn host_part(found: &mut Findings, at: &str, host: &str, reader: Reader) {
    if host != "*" && !host.contains('.') {
        found.error(at, "short names (non FQDN) are not allowed");
    }
    // A Gateway may name an IP address.
    if let Err(message) = wildcard(host)
        && (reader == Reader::Sidecar || !super::cidr::is_ip(host))
    {
        found.error(at, message);
    }
    found.check(at, no_partial_wildcard(host));
}

/// A trust domain. Istio 1.31: `ValidateTrustDomain`.
pub fn trust_domain(domain: &str) -> Check {
    if domain.is_empty() {
        return Err("empty domain name not allowed".to_owned());
    }
    let domain_ = domain.strip_suffix('.').unwrap_or(domain);
    if domain_.split('.').all(is_dns_label) {
        return Ok(());
    }
    Err(format!("trust domain name {domain:?} invalid"))
}

fn suffix(host: &str) -> Option<&str> {
    host.strip_prefix('*')
}

/// Whether two hosts overlap. Istio 1.31: `host.Name.Matches`.
pub fn overlap(a: &str, b: &str) -> bool {
    match (suffix(a), suffix(b)) {
        (Some(x), Some(y)) if x.len() < y.len() => y.ends_with(x),
        (Some(x), Some(y)) => x.ends_with(y),
        (Some(x), None) => b.ends_with(x),
        (None, Some(y)) => a.ends_with(y),
        (None, None) => a == b,
    }
}

/// Whether the second host covers the first. Istio 1.31: `host.Name.SubsetOf`.
pub fn is_covered(host: &str, by: &str) -> bool {
    match (suffix(host), suffix(by)) {
        (Some(x), Some(y)) => x.len() >= y.len() && x.ends_with(y),
        (Some(_), None) => false,
        (None, Some(y)) => host.ends_with(y),
        (None, None) => host == by,
    }
}

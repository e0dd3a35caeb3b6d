//! The authorities under which a service may be addressed.

use std::net::IpAddr;

use meltemi_model::Str;
use meltemi_model::proxy::{IpMode, ProxyClass};
use meltemi_model::service::{Resolution, Service};

use crate::plan::families::all_addresses;

/// The domains of a service's virtual host.
#[derive(Debug, Default)]
pub(super) struct Domains {
    /// All of them.
    pub(super) all: Vec<Str>,
    /// Those that are short for the full name; they give way to services that are really called so.
    pub(super) short: Vec<Str>,
}

/// The domains of a service and of the ExternalName services that stand for it. `port`: appended to each name, for
/// listeners that serve many ports; `None` where the listener's port says it. Istio 1.31:
/// `generateVirtualHostDomains`.
pub(super) fn service_domains(service: &Service, port: Option<u16>, class: &ProxyClass) -> Domains {
    let mut out = Domains::default();
    for host in std::iter::once(&service.key)
        .chain(&service.aliases)
        .map(|key| &key.host)
    {
        push(&mut out.all, host.as_str(), port);
        let short = alternate_hosts(host.as_str(), port, &class.dns_domain);
        out.all.extend(short.iter().cloned());
        out.short.extend(short);
    }
    if service.kubernetes && service.resolution == Resolution::Passthrough {
        // The pods of a headless service have names below the service's.
        let pods: Vec<Str> = out.all.iter().map(|d| format!("*.{d}").into()).collect();
        out.all.extend(pods);
    }
    for address in addresses(service, port, class) {
        push(&mut out.all, address, port);
    }
    out
}

/// The addresses under which a class may address a service. Those of a ServiceEntry are names as much as addresses, so
/// one always stays, whatever its family. Istio 1.31: of allocated ones only the first is known where the listener's port
/// is the service's (`buildSidecarOutboundVirtualHosts` looks at a copy of the service without the others).
fn addresses<'a>(service: &'a Service, port: Option<u16>, class: &ProxyClass) -> Vec<&'a str> {
    let mut all = all_addresses(service, class);
    if service.kubernetes {
        return all.map(|a| &**a).collect();
    }
    if service.addresses.is_empty() {
        let known = if port.is_none() { 1 } else { usize::MAX };
        return all.take(known).map(|a| &**a).collect();
    }
    let usable = |address: &str| match (class.ip_mode, address.parse::<IpAddr>()) {
        (IpMode::Dual, _) | (_, Err(_)) => true,
        (IpMode::V4, Ok(ip)) => ip.is_ipv4(),
        (IpMode::V6, Ok(ip)) => ip.is_ipv6(),
    };
    let fit: Vec<&str> = all.clone().map(|a| &**a).filter(|a| usable(a)).collect();
    if fit.is_empty() {
        all.next().map(|a| &**a).into_iter().collect()
    } else {
        fit
    }
}

/// `host` in brackets where it is an IPv6 address.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// `host:port`.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        joined(&["[", host, "]"], Some(port))
    } else {
        joined(&[host], Some(port))
    }
}

/// The pieces of a host, and `:port`.
fn joined(host: &[&str], port: Option<u16>) -> String {
    let length: usize = host.iter().map(|piece| piece.len()).sum();
    let mut text = String::with_capacity(length + ":65535".len());
    text.extend(host.iter().copied());
    if let Some(port) = port {
        text.push(':');
        text.push_str(itoa::Buffer::new().format(port));
    }
    text
}

fn push(out: &mut Vec<Str>, host: &str, port: Option<u16>) {
    out.push(if host.contains(':') {
        bracketed(host).into()
    } else {
        host.into()
    });
    out.extend(port.map(|port| host_port(host, port).into()));
}

/// What DNS search paths let a client in `domain` write for `host`. Istio 1.31: `GenerateAltVirtualHosts`.
fn alternate_hosts(host: &str, port: Option<u16>, domain: &str) -> Vec<Str> {
    let mut out = Vec::new();
    if host.parse::<IpAddr>().is_err() {
        push(&mut out, &joined(&[host, "."], None), port);
    }
    if let Some((namespace, _)) = domain.split_once(".svc.") {
        // Only names of the cluster may be shortened: others could collide with those.
        let suffix = &domain[namespace.len()..];
        if host.ends_with(suffix) {
            kubernetes_hosts(host, namespace)
                .iter()
                .for_each(|short| push(&mut out, short, port));
        }
        return out;
    }
    let (unique, shared) = split_shared(host, domain);
    let Some(first_shared) = shared.first() else {
        return out;
    };
    let short = unique.join(".");
    push(&mut out, &short, port);
    if unique.len() == 2 {
        push(&mut out, &format!("{short}.{first_shared}"), port);
    }
    out
}

/// `a`, `a.ns.svc`, `a.ns` of `a.ns.svc.cluster.local`; the first only for clients of the same namespace.
fn kubernetes_hosts(host: &str, client_namespace: &str) -> Vec<String> {
    let Some(end) = host.find(".svc.").filter(|end| *end > 0) else {
        return Vec::new();
    };
    let base = &host[..end];
    let Some((name, namespace)) = base.split_once('.') else {
        return Vec::new();
    };
    if namespace == client_namespace {
        return vec![name.to_owned(), format!("{base}.svc"), base.to_owned()];
    }
    vec![base.to_owned(), format!("{base}.svc")]
}

/// Splits the labels of `host` into those of its own and those that it shares with the end of `domain`.
fn split_shared<'a>(host: &'a str, domain: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let labels: Vec<&str> = host.split('.').collect();
    let shared = labels
        .iter()
        .rev()
        .zip(domain.rsplit('.'))
        .take_while(|(a, b)| *a == b)
        .count();
    let (unique, shared) = labels.split_at(labels.len() - shared);
    (unique.to_vec(), shared.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(hosts: Vec<Str>) -> String {
        hosts.join(" ")
    }

    #[test]
    fn short_names_follow_the_search_path() {
        for (host, domain, want) in [
            (
                "a.ns.svc.cluster.local",
                "ns.svc.cluster.local",
                "a.ns.svc.cluster.local. a a.ns.svc a.ns",
            ),
            (
                "a.ns.svc.cluster.local",
                "other.svc.cluster.local",
                "a.ns.svc.cluster.local. a.ns a.ns.svc",
            ),
            ("a.example.com", "ns.svc.cluster.local", "a.example.com."),
            (
                "*.ns.svc.cluster.local",
                "ns.svc.cluster.local",
                "*.ns.svc.cluster.local. * *.ns.svc *.ns",
            ),
            (
                "foo.local.campus.net",
                "local.campus.net",
                "foo.local.campus.net. foo",
            ),
            (
                "foo.local.campus.net",
                "remote.campus.net",
                "foo.local.campus.net. foo.local foo.local.campus",
            ),
            (
                "foo.local.campus.net",
                "example.com",
                "foo.local.campus.net.",
            ),
            ("1.2.3.4", "ns.svc.cluster.local", ""),
        ] {
            assert_eq!(
                text(alternate_hosts(host, None, domain)),
                want,
                "{host} from {domain}"
            );
        }
        assert_eq!(
            text(alternate_hosts("a.b", Some(80), "ns.svc.cluster.local")),
            "a.b. a.b.:80"
        );
    }
}

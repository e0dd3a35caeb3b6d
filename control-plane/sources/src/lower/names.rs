//! Names as users shorten them → names in full.

use std::collections::BTreeSet;
use std::net::IpAddr;

use meltemi_model::port::Protocol;
use meltemi_model::routing::MESH_GATEWAY;
use meltemi_model::service::ExportTo;
use meltemi_model::{Hostname, Str};

/// A host in full: a name without a dot is that of a Service in the object's namespace.
/// Istio 1.31: `ResolveShortnameToFQDN`.
pub(super) fn fqdn(host: &str, namespace: &str, domain: &str) -> Hostname {
    if host.is_empty() || host == "*" || host.contains('.') || host.parse::<IpAddr>().is_ok() {
        return Hostname::new(host);
    }
    Hostname::new(&format!("{host}.{namespace}.svc.{domain}"))
}

/// `namespace/name` of a gateway, or `mesh`. Istio 1.31: `resolveGatewayName`.
pub(super) fn gateway(name: &str, namespace: &str) -> Str {
    if name == MESH_GATEWAY {
        return name.into();
    }
    match name.split_once('/') {
        Some((".", name)) => format!("{namespace}/{name}").into(),
        Some(_) => name.into(),
        None => match name.split_once('.') {
            None => format!("{namespace}/{name}").into(),
            // The form before 1.0: name.namespace.svc.cluster.local.
            Some((name, rest)) => {
                let namespace = rest.split('.').next().unwrap_or(rest);
                format!("{namespace}/{name}").into()
            }
        },
    }
}

/// Visibility from its spelling. `*` beside others means everybody (Istio 1.31: `initServiceRegistry`).
pub(super) fn export_to<'a>(list: impl IntoIterator<Item = &'a str>, namespace: &str) -> ExportTo {
    let mut list = list.into_iter().peekable();
    if list.peek().is_none() {
        return ExportTo::Default;
    }
    let (mut nobody, mut namespaces) = (false, BTreeSet::new());
    for entry in list {
        match entry {
            "*" => return ExportTo::Everybody,
            "~" => nobody = true,
            "." => {
                namespaces.insert(namespace.into());
            }
            other => {
                namespaces.insert(other.into());
            }
        }
    }
    if nobody {
        ExportTo::Nobody
    } else {
        ExportTo::Namespaces(namespaces)
    }
}

/// The protocol that users may name. Istio 1.31: `protocol.Parse`, which does not know HBONE.
pub(super) fn protocol(text: &str) -> Protocol {
    match Protocol::parse(text) {
        Protocol::Hbone => Protocol::Unsupported,
        protocol => protocol,
    }
}

/// `namespace/host` of a Gateway's server or a Sidecar's listener; `.` becomes the object's namespace.
pub(super) fn namespaced_host(text: &str, own: &str) -> Option<(Str, Hostname)> {
    let (namespace, host) = text.split_once('/')?;
    let namespace = if namespace == "." { own } else { namespace };
    Some((namespace.into(), Hostname::new(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_full() {
        for (host, want) in [
            ("reviews", "reviews.ns.svc.cluster.local"),
            ("reviews.other", "reviews.other"),
            ("Reviews.Example.COM", "reviews.example.com"),
            ("*", "*"),
            ("*.example.com", "*.example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("fd00::1", "fd00::1"),
            ("", ""),
        ] {
            assert_eq!(fqdn(host, "ns", "cluster.local").as_str(), want, "{host}");
        }
    }

    #[test]
    fn gateways_in_full() {
        for (name, want) in [
            ("mesh", "mesh"),
            ("gw", "ns/gw"),
            ("./gw", "ns/gw"),
            ("other/gw", "other/gw"),
            ("gw.other", "other/gw"),
            ("gw.other.svc.cluster.local", "other/gw"),
        ] {
            assert_eq!(&*gateway(name, "ns"), want, "{name}");
        }
    }

    #[test]
    fn visibility() {
        let only =
            |names: &[&str]| ExportTo::Namespaces(names.iter().map(|n| Str::from(*n)).collect());
        for (list, want) in [
            (&[][..], ExportTo::Default),
            (&["*"], ExportTo::Everybody),
            (&["~"], ExportTo::Nobody),
            (&["."], only(&["ns"])),
            (&["a", "."], only(&["a", "ns"])),
            (&["~", "*"], ExportTo::Everybody),
        ] {
            assert_eq!(export_to(list.iter().copied(), "ns"), want, "{list:?}");
        }
    }
}

//! Where a class listens, and at which ports it must not.

use std::net::IpAddr;

use meltemi_model::Str;
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{IpMode, ProxyClass};
use meltemi_model::service::Service;

/// All addresses, IPv4.
const ANY_V4: &str = "0.0.0.0";
/// All addresses, IPv6.
const ANY_V6: &str = "::";

/// The addresses that stand for all of the proxy's, the primary family first.
pub(super) fn wildcards(class: &ProxyClass) -> Vec<Str> {
    by_family(class.ip_mode, ANY_V4, ANY_V6)
}

/// The loopback addresses.
pub(super) fn localhosts(class: &ProxyClass) -> Vec<Str> {
    by_family(class.ip_mode, "127.0.0.1", "::1")
}

fn by_family(mode: IpMode, v4: &str, v6: &str) -> Vec<Str> {
    match mode {
        IpMode::V4 => vec![v4.into()],
        IpMode::V6 => vec![v6.into()],
        IpMode::Dual => vec![v4.into(), v6.into()],
    }
}

/// Where an inbound listener of a Sidecar binds that does not say: at the workload's own address if that is known, so
/// that it does not take the application's place on the loopback. Istio 1.31: `getSidecarInboundBindIPs`.
pub(super) fn inbound_binds(class: &ProxyClass) -> Vec<Str> {
    let unicast = |ip: &&IpAddr| {
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
    };
    match class.own_ips.iter().find(unicast) {
        Some(ip) => vec![ip.to_string().into()],
        None => wildcards(class),
    }
}

/// One address that a service is reached at, with further ones that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceAddress {
    /// An IP, a CIDR, or the unspecified address.
    pub(super) primary: Str,
    /// Addresses of the other family.
    pub(super) extra: Vec<Str>,
}

impl ServiceAddress {
    /// Whether the service has no address of its own.
    pub(super) fn is_unspecified(&self) -> bool {
        &*self.primary == ANY_V4 || &*self.primary == ANY_V6
    }

    /// Whether it is a range.
    pub(super) fn is_range(&self) -> bool {
        self.primary.contains('/')
    }
}

/// The addresses of a service, each of which gets listeners. A Kubernetes Service has one, in the proxy's family; each
/// address of a ServiceEntry counts as a service of its own. Istio 1.31: `GetAddressForProxy`,
/// `GetExtraAddressesForProxy`, `convertServices`.
pub(super) fn service_addresses(service: &Service, class: &ProxyClass) -> Vec<ServiceAddress> {
    let single = |address: &Str| ServiceAddress {
        primary: host_range(address),
        extra: Vec::new(),
    };
    let addresses = service.addresses_for(class.facet.dns_capture);
    let usable = |address: &&Str| match (class.ip_mode, address.parse::<IpAddr>()) {
        (IpMode::Dual, _) | (_, Err(_)) => true,
        (IpMode::V4, Ok(ip)) => ip.is_ipv4(),
        (IpMode::V6, Ok(ip)) => ip.is_ipv6(),
    };
    let mut fit = addresses.iter().filter(usable).cloned();
    // Allocated addresses are one service's, as those of Kubernetes are.
    if service.addresses.is_empty()
        && let Some(primary) = fit.next()
    {
        return vec![ServiceAddress {
            primary,
            extra: fit.collect(),
        }];
    }
    match (service.kubernetes, service.addresses.first()) {
        (true, None) => vec![ServiceAddress {
            primary: ANY_V4.into(),
            extra: Vec::new(),
        }],
        (false, None) => {
            let mut binds = wildcards(class).into_iter();
            let primary = binds.next().unwrap_or_else(|| ANY_V4.into());
            vec![ServiceAddress {
                primary,
                extra: binds.collect(),
            }]
        }
        (false, Some(_)) => addresses.iter().map(single).collect(),
        (true, Some(default)) => {
            let primary = fit.next().unwrap_or_else(|| default.clone());
            vec![ServiceAddress {
                primary,
                extra: fit.collect(),
            }]
        }
    }
}

/// A range of one address is that address.
fn host_range(address: &Str) -> Str {
    match address.split_once('/') {
        Some((ip, "32")) if !ip.contains(':') => ip.into(),
        Some((ip, "128")) => ip.into(),
        Some(_) | None => address.clone(),
    }
}

/// Whether a listener may be built at this place. `virtual_ports`: the ports of the virtual listeners are taken, too.
/// Istio 1.31: `Proxy.CanBindToPort`.
pub(super) fn can_bind(
    class: &ProxyClass,
    virtual_ports: Option<&Mesh>,
    bind_to_port: bool,
    bind: &str,
    port: u16,
    protocol: Protocol,
) -> bool {
    if bind_to_port && class.facet.unprivileged && (1..1024).contains(&port) {
        return false;
    }
    let at_wildcard = if bind.is_empty() {
        protocol.is_http()
    } else {
        &*wildcards(class)[0] == bind
    };
    let taken = class.facet.reserved_ports.contains(&port)
        || virtual_ports
            .is_some_and(|mesh| mesh.outbound_port == port || mesh.inbound_port == port);
    !(at_wildcard && taken)
}

/// `host:port`, with an IPv6 address in brackets.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use meltemi_model::proxy::ProxyKind;

    use super::*;
    use crate::fixtures::{class_of_client, service};

    #[test]
    fn allocated_addresses_are_those_of_one_service() {
        let entry = Service {
            kubernetes: false,
            addresses: Vec::new(),
            allocated: vec!["240.240.0.1".into(), "2001:2::1".into()],
            ..service("db.com", &[])
        };
        let only_v6 = Service {
            allocated: vec!["2001:2::1".into()],
            ..entry.clone()
        };
        for (entry, capture, mode, want) in [
            (&entry, true, IpMode::V4, "240.240.0.1"),
            (&entry, true, IpMode::V6, "2001:2::1"),
            (&entry, true, IpMode::Dual, "240.240.0.1 2001:2::1"),
            (&entry, false, IpMode::V4, "0.0.0.0"),
            (&only_v6, true, IpMode::V4, "0.0.0.0"),
            (&only_v6, true, IpMode::V6, "2001:2::1"),
        ] {
            let mut class = class_of_client(ProxyKind::Sidecar);
            class.ip_mode = mode;
            class.facet.dns_capture = capture;
            let found = service_addresses(entry, &class);
            let [address] = found.as_slice() else {
                panic!("{found:?}");
            };
            let all = [&address.primary].into_iter().chain(&address.extra);
            let all: Vec<&str> = all.map(|a| &**a).collect();
            assert_eq!(all.join(" "), want, "{mode:?} {capture}");
        }
    }
}

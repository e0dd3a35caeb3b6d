//! Where a class listens, and at which ports it must not.

use std::net::IpAddr;

use meltemi_model::Str;
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{IpMode, ProxyClass};
use meltemi_model::service::Service;

use crate::plan::families::{address, all_addresses};

/// All addresses, IPv4.
const ANY_V4: &str = "0.0.0.0";
/// All addresses, IPv6.
const ANY_V6: &str = "::";

/// The addresses that stand for all of the proxy's, the primary family first.
pub(super) fn wildcards(class: &ProxyClass) -> Vec<Str> {
    by_family(class.ip_mode, ANY_V4, ANY_V6)
}

/// Those of them at which the virtual listeners, inbound ones and those of gateways are served: with addresses of both
/// families, IPv6 only with ISTIO_DUAL_STACK. Outbound listeners of services have all of them either way, since no port is
/// bound for them. Istio 1.31: `buildListenerFromEntry` asks for no flag, the others do.
pub(super) fn served_wildcards(class: &ProxyClass) -> Vec<Str> {
    served(class, wildcards(class))
}

/// Only the first of several addresses, unless the class is served both families.
pub(super) fn served(class: &ProxyClass, mut addresses: Vec<Str>) -> Vec<Str> {
    if !class.dual_stack {
        addresses.truncate(1);
    }
    addresses
}

/// Where redirected outbound connections come in.
pub(super) fn virtual_outbound_binds(class: &ProxyClass) -> Vec<Str> {
    let mut binds = served_wildcards(class);
    if class.ipv4_outbound {
        binds.push(ANY_V4.into());
    }
    binds
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

/// The addresses of a service, each of which gets listeners. A Kubernetes Service has one, and so has what was allocated;
/// each address of a ServiceEntry counts as a service of its own. Istio 1.31: `GetAddressForProxy`,
/// `GetExtraAddressesForProxy`, `convertServices`.
pub(super) fn service_addresses(service: &Service, class: &ProxyClass) -> Vec<ServiceAddress> {
    if !service.kubernetes && !service.addresses.is_empty() {
        let single = |address: &Str| ServiceAddress {
            primary: host_range(address),
            extra: Vec::new(),
        };
        return service.addresses.iter().map(single).collect();
    }
    let Some(primary) = address(service, class) else {
        return vec![unspecified(service, class)];
    };
    let all = all_addresses(service, class);
    vec![ServiceAddress {
        primary: primary.clone(),
        extra: all.skip(1).cloned().collect(),
    }]
}

/// What stands for the address of a service that has none. The family of a ServiceEntry is not known, so it is the
/// proxy's.
fn unspecified(service: &Service, class: &ProxyClass) -> ServiceAddress {
    let mut binds = wildcards(class).into_iter();
    let own = binds.next().filter(|_| !service.kubernetes);
    ServiceAddress {
        primary: own.unwrap_or_else(|| ANY_V4.into()),
        extra: if service.kubernetes {
            Vec::new()
        } else {
            binds.collect()
        },
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

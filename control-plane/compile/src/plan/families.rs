//! Which of a service's virtual addresses a class uses: those of its address families, and allocated ones where it answers
//! its application's DNS queries.

use std::net::IpAddr;

use meltemi_model::Str;
use meltemi_model::proxy::{IpMode, ProxyClass};
use meltemi_model::service::Service;

/// All virtual addresses of a service that a class uses; none: the service has none of its own. Those that Kubernetes or
/// we allocated are limited to the families that the class is served; those of a ServiceEntry are what its user wrote.
/// Istio 1.31: `GetAllAddressesForProxy`.
pub(super) fn all_addresses<'a>(
    service: &'a Service,
    class: &ProxyClass,
) -> impl Iterator<Item = &'a Str> + Clone + use<'a> {
    let written = !service.kubernetes && !service.addresses.is_empty();
    let addresses: &[Str] = if service.kubernetes || written {
        &service.addresses
    } else if class.facet.allocated_addresses {
        &service.allocated
    } else {
        &[]
    };
    let families = if written {
        Families::All
    } else {
        Families::of(addresses, class)
    };
    addresses
        .iter()
        .filter(move |address| families.have(address))
}

/// The one that listeners are named after: where a Kubernetes Service has none of the class's family, its first one all
/// the same. Istio 1.31: `GetAddressForProxy`.
pub(super) fn address<'a>(service: &'a Service, class: &ProxyClass) -> Option<&'a Str> {
    let usable = all_addresses(service, class).next();
    usable.or(service.addresses.first())
}

/// The address families that a class is served.
#[derive(Debug, Clone, Copy)]
enum Families {
    All,
    /// IPv4 if true, IPv6 if false; `None`: what is no address.
    Only(Option<bool>),
}

impl Families {
    /// With addresses of both families and without ISTIO_DUAL_STACK it is the family of the first. Istio 1.31:
    /// `FilterAddressesByIPFamily`.
    fn of(addresses: &[Str], class: &ProxyClass) -> Self {
        match class.ip_mode {
            IpMode::Dual if class.dual_stack => Families::All,
            IpMode::Dual => Families::Only(addresses.first().and_then(is_v4)),
            IpMode::V4 => Families::Only(Some(true)),
            IpMode::V6 => Families::Only(Some(false)),
        }
    }

    fn have(self, address: &Str) -> bool {
        match self {
            Families::All => true,
            Families::Only(family) => is_v4(address) == family,
        }
    }
}

fn is_v4(address: &Str) -> Option<bool> {
    let ip: IpAddr = address.parse().ok()?;
    Some(ip.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::class_of_client;
    use meltemi_model::proxy::ProxyKind;

    #[test]
    fn addresses_by_family() {
        let both = ["10.0.0.1", "fd00::1"];
        let turned = ["fd00::1", "10.0.0.1"];
        let v4 = ["10.0.0.1"];
        let none: [&str; 0] = [];
        // (families, ISTIO_DUAL_STACK, addresses, all that are used, the one of listeners).
        type Row<'a> = (IpMode, bool, &'a [&'a str], &'a [&'a str], Option<&'a str>);
        let table: [Row<'_>; 9] = [
            (IpMode::V4, false, &both, &["10.0.0.1"], Some("10.0.0.1")),
            (IpMode::V6, false, &both, &["fd00::1"], Some("fd00::1")),
            (IpMode::V6, true, &both, &["fd00::1"], Some("fd00::1")),
            (IpMode::Dual, false, &both, &["10.0.0.1"], Some("10.0.0.1")),
            (IpMode::Dual, false, &turned, &["fd00::1"], Some("fd00::1")),
            (IpMode::Dual, true, &both, &both, Some("10.0.0.1")),
            (IpMode::Dual, true, &turned, &turned, Some("fd00::1")),
            (IpMode::V6, false, &v4, &none, Some("10.0.0.1")),
            (IpMode::Dual, true, &none, &none, None),
        ];
        for (ip_mode, flag, addresses, all, first) in table {
            let class = ProxyClass {
                ip_mode,
                dual_stack: flag && ip_mode == IpMode::Dual,
                ..class_of_client(ProxyKind::Sidecar)
            };
            let service = Service {
                kubernetes: true,
                addresses: addresses.iter().map(|a| Str::from(*a)).collect(),
                ..meltemi_model::testing::service("a", &[])
            };
            let found: Vec<&str> = all_addresses(&service, &class).map(|a| &**a).collect();
            assert_eq!(found, all, "{ip_mode:?} {flag} {addresses:?}");
            let found = address(&service, &class).map(|a| &**a);
            assert_eq!(found, first, "{ip_mode:?} {flag} {addresses:?}");
        }
    }

    #[test]
    fn allocated_addresses_stand_in_where_names_are_answered() {
        // (written, the class uses allocated ones, families, ISTIO_DUAL_STACK, used).
        type Row<'a> = (&'a [&'a str], bool, IpMode, bool, &'a [&'a str]);
        let table: [Row<'_>; 8] = [
            (&["fd00::9"], false, IpMode::V4, false, &["fd00::9"]),
            (&["fd00::9"], true, IpMode::V4, false, &["fd00::9"]),
            (&[], false, IpMode::V4, false, &[]),
            (&[], true, IpMode::V4, false, &["240.240.0.1"]),
            (&[], true, IpMode::V6, false, &["2001:2::1"]),
            (&[], true, IpMode::Dual, false, &["240.240.0.1"]),
            (&[], true, IpMode::Dual, true, &["240.240.0.1", "2001:2::1"]),
            (&[], false, IpMode::Dual, true, &[]),
        ];
        for (written, uses, ip_mode, dual_stack, want) in table {
            let mut class = ProxyClass {
                ip_mode,
                dual_stack,
                ..class_of_client(ProxyKind::Sidecar)
            };
            class.facet.allocated_addresses = uses;
            let service = Service {
                addresses: written.iter().map(|a| Str::from(*a)).collect(),
                allocated: vec!["240.240.0.1".into(), "2001:2::1".into()],
                ..meltemi_model::testing::service("b.com", &[])
            };
            let found: Vec<&str> = all_addresses(&service, &class).map(|a| &**a).collect();
            assert_eq!(found, want, "{written:?} {uses} {ip_mode:?} {dual_stack}");
        }
    }
}

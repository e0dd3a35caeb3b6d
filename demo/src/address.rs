//! Addresses of the demo's cluster: pods in 10.244.0.0/16, Services in 10.96.0.0/16, as a kubeadm cluster has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Result, bail};

use crate::manifest::{Key, Service};

/// The node: the bridge's own address, where control plane and name service listen.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Prefix length of the pod network.
pub(crate) const POD_PREFIX: u8 = 16;
/// The world outside the mesh (TEST-NET-3, RFC 5737).
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const FIRST_POD: u32 = 0x0af4_0101;
const LAST_POD: u32 = 0x0af4_fffe;
const SERVICES: u32 = 0x0a60_0000;
const SERVICES_SIZE: u64 = 0xfffe;

/// Hands out pod addresses; one is not used again for as long as possible, so that a stale endpoint cannot hit a new pod.
#[derive(Debug)]
pub(crate) struct PodAddresses {
    next: u32,
}

impl Default for PodAddresses {
    fn default() -> Self {
        Self { next: FIRST_POD }
    }
}

impl PodAddresses {
    /// A free address.
    pub(crate) fn take(&mut self, used: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr> {
        for _ in FIRST_POD..=LAST_POD {
            let address = Ipv4Addr::from(self.next);
            self.next = if self.next == LAST_POD {
                FIRST_POD
            } else {
                self.next + 1
            };
            if !used.contains(&address) {
                return Ok(address);
            }
        }
        bail!("more than 65,000 pods")
    }
}

/// The cluster IPs of the Services that name none: from a hash of the name, so that it is the same in every run, and the
/// next free one when two names meet. What `earlier` has stays as it is.
#[must_use]
pub(crate) fn cluster_ips(
    services: &BTreeMap<Key, Service>,
    earlier: &BTreeMap<Key, Ipv4Addr>,
) -> BTreeMap<Key, Ipv4Addr> {
    let written = services
        .values()
        .filter_map(|service| service.cluster_ip.as_deref()?.parse().ok());
    let mut used: BTreeSet<Ipv4Addr> = written.collect();
    let open =
        |key: &&Key| services[*key].cluster_ip.is_none() && services[*key].external_name.is_none();
    let mut chosen = BTreeMap::new();
    for key in services.keys().filter(open) {
        if let Some(address) = earlier.get(key)
            && used.insert(*address)
        {
            chosen.insert(key.clone(), *address);
        }
    }
    for key in services.keys().filter(open) {
        if chosen.contains_key(key) {
            continue;
        }
        let start = hash(&[&key.0, &key.1]) % SERVICES_SIZE;
        let candidates = (0..SERVICES_SIZE).map(|step| {
            let offset = u32::try_from((start + step) % SERVICES_SIZE).unwrap_or_default();
            Ipv4Addr::from(SERVICES + 1 + offset)
        });
        if let Some(address) = candidates
            .into_iter()
            .find(|address| !used.contains(address))
        {
            used.insert(address);
            chosen.insert(key.clone(), address);
        }
    }
    chosen
}

/// FNV-1a over the parts, each closed by a zero byte: stable across runs and machines.
#[must_use]
pub(crate) fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(names: &[(&str, Option<&str>)]) -> BTreeMap<Key, Service> {
        let service = |(name, ip): &(&str, Option<&str>)| {
            let key = ("default".to_owned(), (*name).to_owned());
            let cluster_ip = ip.map(str::to_owned);
            (
                key.clone(),
                Service {
                    key,
                    cluster_ip,
                    ..Service::default()
                },
            )
        };
        names.iter().map(service).collect()
    }

    #[test]
    fn cluster_ips_are_stable_and_differ() {
        let few = cluster_ips(
            &services(&[("details", None), ("reviews", None)]),
            &BTreeMap::new(),
        );
        let more = services(&[
            ("aaa", None),
            ("details", None),
            ("db", Some("None")),
            ("reviews", None),
        ]);
        let again = cluster_ips(&more, &BTreeMap::new());
        for (key, address) in &few {
            assert_eq!(
                again[key], *address,
                "{key:?} does not depend on its neighbours"
            );
        }
        assert_eq!(again.len(), 3, "a headless Service gets none");
        assert_eq!(again.values().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn what_a_user_wrote_or_a_service_had_is_not_given_away() {
        let key = ("default".to_owned(), "details".to_owned());
        let natural = cluster_ips(&services(&[("details", None)]), &BTreeMap::new())[&key];
        let natural = natural.to_string();
        let written = services(&[("details", None), ("other", Some(&natural))]);
        assert_ne!(
            cluster_ips(&written, &BTreeMap::new())[&key].to_string(),
            natural
        );

        let moved = BTreeMap::from([(key.clone(), Ipv4Addr::new(10, 96, 7, 7))]);
        assert_eq!(
            cluster_ips(&services(&[("details", None)]), &moved)[&key],
            moved[&key]
        );
    }

    #[test]
    fn pod_addresses_are_not_reused_at_once() {
        let mut addresses = PodAddresses::default();
        let first = addresses.take(&BTreeSet::new()).unwrap();
        let second = addresses.take(&BTreeSet::new()).unwrap();
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("10.244.1.1".to_owned(), "10.244.1.2".to_owned())
        );
        let third = addresses
            .take(&BTreeSet::from([Ipv4Addr::new(10, 244, 1, 3)]))
            .unwrap();
        assert_eq!(third.to_string(), "10.244.1.4");
    }
}

//! Addresses for the hosts of ServiceEntries that have none, chosen by a hash of their names: what is in effect with
//! PILOT_ENABLE_IP_AUTOALLOCATE=false. Istio 1.31: `autoAllocateIPs` (`serviceentry/auto_allocation.go`); every istiod
//! and every Meltemi finds the same addresses for the same services.

use std::collections::BTreeMap;

use meltemi_model::service::{Resolution, Service};
use meltemi_model::{Shared, Str};

/// How many addresses there are: 240.240.0.0/16 without those that end in 0 or 255.
const SLOTS: u32 = 256 * 254;
/// The second hash counts down from this prime number.
const PRIME: u32 = 65011;

/// Gives addresses to the services that get some. `services` are in the order in which they choose.
pub(super) fn allocate(services: &mut [Shared<Service>]) {
    let mut slots: BTreeMap<u32, usize> = BTreeMap::new();
    for (index, service) in services.iter().enumerate() {
        if takes_part(service) && slots.len() < SLOTS as usize {
            slots.insert(free_slot(&slots, fnv1a(&key(service))), index);
        }
    }
    // Services of one name have one address, that of the lowest slot. A last octet of 0 is stepped over, which moves all
    // that follow.
    let mut steps = 0;
    let mut by_key: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (slot, index) in slots {
        let service = &mut services[index];
        if (slot + 1 + steps).is_multiple_of(255) {
            steps += 1;
        }
        let place = slot + 1 + steps;
        let octets = *by_key
            .entry(key(service))
            .or_insert((place / 255, place % 255));
        let found = addresses(octets);
        *service = super::with(
            service,
            |s| s.allocated == found,
            |s| s.allocated.clone_from(&found),
        );
    }
}

/// Not without resolution: the address that was asked for would be connected to.
fn takes_part(service: &Service) -> bool {
    !service.kubernetes
        && service.addresses.is_empty()
        && !service.key.host.is_wildcard()
        && service.resolution != Resolution::Passthrough
}

fn key(service: &Service) -> String {
    format!("{}/{}", service.key.namespace, service.key.host)
}

/// The slot of a hash; where it is taken, the first free one in steps of a second hash.
fn free_slot(taken: &BTreeMap<u32, usize>, hash: u32) -> u32 {
    let first = hash % SLOTS;
    if !taken.contains_key(&first) {
        return first;
    }
    let step = PRIME - hash % PRIME;
    let probes = (1..=SLOTS).map(|i| hash.wrapping_add(i.wrapping_mul(step)) % (SLOTS - 1));
    // The steps may go in a circle that is full. istiod would look for ever.
    let mut all = probes.chain(0..SLOTS);
    all.find(|slot| !taken.contains_key(slot)).unwrap_or(first)
}

/// FNV-1a, 32 bits.
fn fnv1a(text: &str) -> u32 {
    let fold = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    text.bytes().fold(2_166_136_261, fold)
}

/// The address of IPv4, then that of IPv6.
fn addresses((third, fourth): (u32, u32)) -> Vec<Str> {
    let v4 = format!("240.240.{third}.{fourth}");
    let v6 = if third == 0 {
        format!("2001:2::f0f0:{fourth:x}")
    } else {
        format!("2001:2::f0f0:{third:x}{fourth:x}")
    };
    vec![v4.into(), v6.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_model::testing;

    fn entry(host: &str, resolution: Resolution) -> Service {
        Service {
            resolution,
            ..testing::service(host, &[])
        }
    }

    fn allocated(services: Vec<Service>) -> Vec<String> {
        let mut services: Vec<_> = services.into_iter().map(Shared::new).collect();
        allocate(&mut services);
        let list = |s: &Service| {
            s.allocated
                .iter()
                .map(|a| a.to_string())
                .collect::<Vec<_>>()
        };
        services.iter().map(|s| list(s).join(" ")).collect()
    }

    #[test]
    fn addresses_follow_the_hash_of_the_name() {
        // Recorded with istiod 1.31: TestServiceEntryDuplicatedHostname, two entries of one host.
        let istio = || entry("istio.io", Resolution::Dns);
        let want = "240.240.91.120 2001:2::f0f0:5b78";
        assert_eq!(allocated(vec![istio(), istio()]), [want, want]);
        let others = vec![
            Service {
                addresses: vec!["10.0.0.1".into()],
                ..entry("written.com", Resolution::Dns)
            },
            entry("*.wildcard.com", Resolution::DynamicDns),
            entry("none.com", Resolution::Passthrough),
            testing::service("kubernetes", &[]),
        ];
        assert_eq!(allocated(others), ["", "", "", ""]);
    }

    #[test]
    fn no_address_is_given_twice_or_ends_in_zero() {
        let many = (0..30_000).map(|i| entry(&format!("host-{i}.example.com"), Resolution::Dns));
        let mut services: Vec<_> = many.map(Shared::new).collect();
        allocate(&mut services);
        let v4: Vec<&Str> = services.iter().map(|s| &s.allocated[0]).collect();
        assert!(
            v4.iter()
                .all(|a| !a.ends_with(".0") && !a.ends_with(".255"))
        );
        let different: std::collections::BTreeSet<_> = v4.iter().collect();
        assert_eq!(different.len(), services.len());
    }

    #[test]
    fn what_follows_a_skipped_octet_moves() {
        assert_eq!(addresses((0, 7))[1].to_string(), "2001:2::f0f0:7");
        assert_eq!(addresses((1, 16))[1].to_string(), "2001:2::f0f0:110");
        let full: BTreeMap<u32, usize> = (0..SLOTS - 1).map(|slot| (slot, 0)).collect();
        assert_eq!(free_slot(&full, 5), SLOTS - 1, "the last one that is free");
    }
}

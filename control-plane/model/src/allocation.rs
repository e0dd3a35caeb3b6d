//! Which addresses the hosts of ServiceEntries without addresses get, so that a proxy which answers its application's
//! DNS queries can tell them apart. Istio 1.31: `pilot/pkg/controllers/ipallocate`.
//!
//! Everything here is a pure function of what the ServiceEntries say. Who asks it again after a restart, or in another
//! replica, keeps every address that is written down; an address that nobody holds any more is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::service::{Resolution, ServiceEntry};
use crate::{Labels, Str};

/// The label by which a ServiceEntry takes no part; its value is `false`.
pub const SWITCH: &str = "networking.istio.io/enable-autoallocate-ip";

/// The ranges that addresses are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefixes {
    /// PILOT_IP_AUTOALLOCATE_IPV4_PREFIX.
    pub v4: IpNet,
    /// PILOT_IP_AUTOALLOCATE_IPV6_PREFIX.
    pub v6: IpNet,
}

impl Default for Prefixes {
    /// 240.240.0.0/16 and 2001:2::/48, as in Istio 1.31.
    fn default() -> Self {
        let v4 = Ipv4Addr::new(240, 240, 0, 0);
        let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0);
        Self {
            v4: IpNet::new_assert(v4.into(), 16),
            v6: IpNet::new_assert(v6.into(), 48),
        }
    }
}

/// Whether the hosts of a ServiceEntry get addresses: not without resolution (the address that was asked for would be
/// connected to), not beside addresses that the user wrote, not where the label says `false`.
/// Istio 1.31: `ShouldV2AutoAllocateIP`.
pub fn takes_part(resolution: Resolution, has_addresses: bool, labels: &Labels) -> bool {
    let off = labels
        .get(SWITCH)
        .is_some_and(|value| value.eq_ignore_ascii_case("false"));
    resolution != Resolution::Passthrough && !has_addresses && !off
}

/// Whether a host gets an address: a name with a wildcard does only where each name below it is resolved as it is asked
/// for. Istio 1.31: `keepHost`.
pub fn host_takes_part(host: &str, resolution: Resolution) -> bool {
    !host.starts_with('*') || resolution == Resolution::DynamicDns
}

/// What identifies a ServiceEntry: namespace and name.
pub type Owner = (Str, Str);

/// A host and an address of it.
pub type Held = (Str, IpAddr);

/// A ServiceEntry, reduced to what decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Creation, in seconds since 1970. The older one keeps an address that two hold.
    pub created: i64,
    /// Whether its hosts get addresses ([`takes_part`]).
    pub takes_part: bool,
    /// Its hosts that get addresses ([`host_takes_part`]), in order.
    pub hosts: Vec<Str>,
    /// `spec.addresses` that are single addresses: nobody else gets them.
    pub written: Vec<IpAddr>,
    /// `status.addresses`, in order.
    pub held: Vec<Held>,
}

impl Claim {
    /// That of a lowered ServiceEntry.
    pub fn of(entry: &ServiceEntry) -> Self {
        let hosts = entry.hosts.iter().map(|host| host.as_str());
        Self {
            created: entry.meta.created,
            takes_part: takes_part(
                entry.resolution,
                !entry.addresses.is_empty(),
                &entry.meta.labels,
            ),
            hosts: hosts
                .filter(|host| host_takes_part(host, entry.resolution))
                .map(Str::from)
                .collect(),
            written: entry
                .addresses
                .iter()
                .filter_map(|a| a.parse().ok())
                .collect(),
            held: entry
                .allocated
                .iter()
                .filter_map(|(host, a)| Some((Str::from(host.as_str()), a.parse().ok()?)))
                .collect(),
        }
    }

    fn held_by(&self, host: &str) -> impl Iterator<Item = IpAddr> {
        let of_host = self.held.iter().filter(move |(h, _)| **h == *host);
        of_host.map(|(_, address)| *address)
    }

    /// Whether exactly the hosts that get addresses have some.
    fn is_settled(&self) -> bool {
        let wanted: BTreeSet<&str> = self.hosts.iter().map(|host| &**host).collect();
        let found: BTreeSet<&str> = self.held.iter().map(|(host, _)| &**host).collect();
        wanted == found
    }
}

/// Where the search for a free address begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind the address that was given out last, so that one that became free is not given out again at once: clients
    /// may still know it.
    Last(Option<Ipv4Addr>, Option<Ipv6Addr>),
    /// At a place that follows from the names of the ServiceEntry and the host. So an address stays the same although
    /// nobody writes it down, and although other ServiceEntries come and go.
    Name,
}

/// What the claims that are not as they should be are to hold.
///
/// - A ServiceEntry that takes no part any more holds nothing.
/// - An address in our ranges that two hold stays with the older one (then by namespace and name); if a user wrote it, it
///   stays with none. Who loses one gets others for all of its hosts. Istio 1.31: `resolveConflict`.
/// - A host that has addresses keeps them; one that has none gets one of each family; hosts that are gone lose theirs.
///
/// Addresses are given out to the oldest ServiceEntry first, and never one that is held.
pub fn decide(
    claims: &BTreeMap<Owner, Claim>,
    prefixes: &Prefixes,
    start: Start,
) -> BTreeMap<Owner, Vec<Held>> {
    let mut by_age: Vec<(&Owner, &Claim)> = claims.iter().collect();
    by_age.sort_by_key(|(owner, claim)| (claim.created, *owner));

    let mut used = Used::default();
    for (_, claim) in &by_age {
        for address in &claim.written {
            used.take(*address);
        }
    }
    let mut out = BTreeMap::new();
    let mut wanting: Vec<(&Owner, &Claim, bool)> = Vec::new();
    for (owner, claim) in by_age {
        if !claim.takes_part {
            if !claim.held.is_empty() {
                out.insert(owner.clone(), Vec::new());
            }
            continue;
        }
        let in_range = |address: &IpAddr| {
            let ip = address.to_canonical();
            prefixes.v4.contains(&ip) || prefixes.v6.contains(&ip)
        };
        let held: BTreeSet<IpAddr> = claim.held.iter().map(|(_, a)| a.to_canonical()).collect();
        let moves = held.iter().any(|a| in_range(a) && used.has(*a));
        if !moves {
            for address in held {
                used.take(address);
            }
        }
        if moves || !claim.is_settled() {
            wanting.push((owner, claim, moves));
        }
    }
    let (mut v4, mut v6) = match start {
        Start::Last(v4, v6) => (v4.map(IpAddr::from), v6.map(IpAddr::from)),
        Start::Name => (None, None),
    };
    for (owner, claim, moves) in wanting {
        let mut given: Vec<Held> = Vec::new();
        let mut seen = BTreeSet::new();
        for host in claim.hosts.iter().filter(|host| seen.insert(&***host)) {
            let mut kept = claim.held_by(host).filter(|_| !moves).peekable();
            if kept.peek().is_some() {
                given.extend(kept.map(|address| (host.clone(), address)));
                continue;
            }
            if start == Start::Name {
                v4 = named(&prefixes.v4, owner, host);
                v6 = named(&prefixes.v6, owner, host);
            }
            for (prefix, last) in [(&prefixes.v4, &mut v4), (&prefixes.v6, &mut v6)] {
                if let Some(address) = used.free(prefix, *last) {
                    used.take(address);
                    *last = Some(address);
                    given.push((host.clone(), address));
                }
            }
        }
        if given != claim.held {
            out.insert(owner.clone(), given);
        }
    }
    out
}

/// Addresses that somebody has, without their IPv4-in-IPv6 form.
#[derive(Debug, Default)]
struct Used(BTreeSet<IpAddr>);

impl Used {
    fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    fn take(&mut self, address: IpAddr) {
        self.0.insert(address.to_canonical());
    }

    /// The first free address behind `last`, then from the start of the range; `None`: all are used. The first one of a
    /// range (the network's own) is never given out.
    fn free(&self, prefix: &IpNet, last: Option<IpAddr>) -> Option<IpAddr> {
        let first = next(prefix.addr()).filter(|ip| prefix.contains(ip))?;
        let behind = last
            .and_then(next)
            .filter(|ip| prefix.contains(ip) && *ip >= first);
        let begin = behind.unwrap_or(first);
        let mut at = begin;
        loop {
            if !self.has(at) {
                return Some(at);
            }
            at = next(at).filter(|ip| prefix.contains(ip)).unwrap_or(first);
            if at == begin {
                return None;
            }
        }
    }
}

fn next(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).checked_add(1)?).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).checked_add(1)?).into(),
    })
}

/// The address before the one that the names stand for.
fn named(prefix: &IpNet, (namespace, name): &Owner, host: &str) -> Option<IpAddr> {
    let digest = blake3::hash(format!("{namespace}/{name}/{host}").as_bytes());
    let mut word = [0; 16];
    word.copy_from_slice(&digest.as_bytes()[..16]);
    let word = u128::from_be_bytes(word);
    let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
    // `checked_shl` answers `None` for a range of all addresses.
    let size = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
    let offset = word % size;
    match prefix.network() {
        IpAddr::V4(v4) => {
            let offset = u32::try_from(offset).ok()?;
            Some(Ipv4Addr::from(u32::from(v4).checked_add(offset)?).into())
        }
        IpAddr::V6(v6) => Some(Ipv6Addr::from(u128::from(v6).checked_add(offset)?).into()),
    }
}

#[cfg(test)]
mod tests;

//! Listeners that a proxy refuses for their address: somebody else has it. Nothing is wrong with the objects that they are
//! made from, so they are tried again: when what has the address changes or goes, and, since it may be a program that
//! no object tells of, after a while that grows each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meltemi_model::{ObjectKey, ProxySnapshot, Resource, ResourceType};
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::core::v3::{Address, address};
use meltemi_proto::envoy::config::listener::v3::Listener;
use prost::Message as _;
use tokio::time::Instant;

/// How long it takes until an object is tried again for the first time.
const FIRST: Duration = Duration::from_secs(5);

/// The longest time between two tries.
const LAST: Duration = Duration::from_secs(300);

/// Whether a proxy refuses a resource since it cannot have its address. Envoy: "cannot bind '0.0.0.0:80': Address already in
/// use", "… has duplicate address '0.0.0.0:80' as existing listener".
pub(super) fn is_taken(ty: ResourceType, message: &str) -> bool {
    let says = |words: &str| message.contains(words);
    ty == ResourceType::Listener && (says("cannot bind '") || says("has duplicate address '"))
}

/// Whether a listener is still to have the same address.
pub(super) fn has_address_of(resource: &Resource, other: &Resource) -> bool {
    resource.version == other.version || addresses(resource) == addresses(other)
}

/// What the other listeners are made from that share a port with a listener.
pub(super) fn neighbours(snapshot: &ProxySnapshot, listener: &Resource) -> Vec<ObjectKey> {
    let ports = ports(listener);
    let others = snapshot.set(ResourceType::Listener).by_name.values();
    let mut keys: Vec<ObjectKey> = others
        .filter(|other| other.name != listener.name && !ports.is_disjoint(&self::ports(other)))
        .flat_map(|other| other.from.iter().cloned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn addresses(listener: &Resource) -> Vec<Address> {
    let Ok(listener) = Listener::decode(&*listener.body) else {
        return Vec::new();
    };
    let more = listener.additional_addresses.into_iter();
    let more = more.filter_map(|additional| additional.address);
    listener.address.into_iter().chain(more).collect()
}

fn ports(listener: &Resource) -> BTreeSet<u32> {
    let port = |address: Address| match address.address? {
        address::Address::SocketAddress(socket) => match socket.port_specifier? {
            PortSpecifier::PortValue(port) => Some(port),
            PortSpecifier::NamedPort(_) => None,
        },
        _ => None,
    };
    addresses(listener).into_iter().filter_map(port).collect()
}

/// When objects are tried again.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeMap<ObjectKey, Retry>);

#[derive(Debug)]
struct Retry {
    due: Instant,
    /// How long it was waited for this time.
    wait: Duration,
}

impl Retries {
    /// Notes objects that are held back from now on.
    pub(super) fn note(&mut self, keys: &BTreeSet<ObjectKey>, now: Instant) {
        for key in keys {
            let last = self.0.get(key).map(|retry| retry.wait);
            let wait = last.map_or(FIRST, |wait| (2 * wait).min(LAST));
            let retry = Retry {
                due: now + wait,
                wait,
            };
            self.0.insert(key.clone(), retry);
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|retry| retry.due).min()
    }

    /// Those that are due. Who is not noted again within twice the time is well, and forgotten.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        is_held: impl Fn(&ObjectKey) -> bool,
    ) -> BTreeSet<ObjectKey> {
        let mut due = BTreeSet::new();
        self.0.retain(|key, retry| {
            if retry.due > now {
                return true;
            }
            if !is_held(key) {
                return false;
            }
            retry.due = now + 2 * retry.wait;
            due.insert(key.clone());
            true
        });
        due
    }
}

#[cfg(test)]
mod tests;

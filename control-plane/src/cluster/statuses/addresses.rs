//! `status.addresses` of ServiceEntries.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meltemi_cluster::statuses::{Name, Seen, Statuses};
use meltemi_model::allocation::{
    Claim, Held, Owner, Prefixes, Start, decide, host_takes_part, takes_part,
};
use meltemi_model::service::Resolution;
use meltemi_model::{Labels, Str};
use serde_json::{Value, json};

use super::Chosen;

/// What the ServiceEntries say, and what was decided but may not be written yet.
#[derive(Debug)]
pub(super) struct Addresses {
    prefixes: Prefixes,
    claims: BTreeMap<Owner, Claim>,
    /// A decision holds until it is written, however often that fails, so that nobody else gets its addresses.
    planned: BTreeMap<Owner, Vec<Held>>,
    /// What was written last.
    last: (Option<Ipv4Addr>, Option<Ipv6Addr>),
}

impl Addresses {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self {
            prefixes,
            claims: BTreeMap::new(),
            planned: BTreeMap::new(),
            last: (None, None),
        }
    }

    fn remember(&mut self, held: &[Held]) {
        for (_, address) in held {
            match address {
                IpAddr::V4(v4) if self.prefixes.v4.contains(address) => self.last.0 = Some(*v4),
                IpAddr::V6(v6) if self.prefixes.v6.contains(address) => self.last.1 = Some(*v6),
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
    }
}

impl Statuses for Addresses {
    type News = Option<Chosen>;

    fn seen(&mut self, name: &Name, object: Seen<'_>) -> bool {
        let owner = owner(name);
        let claim = claim(object);
        match self.planned.get(&owner) {
            Some(planned) if *planned == claim.held => {
                let written = claim.held.clone();
                self.planned.remove(&owner);
                self.remember(&written);
            }
            // Somebody else wrote addresses: those count.
            Some(_)
                if self
                    .claims
                    .get(&owner)
                    .is_some_and(|c| c.held != claim.held) =>
            {
                self.planned.remove(&owner);
            }
            Some(_) | None => {}
        }
        // What is written counts more than what is only decided.
        let is_free = |held: &Held| !claim.held.iter().any(|(_, address)| *address == held.1);
        self.planned
            .retain(|other, planned| *other == owner || planned.iter().all(is_free));
        let before = self.claims.insert(owner.clone(), claim);
        before.as_ref() != self.claims.get(&owner)
    }

    fn gone(&mut self, name: &Name) {
        let owner = owner(name);
        self.claims.remove(&owner);
        self.planned.remove(&owner);
    }

    fn was_changed(&mut self, name: &Name) {
        self.planned.remove(&owner(name));
    }

    fn wanted(&mut self, news: &Option<Chosen>) -> BTreeMap<Name, Value> {
        let Some(chosen) = news else {
            return BTreeMap::new();
        };
        let is_chosen = |(namespace, _): &Owner| {
            chosen
                .as_ref()
                .is_none_or(|names| names.contains(namespace))
        };
        self.planned.retain(|owner, _| is_chosen(owner));
        let claims = self.claims.iter().filter(|(owner, _)| is_chosen(owner));
        let claims: BTreeMap<Owner, Claim> = claims
            .map(|(owner, claim)| {
                let mut claim = claim.clone();
                if let Some(planned) = self.planned.get(owner) {
                    claim.held.clone_from(planned);
                }
                (owner.clone(), claim)
            })
            .collect();
        let start = Start::Last(self.last.0, self.last.1);
        self.planned.extend(decide(&claims, &self.prefixes, start));
        let differs = |owner: &Owner, held: &Vec<Held>| {
            self.claims
                .get(owner)
                .is_some_and(|claim| claim.held != *held)
        };
        let planned = self.planned.iter().filter(|(o, held)| differs(o, held));
        planned
            .map(|((namespace, name), held)| {
                ((namespace.to_string(), name.to_string()), fields(held))
            })
            .collect()
    }
}

fn owner((namespace, name): &Name) -> Owner {
    (namespace.as_str().into(), name.as_str().into())
}

fn fields(held: &[Held]) -> Value {
    let address = |(host, ip): &Held| json!({"value": ip.to_string(), "host": &**host});
    json!({"addresses": held.iter().map(address).collect::<Vec<_>>()})
}

/// What decides of a ServiceEntry as it is written. Other mistakes in it are no reason to take its addresses away.
fn claim(object: Seen<'_>) -> Claim {
    let texts = |field: &str| -> Vec<&str> {
        let list = object.spec[field].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    };
    let resolution = match object.spec["resolution"].as_str() {
        Some("STATIC") => Resolution::ClientSideLb,
        Some("DNS") => Resolution::Dns,
        Some("DNS_ROUND_ROBIN") => Resolution::DnsRoundRobin,
        Some("DYNAMIC_DNS") => Resolution::DynamicDns,
        Some(_) | None => Resolution::Passthrough,
    };
    let labels = object.labels.iter();
    let labels: Labels = labels.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let addresses = texts("addresses");
    let status = object.status["addresses"].as_array().into_iter().flatten();
    Claim {
        created: object.created,
        takes_part: takes_part(resolution, !addresses.is_empty(), &labels),
        hosts: texts("hosts")
            .into_iter()
            .filter(|host| host_takes_part(host, resolution))
            .map(Str::from)
            .collect(),
        written: addresses.iter().filter_map(|a| a.parse().ok()).collect(),
        held: status
            .filter_map(|held| {
                let host = held["host"].as_str().unwrap_or_default();
                Some((Str::from(host), held["value"].as_str()?.parse().ok()?))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;

//! WorkloadEntries, and the endpoints of ServiceEntries. Istio 1.31: `validateWorkloadEntry`.

use std::collections::BTreeSet;

use meltemi_api::workload_entry::WorkloadEntry;

use crate::Findings;
use crate::object::{Meta, entries};
use crate::rules::cidr::{self, UNIX_PREFIX};
use crate::rules::labels::labels;
use crate::rules::{host, port};

/// What is known of the service that a workload belongs to.
#[derive(Debug, Clone)]
pub enum Known<'a> {
    /// Nothing: the object stands for itself.
    Nothing,
    /// The names of the ports of a service whose endpoints are addresses.
    OfStatic(&'a BTreeSet<&'a str>),
}

/// A WorkloadEntry.
pub fn validate(_: &Meta<'_>, entry: &WorkloadEntry) -> Findings {
    let mut found = Findings::default();
    workload_entry(&mut found, "spec", entry, &Known::Nothing);
    found
}

/// One workload.
pub fn workload_entry(found: &mut Findings, at: &str, entry: &WorkloadEntry, known: &Known<'_>) {
    let address = &entry.address;
    let address_at = format!("{at}.address");
    if address.is_empty() {
        if entry.network.is_empty() {
            found.error(address_at, "address is required");
            return;
        }
        let message = format!("address is unset with network {:?}", entry.network);
        found.warning(&address_at, message);
    }
    let socket = address.strip_prefix(UNIX_PREFIX);
    if let Some(path) = socket {
        found.check(&address_at, cidr::unix_path(path));
        if !entry.ports.is_empty() {
            let message = format!("unix endpoint {address} must not include ports");
            found.error(format!("{at}.ports"), message);
        }
    } else if !address.is_empty() && !cidr::is_ip(address) {
        match known {
            Known::OfStatic(_) => found.error(
                address_at,
                format!("endpoint address {address:?} is not a valid IP address"),
            ),
            Known::Nothing if host::fqdn(address).is_err() => found.error(
                address_at,
                format!("endpoint address {address:?} is not a valid FQDN or an IP address"),
            ),
            Known::Nothing => {}
        }
    }
    for (at, name, number) in entries(&format!("{at}.ports"), &entry.ports) {
        if let Known::OfStatic(ports) = known
            && !ports.contains(name)
        {
            let message = format!("endpoint port {number} is not defined by the service entry");
            found.error(&at, message);
        }
        found.check(&at, port::name(name));
        found.check(at, port::port(*number));
    }
    labels(found, &format!("{at}.labels"), &entry.labels);
    if let (Some(_), Known::OfStatic(ports)) = (socket, known)
        && ports.len() != 1
    {
        found.error(at, "exactly 1 service port required for unix endpoints");
    }
}

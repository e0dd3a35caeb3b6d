//! The names that an agent answers DNS queries for. Istio 1.31: `BuildNameTable` (`pkg/dns/server/name_table.go`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_builders::name_table::{NameInput, NameTableInput};
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::{Resolution, Service};
use meltemi_model::workload::{Endpoint, Health};
use meltemi_model::{Hostname, Shared, Str};
use meltemi_world::{Scope, ScopedService};

use super::families::all_addresses;

/// Names with this ending are those of the multi-cluster services API; their short forms mean the cluster's own.
const CLUSTER_SET: &str = ".clusterset.local";

/// The table of a class; `None` where its agents do not answer DNS queries.
pub fn name_table(scope: &Scope, class: &ProxyClass) -> Option<NameTableInput> {
    if !class.facet.dns_capture {
        return None;
    }
    let mut table = Table::default();
    for row in scope.egress.iter().flat_map(|egress| &egress.services) {
        add(row, class, &mut table);
    }
    Some(NameTableInput {
        names: table.0.into_values().map(Shared::new).collect(),
    })
}

#[derive(Default)]
struct Table(BTreeMap<Hostname, NameInput>);

fn add(row: &ScopedService, class: &ProxyClass, table: &mut Table) {
    let service = &*row.service;
    let addresses = match virtual_addresses(service, class) {
        Some(addresses) => addresses,
        None if service.resolution == Resolution::Passthrough => pods(row, class, table),
        None => Vec::new(),
    };
    if addresses.is_empty() {
        return;
    }
    let host = &service.key.host;
    let short = (service.kubernetes && !host.as_str().ends_with(CLUSTER_SET))
        .then(|| (service.name.clone(), service.key.namespace.clone()));
    let found = NameInput {
        host: host.clone(),
        addresses,
        kubernetes: service.kubernetes,
        short,
    };
    match table.0.get_mut(host) {
        None => {
            table.0.insert(host.clone(), found);
        }
        Some(known) if known.kubernetes => {}
        // A ServiceEntry may describe a Kubernetes Service further; the Service's addresses count.
        Some(known) if found.kubernetes => *known = found,
        Some(known) => {
            for address in found.addresses {
                if !known.addresses.contains(&address) {
                    known.addresses.push(address);
                }
            }
        }
    }
}

/// The virtual addresses that the class uses, ranges left out; `None`: the service has none of its own.
fn virtual_addresses(service: &Service, class: &ProxyClass) -> Option<Vec<Str>> {
    let all = all_addresses(service, class);
    if all.clone().next().is_none() && service.addresses.is_empty() {
        return None;
    }
    let single = all.filter(|a| a.parse::<IpAddr>().is_ok());
    Some(single.cloned().collect())
}

/// The addresses of the pods behind a headless service, and a name for each pod that has one. A pod in another network
/// cannot be reached by its address, so it is left out.
fn pods(row: &ScopedService, class: &ProxyClass, table: &mut Table) -> Vec<Str> {
    let service = &*row.service;
    let Some(port) = service.ports.first() else {
        return Vec::new();
    };
    let answers = |e: &Endpoint| {
        e.addresses().all(|a| a.parse::<IpAddr>().is_ok())
            && (service.publish_not_ready || e.health == Health::Healthy)
            && same_or_unknown(&e.network, &class.network)
    };
    let usable = row.endpoints.port(&port.name).iter();
    let usable: Vec<&Endpoint> = usable.map(|e| &**e).filter(|e| answers(e)).collect();
    let domain = service.key.host.as_str().split_once('.').map(|(_, d)| d);
    // A pod of one name may run in two clusters: that of the proxy's own counts.
    let (own, other): (Vec<&Endpoint>, Vec<&Endpoint>) = usable
        .iter()
        .copied()
        .filter(|e| !e.hostname.is_empty())
        .partition(|e| same_or_unknown(&e.cluster, &class.cluster_id));
    let mut named: BTreeMap<Hostname, NameInput> = BTreeMap::new();
    for group in [own, other] {
        let mut found: BTreeMap<Hostname, NameInput> = BTreeMap::new();
        for endpoint in group {
            let Some(domain) = domain else { continue };
            let host = Hostname::new(&format!("{}.{domain}", endpoint.hostname));
            let short = (endpoint.hostname.clone(), service.key.namespace.clone());
            let name = found.entry(host.clone()).or_insert_with(|| NameInput {
                host,
                addresses: Vec::new(),
                kubernetes: service.kubernetes,
                short: Some(short),
            });
            name.addresses.extend(endpoint.addresses().cloned());
        }
        for (host, name) in found {
            named.entry(host).or_insert(name);
        }
    }
    table.0.extend(named);
    let addresses = usable.into_iter().flat_map(|e| e.addresses());
    addresses.cloned().collect()
}

/// Istio 1.31: `IsSameOrEmpty`: what is not known is taken to be near.
fn same_or_unknown(theirs: &str, ours: &str) -> bool {
    theirs.is_empty() || ours.is_empty() || theirs == ours
}

#[cfg(test)]
mod tests;

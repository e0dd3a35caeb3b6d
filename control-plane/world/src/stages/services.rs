//! Services of both registries in one form, oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::provider::ProviderService;
use meltemi_model::service::{
    KubeService, Resolution, Service, ServiceEntry, ServiceKey, ServicePort, TrafficDistribution,
};
use meltemi_model::workload::Namespace;
use meltemi_model::{Hostname, Shared, Str};

use crate::store::Table;

mod hashed;

/// The joined services.
#[derive(Debug, Default)]
pub struct Services {
    /// Oldest first, then by name and namespace. Istio 1.31: `SortServicesByCreationTime`.
    pub sorted: Vec<Shared<Service>>,
    /// The service that owns a host name in each namespace: the oldest, but Kubernetes before ServiceEntries.
    pub by_host: BTreeMap<Hostname, BTreeMap<Str, Shared<Service>>>,
    /// All services that declare the same host name in the same namespace, oldest first.
    by_key: BTreeMap<ServiceKey, Vec<Shared<Service>>>,
}

impl Services {
    /// All services of a key, oldest first.
    pub fn sharing(&self, key: &ServiceKey) -> &[Shared<Service>] {
        self.by_key.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The service of an extension provider: where no namespace is named, only one may have such a host.
    /// Istio 1.31: `LookupCluster`.
    pub fn of_provider(&self, wanted: &ProviderService) -> Option<&Shared<Service>> {
        let owners = self.by_host.get(&wanted.host)?;
        match &wanted.namespace {
            Some(namespace) => owners.get(namespace),
            None if owners.len() == 1 => owners.values().next(),
            None => None,
        }
    }
}

/// Joins Kubernetes Services and ServiceEntries. A namespace's annotation speaks for those of its services that say
/// nothing about near endpoints.
pub fn services(
    kube: &Table<KubeService>,
    entries: &Table<ServiceEntry>,
    namespaces: &Table<Namespace>,
    mesh: &Mesh,
) -> Services {
    let said: BTreeMap<&Str, TrafficDistribution> = namespaces
        .iter()
        .filter_map(|(key, n)| {
            Some((
                &key.name,
                TrafficDistribution::of_annotation(&n.meta.annotations)?,
            ))
        })
        .collect();
    let distribution = |namespace: &Str| said.get(namespace).copied();
    let mut all: Vec<Service> = kube
        .iter()
        .map(|(key, s)| from_kubernetes(s, distribution(&key.namespace), mesh))
        .collect();
    for (key, entry) in entries.iter() {
        let namespace = distribution(&key.namespace);
        all.extend(
            entry
                .hosts
                .iter()
                .map(|host| from_entry(entry, host, namespace)),
        );
    }
    set_aliases(&mut all);
    all.sort_by(|a, b| {
        (a.created, &a.name, &a.key.namespace, &a.object).cmp(&(
            b.created,
            &b.name,
            &b.key.namespace,
            &b.object,
        ))
    });
    if !mesh.ip_autoallocate {
        hashed::allocate(&mut all);
    }
    let sorted: Vec<Shared<Service>> = all.into_iter().map(Shared::new).collect();
    let mut by_host: BTreeMap<Hostname, BTreeMap<Str, Shared<Service>>> = BTreeMap::new();
    let mut by_key: BTreeMap<ServiceKey, Vec<Shared<Service>>> = BTreeMap::new();
    for service in &sorted {
        by_key
            .entry(service.key.clone())
            .or_default()
            .push(service.clone());
        let owners = by_host.entry(service.key.host.clone()).or_default();
        match owners.get(&service.key.namespace) {
            Some(owner) if owner.kubernetes || !service.kubernetes => {}
            _ => {
                owners.insert(service.key.namespace.clone(), service.clone());
            }
        }
    }
    Services {
        sorted,
        by_host,
        by_key,
    }
}

/// The host name of a Kubernetes Service.
pub fn kubernetes_host(name: &str, namespace: &str, domain: &str) -> Hostname {
    Hostname::new(&format!("{name}.{namespace}.svc.{domain}"))
}

fn from_kubernetes(
    s: &KubeService,
    namespace: Option<TrafficDistribution>,
    mesh: &Mesh,
) -> Service {
    let key = &s.meta.key;
    let resolution = match (&s.external_name, s.headless) {
        (Some(_), _) => Resolution::Alias,
        (None, true) => Resolution::Passthrough,
        (None, false) => Resolution::ClientSideLb,
    };
    Service {
        key: ServiceKey {
            host: kubernetes_host(&key.name, &key.namespace, &mesh.domain),
            namespace: key.namespace.clone(),
        },
        name: key.name.clone(),
        object: key.clone(),
        kubernetes: true,
        created: s.meta.created,
        labels: s.meta.labels.clone(),
        resolution,
        addresses: s.cluster_ips.clone(),
        allocated: Vec::new(),
        external_addresses: s.external_ips.clone(),
        ports: s
            .ports
            .iter()
            .filter(|p| p.protocol != Protocol::Udp)
            .map(|p| ServicePort {
                name: p.name.clone(),
                number: p.number,
                protocol: p.protocol,
            })
            .collect(),
        mesh_external: s.external_name.is_some(),
        export_to: s.export_to.clone(),
        headless: s.headless,
        subject_alt_names: s.service_accounts.clone(),
        publish_not_ready: s.publish_not_ready,
        node_local: s.internal_traffic_local,
        traffic_distribution: s.traffic_distribution.or(namespace).unwrap_or_default(),
        selector: s.selector.clone(),
        external_name: s.external_name.clone(),
        aliases: Vec::new(),
        passthrough_targets: Vec::new(),
    }
}

fn from_entry(
    entry: &ServiceEntry,
    host: &Hostname,
    namespace: Option<TrafficDistribution>,
) -> Service {
    let addresses = if entry.addresses.is_empty() {
        Vec::new()
    } else {
        entry
            .addresses
            .iter()
            .filter_map(|a| single_address(a))
            .collect()
    };
    let passthrough_targets = match entry.resolution {
        Resolution::Passthrough => entry
            .ports
            .iter()
            .filter(|p| p.target != 0)
            .map(|p| (p.number, p.target))
            .collect(),
        _ => Vec::new(),
    };
    Service {
        key: ServiceKey {
            host: host.clone(),
            namespace: entry.meta.key.namespace.clone(),
        },
        name: host.0.clone(),
        object: entry.meta.key.clone(),
        kubernetes: false,
        created: entry.meta.created,
        labels: entry.meta.labels.clone(),
        resolution: entry.resolution,
        addresses,
        allocated: entry
            .allocated
            .iter()
            .filter(|(h, _)| h == host)
            .map(|(_, a)| a.clone())
            .collect(),
        external_addresses: Vec::new(),
        ports: entry
            .ports
            .iter()
            .filter(|p| p.protocol != Protocol::Udp)
            .map(|p| ServicePort {
                name: p.name.clone(),
                number: p.number,
                protocol: p.protocol,
            })
            .collect(),
        mesh_external: !entry.mesh_internal,
        export_to: entry.export_to.clone(),
        headless: false,
        subject_alt_names: entry.subject_alt_names.clone(),
        publish_not_ready: false,
        node_local: false,
        traffic_distribution: TrafficDistribution::of_annotation(&entry.meta.annotations)
            .or(namespace)
            .unwrap_or_default(),
        selector: entry.workload_selector.clone().unwrap_or_default(),
        external_name: None,
        aliases: Vec::new(),
        passthrough_targets,
    }
}

/// An address or CIDR of a ServiceEntry; a CIDR of one address becomes the address.
fn single_address(text: &str) -> Option<Str> {
    if text.parse::<IpAddr>().is_ok() {
        return Some(text.into());
    }
    let net: IpNet = text.parse().ok()?;
    Some(if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string().into()
    } else {
        text.into()
    })
}

/// Tells each service which ExternalName services stand for it, through any number of steps. Loops stand for nothing.
fn set_aliases(all: &mut [Service]) {
    let direct: BTreeMap<Hostname, Hostname> = all
        .iter()
        .filter(|s| s.resolution == Resolution::Alias)
        .filter_map(|s| Some((s.key.host.clone(), s.external_name.clone()?)))
        .collect();
    let mut aliases: BTreeMap<Hostname, BTreeSet<(Str, Hostname)>> = BTreeMap::new();
    for service in all.iter().filter(|s| s.resolution == Resolution::Alias) {
        let mut target = service.external_name.clone();
        let mut seen = BTreeSet::from([service.key.host.clone()]);
        while let Some(next) = target.as_ref().and_then(|t| direct.get(t)) {
            if !seen.insert(next.clone()) {
                target = None;
                break;
            }
            target = Some(next.clone());
        }
        if let Some(concrete) = target {
            aliases
                .entry(concrete)
                .or_default()
                .insert((service.key.namespace.clone(), service.key.host.clone()));
        }
    }
    for service in all.iter_mut() {
        if let Some(found) = aliases.get(&service.key.host) {
            service.aliases = found
                .iter()
                .map(|(namespace, host)| ServiceKey {
                    host: host.clone(),
                    namespace: namespace.clone(),
                })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests;

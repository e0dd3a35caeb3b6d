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

/// The joined services. Services are told by their places in `sorted`; what other stages find for each of them lies in
/// lists of the same order.
#[derive(Debug, Default)]
pub struct Services {
    /// Oldest first, then by name and namespace. Istio 1.31: `SortServicesByCreationTime`.
    pub sorted: Vec<Shared<Service>>,
    /// In the same order, the objects that declare them.
    objects: Vec<Declared>,
    /// Places by host, namespace, then age.
    by_key: Vec<usize>,
    /// Where the services of each key begin in `by_key`, and at the end the length of that.
    keys: Vec<usize>,
    /// For each place, the number of its host: services of one host have one number, and numbers rise with hosts.
    hosts: Vec<usize>,
    /// For each number of a host, where its services begin in `by_key`, and at the end the length of that.
    starts: Vec<usize>,
    /// Whether any service stands for near endpoints of the caller's own node.
    pub by_node: bool,
}

/// The object that declares a service.
#[derive(Debug, Clone)]
pub(crate) enum Declared {
    Kube(Shared<KubeService>),
    Entry(Shared<ServiceEntry>),
}

impl Services {
    fn new(sorted: Vec<Shared<Service>>, objects: Vec<Declared>) -> Self {
        let mut by_key: Vec<usize> = (0..sorted.len()).collect();
        by_key.sort_by(|a, b| sorted[*a].key.cmp(&sorted[*b].key));
        let mut hosts = vec![0; sorted.len()];
        let mut keys = Vec::with_capacity(sorted.len() + 1);
        let mut starts = Vec::with_capacity(sorted.len() + 1);
        let mut last: Option<&ServiceKey> = None;
        for (rank, at) in by_key.iter().enumerate() {
            let key = &sorted[*at].key;
            let same_host = last.is_some_and(|last| last.host == key.host);
            if !same_host {
                starts.push(rank);
            }
            if !same_host || last.is_some_and(|last| last.namespace != key.namespace) {
                keys.push(rank);
            }
            last = Some(key);
            hosts[*at] = starts.len() - 1;
        }
        starts.push(by_key.len());
        keys.push(by_key.len());
        let near = |s: &Service| {
            s.node_local || s.traffic_distribution == TrafficDistribution::PreferSameNode
        };
        let by_node = sorted.iter().any(|s| near(s));
        Self {
            sorted,
            objects,
            by_key,
            keys,
            hosts,
            starts,
            by_node,
        }
    }

    /// The object that declares the service at a place.
    pub(crate) fn object(&self, place: usize) -> &Declared {
        &self.objects[place]
    }

    /// The places of the services of a host, by namespace, then age.
    fn places_of(&self, host: &Hostname) -> &[usize] {
        let of = |number: &usize| {
            let at = self.by_key.get(*number);
            at.map(|at| &self.sorted[*at].key.host)
        };
        // The last start is behind all services.
        let number = self
            .starts
            .partition_point(|start| of(start).is_some_and(|other| other < host));
        match self.starts.get(number).and_then(of) {
            Some(found) if found == host => self.of_number(number),
            _ => &[],
        }
    }

    fn of_number(&self, number: usize) -> &[usize] {
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => &self.by_key[start..end],
            _ => &[],
        }
    }

    fn in_namespace<'a>(&'a self, all: &'a [usize], namespace: &str) -> &'a [usize] {
        let of = |at: &usize| &*self.sorted[*at].key.namespace;
        let start = all.partition_point(|at| of(at) < namespace);
        let rest = &all[start..];
        &rest[..rest.partition_point(|at| of(at) == namespace)]
    }

    /// The places of all services of a key, oldest first.
    pub fn sharing(&self, key: &ServiceKey) -> &[usize] {
        self.in_namespace(self.places_of(&key.host), &key.namespace)
    }

    /// The places of the services of each key, by key; of each oldest first.
    pub fn by_key(&self) -> impl Iterator<Item = &[usize]> {
        self.keys.windows(2).filter_map(|range| match range {
            &[start, end] => self.by_key.get(start..end),
            _ => None,
        })
    }

    /// Whether several services declare the host of the service at a place.
    pub fn is_contested(&self, at: usize) -> bool {
        let number = self.hosts.get(at);
        number.is_some_and(|number| self.of_number(*number).len() > 1)
    }

    /// The number of hosts.
    pub(crate) fn host_count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The number of the host of the service at a place: hosts have rising numbers from 0 on.
    pub(crate) fn host_number(&self, at: usize) -> usize {
        self.hosts[at]
    }

    /// The place of the service that owns a host name in a namespace: the oldest, but Kubernetes before ServiceEntries.
    pub(crate) fn owner_place(&self, host: &Hostname, namespace: &str) -> Option<usize> {
        self.first(self.in_namespace(self.places_of(host), namespace))
    }

    /// The same, the service.
    pub fn owner(&self, host: &Hostname, namespace: &str) -> Option<&Shared<Service>> {
        self.owner_place(host, namespace).map(|at| &self.sorted[at])
    }

    fn first(&self, sharing: &[usize]) -> Option<usize> {
        let kubernetes = sharing.iter().find(|at| self.sorted[**at].kubernetes);
        kubernetes.or(sharing.first()).copied()
    }

    /// The places of the services that own a host name, one for each namespace, by namespace.
    pub(crate) fn owner_places(&self, host: &Hostname) -> impl Iterator<Item = usize> {
        let same =
            |a: &usize, b: &usize| self.sorted[*a].key.namespace == self.sorted[*b].key.namespace;
        let namespaces = self.places_of(host).chunk_by(same);
        namespaces.filter_map(|sharing| self.first(sharing))
    }

    /// The same, the services.
    pub fn owners(&self, host: &Hostname) -> impl Iterator<Item = &Shared<Service>> {
        self.owner_places(host).map(|at| &self.sorted[at])
    }

    /// The service of an extension provider: where no namespace is named, only one may have such a host.
    /// Istio 1.31: `LookupCluster`.
    pub fn of_provider(&self, wanted: &ProviderService) -> Option<&Shared<Service>> {
        if let Some(namespace) = &wanted.namespace {
            return self.owner(&wanted.host, namespace);
        }
        let mut owners = self.owners(&wanted.host);
        owners.next().filter(|_| owners.next().is_none())
    }
}

/// The services of one object, and what else they are made of.
struct Converted {
    /// What the namespace says of near endpoints.
    namespace: Option<TrafficDistribution>,
    /// The DNS suffix of the cluster.
    domain: Str,
    services: Vec<Shared<Service>>,
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
    let distribution = |namespace: &Str| match said.is_empty() {
        true => None,
        false => said.get(namespace).copied(),
    };
    let fits =
        |made: &Converted, namespace| made.namespace == namespace && made.domain == mesh.domain;
    let converted = |namespace, services| Converted {
        namespace,
        domain: mesh.domain.clone(),
        services,
    };
    let mut all: Vec<(Shared<Service>, Declared)> = Vec::with_capacity(kube.len() + entries.len());
    for (key, service) in kube.iter() {
        let namespace = distribution(&key.namespace);
        let make = |s: &Shared<KubeService>| {
            converted(
                namespace,
                vec![Shared::new(from_kubernetes(s, namespace, mesh))],
            )
        };
        let made = service.made(|made| fits(made, namespace), make);
        let services = made.services.iter().cloned();
        all.extend(services.map(|s| (s, Declared::Kube(service.clone()))));
    }
    for (key, entry) in entries.iter() {
        let namespace = distribution(&key.namespace);
        let make = |entry: &Shared<ServiceEntry>| {
            let hosts = entry.hosts.iter();
            let services = hosts.map(|host| Shared::new(from_entry(entry, host, namespace)));
            converted(namespace, services.collect())
        };
        let made = entry.made(|made| fits(made, namespace), make);
        let services = made.services.iter().cloned();
        all.extend(services.map(|s| (s, Declared::Entry(entry.clone()))));
    }
    all.sort_by(|(a, _), (b, _)| {
        let order = |s: &Shared<Service>| s.created;
        let names =
            || (&a.name, &a.key.namespace, &a.object).cmp(&(&b.name, &b.key.namespace, &b.object));
        order(a).cmp(&order(b)).then_with(names)
    });
    let (mut sorted, objects): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    set_aliases(&mut sorted);
    if !mesh.ip_autoallocate {
        hashed::allocate(&mut sorted);
    }
    Services::new(sorted, objects)
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
fn set_aliases(all: &mut [Shared<Service>]) {
    let names = |s: &&Shared<Service>| s.resolution == Resolution::Alias;
    let direct: BTreeMap<&Hostname, &Hostname> = all
        .iter()
        .filter(names)
        .filter_map(|s| Some((&s.key.host, s.external_name.as_ref()?)))
        .collect();
    if direct.is_empty() {
        return;
    }
    let mut aliases: BTreeMap<Hostname, BTreeSet<(Str, Hostname)>> = BTreeMap::new();
    for service in all.iter().filter(names) {
        let mut target = service.external_name.as_ref();
        let mut seen = vec![&service.key.host];
        while let Some(next) = target.and_then(|t| direct.get(t)) {
            if seen.contains(next) {
                target = None;
                break;
            }
            seen.push(next);
            target = Some(next);
        }
        if let Some(concrete) = target {
            aliases
                .entry(concrete.clone())
                .or_default()
                .insert((service.key.namespace.clone(), service.key.host.clone()));
        }
    }
    for service in all {
        let Some(found) = aliases.get(&service.key.host) else {
            continue;
        };
        let found = found.iter().map(|(namespace, host)| ServiceKey {
            host: host.clone(),
            namespace: namespace.clone(),
        });
        let found: Vec<ServiceKey> = found.collect();
        *service = with(
            service,
            |s| s.aliases == found,
            |s| s.aliases.clone_from(&found),
        );
    }
}

/// A service with more than its object says, kept beside the row that its object alone comes to.
fn with(
    service: &Shared<Service>,
    has: impl Fn(&Service) -> bool,
    set: impl FnOnce(&mut Service),
) -> Shared<Service> {
    if has(service) {
        return service.clone();
    }
    let make = |service: &Shared<Service>| {
        let mut more = (**service).clone();
        set(&mut more);
        Shared::new(more)
    };
    let made = service.made(|made: &Shared<Service>| has(made), make);
    Shared::clone(&made)
}

#[cfg(test)]
mod tests;

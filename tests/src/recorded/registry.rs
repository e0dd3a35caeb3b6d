//! The in-memory registry of istiod's tests as rows of the model.
//!
//! A row of a ServiceEntry can say all that such a registry says, also what no user could write in one (host names with
//! blanks, a namespace that is empty), since only lowering refuses that.

use std::collections::BTreeMap;

use meltemi_model::port::Protocol;
use meltemi_model::proxy::Proxy;
use meltemi_model::service::{ExportTo, Resolution, ServiceEntry, ServiceEntryPort};
use meltemi_model::workload::{ServiceInstance, WorkloadEntrySpec};
use meltemi_model::{Hostname, Kind, Labels, Locality, Meta, Object, ObjectKey, Shared, Str};
use meltemi_world::World;

use super::case::{Case, Instance, RegistryService};

/// A row for each service of the registry.
pub(super) fn rows(case: &Case) -> Vec<Object> {
    let row = |service| Object::ServiceEntry(Shared::new(entry(case, service)));
    case.services.iter().map(row).collect()
}

/// Whether a case's registry has this host name.
pub(super) fn holds(case: &Case, host: &str) -> bool {
    case.services.iter().any(|service| service.hostname == host)
}

fn entry(case: &Case, service: &RegistryService) -> ServiceEntry {
    let namespace = service.attributes.namespace.as_str();
    let labels = service.attributes.labels.iter();
    let none = ["", "0.0.0.0", "::"].contains(&service.default_address.as_str());
    let endpoints: Vec<WorkloadEntrySpec> = case
        .instances
        .iter()
        .filter(|instance| is_of(instance, service))
        .fold(BTreeMap::new(), gather)
        .into_values()
        .collect();
    ServiceEntry {
        meta: Meta {
            key: ObjectKey::new(Kind::ServiceEntry, namespace, service.hostname.as_str()),
            labels: labels.map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            annotations: Labels::default(),
            created: i64::MAX,
        },
        hosts: vec![Hostname::new(&service.hostname)],
        addresses: if none {
            Vec::new()
        } else {
            vec![service.default_address.as_str().into()]
        },
        allocated: Vec::new(),
        ports: service
            .ports
            .iter()
            .map(|port| ServiceEntryPort {
                name: port.name.as_str().into(),
                number: port.port,
                target: 0,
                protocol: Protocol::parse(&port.protocol),
            })
            .collect(),
        mesh_internal: !service.mesh_external,
        resolution: match service.resolution.as_str() {
            "DNS" => Resolution::Dns,
            "DNSRoundRobin" => Resolution::DnsRoundRobin,
            "Passthrough" => Resolution::Passthrough,
            _ => Resolution::ClientSideLb,
        },
        endpoints,
        workload_selector: None,
        export_to: ExportTo::Default,
        subject_alt_names: Vec::new(),
    }
}

fn is_of(instance: &Instance, service: &RegistryService) -> bool {
    let namespace = &instance.service_namespace;
    instance.service == service.hostname
        && (namespace.is_empty() || *namespace == service.attributes.namespace)
}

/// Instances that differ in nothing but their port are one endpoint with several ports.
type Endpoints = BTreeMap<(usize, String), WorkloadEntrySpec>;

fn gather(mut all: Endpoints, instance: &Instance) -> Endpoints {
    let endpoint = &instance.endpoint;
    let mut labels: Labels = endpoint
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    if endpoint.tls_mode == "istio" {
        labels
            .0
            .insert("security.istio.io/tlsMode".into(), "istio".into());
    }
    let port = (
        Str::from(instance.service_port.name.as_str()),
        endpoint.port,
    );
    for address in &endpoint.addresses {
        let spec = WorkloadEntrySpec {
            address: address.as_str().into(),
            ports: vec![port.clone()],
            labels: labels.clone(),
            network: endpoint.network.as_str().into(),
            locality: Locality::parse(&endpoint.locality.label),
            weight: endpoint.lb_weight,
            service_account: endpoint.service_account.as_str().into(),
        };
        let other = all.values_mut().find(|other| {
            let same = WorkloadEntrySpec {
                ports: other.ports.clone(),
                ..spec.clone()
            };
            **other == same && other.ports.iter().all(|(name, _)| *name != port.0)
        });
        match other {
            Some(other) => other.ports.push(port.clone()),
            None => {
                all.insert((all.len(), address.clone()), spec);
            }
        }
    }
    all
}

/// The ports at which the registry says that the proxy serves: those of endpoints with one of its addresses, whatever
/// their namespace. Istio 1.31: `ServiceDiscovery.GetProxyServiceTargets` of the in-memory registry.
pub(super) fn instances(case: &Case, world: &World, proxy: &Proxy) -> Vec<ServiceInstance> {
    let mine = |instance: &&Instance| {
        let addresses = &instance.endpoint.addresses;
        addresses
            .iter()
            .any(|a| a.parse().is_ok_and(|ip| proxy.ips.contains(&ip)))
    };
    let mut found: Vec<ServiceInstance> = Vec::new();
    for instance in case.instances.iter().filter(mine) {
        let host = Hostname::new(&instance.service);
        let owners = world.services.by_host.get(&host);
        let service = owners.and_then(|owners| {
            let own = owners.get(instance.service_namespace.as_str());
            own.or_else(|| owners.values().next())
        });
        let Some(service) = service else { continue };
        let target = ServiceInstance {
            service: service.clone(),
            port: instance.service_port.port,
            target: instance.endpoint.port,
        };
        if !found.contains(&target) {
            found.push(target);
        }
    }
    found
}

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

/// A row for each service of the registry. Where Envoy resolves names, endpoints stand in the cluster, so that each port
/// has a row of its own: an endpoint of a row serves all of its ports, one of a registry need not.
pub(super) fn rows(case: &Case) -> Vec<Object> {
    let mut rows = Vec::new();
    for service in &case.services {
        if service.resolution.starts_with("DNS") {
            for port in &service.ports {
                let alone = RegistryService {
                    ports: vec![port.clone()],
                    ..service.clone()
                };
                rows.push(entry(case, &alone));
            }
        } else {
            rows.push(entry(case, service));
        }
    }
    rows.into_iter()
        .map(|row| Object::ServiceEntry(Shared::new(row)))
        .collect()
}

/// Whether a case's registry has this host name.
pub(super) fn holds(case: &Case, host: &str) -> bool {
    case.services.iter().any(|service| service.hostname == host)
}

fn entry(case: &Case, service: &RegistryService) -> ServiceEntry {
    let namespace = service.attributes.namespace.as_str();
    let labels = service.attributes.labels.iter();
    let ports: Vec<String> = service.ports.iter().map(|p| p.port.to_string()).collect();
    let name = format!("{}-{}", service.hostname, ports.join("-"));
    let none = ["", "0.0.0.0", "::"].contains(&service.default_address.as_str());
    let endpoints: Vec<WorkloadEntrySpec> = case
        .instances
        .iter()
        .filter(|instance| is_of(instance, service))
        .fold(BTreeMap::new(), |all, instance| {
            gather(all, instance, service)
        })
        .into_values()
        .collect();
    ServiceEntry {
        meta: Meta {
            key: ObjectKey::new(Kind::ServiceEntry, namespace, name),
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
        // Without endpoints, a ServiceEntry of this kind would have its own host resolved; one of a registry has none.
        workload_selector: (endpoints.is_empty() && service.resolution.starts_with("DNS"))
            .then(|| [("selects", "nothing")].into_iter().collect()),
        endpoints,
        export_to: ExportTo::Default,
        subject_alt_names: Vec::new(),
    }
}

fn is_of(instance: &Instance, service: &RegistryService) -> bool {
    let namespace = &instance.service_namespace;
    let mut ports = service.ports.iter();
    instance.service == service.hostname
        && ports.any(|port| port.port == instance.service_port.port)
        && (namespace.is_empty() || *namespace == service.attributes.namespace)
}

/// Instances that differ in nothing but their port are one endpoint with several ports.
type Endpoints = BTreeMap<(usize, String), WorkloadEntrySpec>;

fn gather(mut all: Endpoints, instance: &Instance, service: &RegistryService) -> Endpoints {
    let endpoint = &instance.endpoint;
    let mut labels: Labels = endpoint
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    // Where a mode is not said, only clients of pass-through services care whether it says that there is no TLS.
    let unsaid = endpoint.tls_mode.is_empty() && service.resolution == "Passthrough";
    if endpoint.tls_mode == "istio" || unsaid {
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
        let namespace = instance.service_namespace.as_str();
        let port = instance.service_port.port;
        let mut services = world.services.sorted.iter().filter(|service| {
            service.key.host == host
                && service.port(port).is_some()
                && (namespace.is_empty() || *service.key.namespace == *namespace)
        });
        let Some(service) = services.next() else {
            continue;
        };
        let target = ServiceInstance {
            service: service.clone(),
            port,
            target: instance.endpoint.port,
        };
        if !found.contains(&target) {
            found.push(target);
        }
    }
    // Oldest first, as the class has them; registries in memory tell no ages.
    found.sort_by(|a, b| a.service.key.host.cmp(&b.service.key.host));
    found
}

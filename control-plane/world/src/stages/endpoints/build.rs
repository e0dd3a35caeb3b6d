//! How endpoints are made of their sources.

use super::sources::{PodPlace, Source, Sources};
use super::*;
use crate::stages::workloads::augment;
use meltemi_model::ids::empty;
use meltemi_model::security::MtlsMode;
use meltemi_model::workload::{Endpoint, Health, SliceEndpoint, WorkloadEntrySpec, resolve_target};
use meltemi_model::{Kind, Labels, ObjectKey};
use std::net::IpAddr;

pub(super) fn build(
    service: &Service,
    sources: &Sources<'_>,
    inputs: Inputs,
    tables: &Tables<'_>,
) -> Row {
    let mut found: BTreeMap<Str, Vec<Endpoint>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let disabling = tables.peers.disabling(&service.key.namespace).is_some();
    let mut add = |port: &Str, mut endpoint: Endpoint| {
        // The same address may stand in two slices while it moves from one to the other. Istio 1.31: `endpointKey`: by
        // address and port name, whatever the number.
        if !service.kubernetes || seen.insert((port.clone(), endpoint.address.clone())) {
            endpoint.mtls_disabled =
                disabling && endpoint.mtls && mtls_disabled(tables.peers, &endpoint);
            found.entry(port.clone()).or_default().push(endpoint);
        }
    };
    let pod = |at: usize| sources.pods.get(at).and_then(Option::as_ref);
    for source in &sources.all {
        match *source {
            Source::Slice(slice, first) => {
                let pods = &sources.pods[first..first + slice.endpoints.len()];
                from_slice(slice, pods, service, tables, &mut add);
            }
            Source::Pod(kube, at) => {
                if let Some(place) = pod(at) {
                    from_selected_pod(kube, place, service, tables, &mut add);
                }
            }
            Source::KubeEntry(_, entry) if !is_addressed(&entry.spec) => {}
            Source::KubeEntry(kube, entry) => {
                for port in &kube.ports {
                    let target = match &port.target {
                        meltemi_model::service::TargetPort::Number(n) => Some(*n),
                        meltemi_model::service::TargetPort::Name(n) => port_named(&entry.spec, n),
                    };
                    let target = port_named(&entry.spec, &port.name)
                        .or(target)
                        .unwrap_or(port.number);
                    let mut endpoint = from_workload(&entry.spec, &entry.meta.key, tables);
                    endpoint.port = target;
                    add(&port.name, endpoint);
                }
            }
            Source::Inline(entry) => from_inline(service, entry, tables, &mut add),
            Source::EntryPod(entry, at) => {
                let Some(place) = pod(at) else { continue };
                let mut base = from_pod(place, tables);
                if tables.mesh.dual_stack {
                    set_addresses(&mut base, place.pod);
                }
                for port in &entry.ports {
                    add(
                        &port.name,
                        Endpoint {
                            port: port.listens_at(),
                            health: Health::Healthy,
                            ..base.clone()
                        },
                    );
                }
            }
            Source::EntryWorkload(entry, workload)
                if !is_resolved(entry) && !is_addressed(&workload.spec) => {}
            Source::EntryWorkload(entry, workload) => {
                let base = from_workload(&workload.spec, &workload.meta.key, tables);
                for port in &entry.ports {
                    add(
                        &port.name,
                        at_entry_port(&base, &workload.spec, &port.name, port.number, port.target),
                    );
                }
            }
        }
    }
    let identities = identities(service, &found);
    let all = found.values().flatten();
    let mut addresses: Vec<Str> = all.map(|endpoint| endpoint.address.clone()).collect();
    addresses.sort();
    addresses.dedup();
    let ports = found
        .into_iter()
        .map(|(name, list)| (name, list.into_iter().map(Shared::new).collect()))
        .collect();
    Row {
        inputs,
        set: Shared::new(EndpointSet { ports }),
        identities: Shared::new(identities),
        addresses,
    }
}

/// Istio 1.31: `checkMtlsEnabled`.
fn mtls_disabled(peers: &PeerAuthentications, endpoint: &Endpoint) -> bool {
    let mode = peers.port(&endpoint.namespace, &endpoint.labels, endpoint.port);
    mode == MtlsMode::Disable
}

fn identities(service: &Service, found: &BTreeMap<Str, Vec<Endpoint>>) -> Vec<(Str, Vec<Str>)> {
    // Istio keeps one set of accounts per service, so a client of one port also accepts the accounts of another.
    let mut all: BTreeSet<Str> = service.subject_alt_names.iter().cloned().collect();
    for list in found.values() {
        all.extend(
            list.iter()
                .map(|e| e.identity.clone())
                .filter(|i| !i.is_empty()),
        );
    }
    let all: Vec<Str> = all.into_iter().collect();
    service
        .ports
        .iter()
        .map(|p| (p.name.clone(), all.clone()))
        .collect()
}

fn from_slice(
    slice: &EndpointSlice,
    pods: &[Option<PodPlace<'_>>],
    service: &Service,
    tables: &Tables<'_>,
    add: &mut impl FnMut(&Str, Endpoint),
) {
    for (endpoint, place) in slice.endpoints.iter().zip(pods) {
        if endpoint.pod.is_some() && place.is_none() {
            continue; // The pod was not read yet; its labels decide what is sent.
        }
        let base = match place {
            Some(place) => from_pod(place, tables),
            None => unknown(tables),
        };
        let health = slice_health(endpoint, service);
        // Of a pod whose addresses are one endpoint, the slice of the other family says nothing new.
        let pod = place.as_ref().map(|place| &**place.pod);
        let pod = pod.filter(|pod| endpoint.pod.is_some() && is_dual(pod, service, tables.mesh));
        for address in &endpoint.addresses {
            if pod.is_some() && address.contains(':') {
                continue;
            }
            // What is known of the pod is known of its first address.
            let network = match *address == base.address {
                true => base.network.clone(),
                false => tables.places.of(address, &base.labels),
            };
            for port in slice.ports.iter().filter(|p| p.tcp) {
                let mut found = Endpoint {
                    address: address.clone(),
                    port: port.number,
                    health,
                    network: network.clone(),
                    ..base.clone()
                };
                if let Some(pod) = pod {
                    set_addresses(&mut found, pod);
                }
                add(&port.name, found);
            }
        }
    }
}

/// Whether the pods of a Service are reached at their addresses of both families, by one endpoint each: with
/// ISTIO_DUAL_STACK, where both the Service and the pod have several. Istio 1.31: `updateEndpointCacheForSlice`.
fn is_dual(pod: &Pod, service: &Service, mesh: &Mesh) -> bool {
    mesh.dual_stack && service.kubernetes && service.addresses.len() > 1 && pod.ips.len() > 1
}

fn set_addresses(endpoint: &mut Endpoint, pod: &Pod) {
    let mut all = pod.ips.iter().map(|ip| Str::from(ip.to_string()));
    if let Some(first) = all.next() {
        endpoint.address = first;
        endpoint.more_addresses = all.collect();
    }
}

/// Istio 1.31: `endpointHealthStatus`. Draining endpoints matter only to services with persistent sessions.
fn slice_health(endpoint: &SliceEndpoint, service: &Service) -> Health {
    if endpoint.ready || service.publish_not_ready {
        Health::Healthy
    } else if endpoint.terminating {
        Health::Terminating
    } else {
        Health::Unhealthy
    }
}

fn from_selected_pod(
    kube: &KubeService,
    place: &PodPlace<'_>,
    service: &Service,
    tables: &Tables<'_>,
    add: &mut impl FnMut(&Str, Endpoint),
) {
    let pod = place.pod;
    let health = match (pod.ready || kube.publish_not_ready, pod.terminating) {
        (_, true) if !kube.publish_not_ready => Health::Terminating,
        (true, _) => Health::Healthy,
        (false, _) => Health::Unhealthy,
    };
    let mut base = from_pod(place, tables);
    if is_dual(pod, service, tables.mesh) {
        set_addresses(&mut base, pod);
    }
    for port in kube
        .ports
        .iter()
        .filter(|p| p.protocol != meltemi_model::port::Protocol::Udp)
    {
        if let Some(target) = resolve_target(&port.target, &pod.ports) {
            add(
                &port.name,
                Endpoint {
                    port: target,
                    health,
                    ..base.clone()
                },
            );
        }
    }
}

fn from_pod(place: &PodPlace<'_>, tables: &Tables<'_>) -> Endpoint {
    let pod = place.pod;
    let labels = &pod.meta.labels;
    let address: Str = match pod.ips.first() {
        Some(ip) => ip.to_string().into(),
        None => empty(),
    };
    let network = tables.places.of(&address, labels);
    let namespace = pod.meta.key.namespace.clone();
    let hostname = match (&*pod.subdomain, &*pod.hostname) {
        ("", _) => empty(),
        (subdomain, "") => format!("{}.{subdomain}", pod.meta.key.name).into(),
        (subdomain, hostname) => format!("{hostname}.{subdomain}").into(),
    };
    Endpoint {
        address,
        more_addresses: Vec::new(),
        port: 0,
        labels: augment(
            labels,
            &tables.mesh.cluster_id,
            &place.locality,
            &pod.node,
            &network,
        ),
        identity: spiffe(tables, &namespace, &pod.service_account),
        network,
        cluster: tables.mesh.cluster_id.clone(),
        locality: place.locality.clone(),
        weight: 1,
        mtls: labels
            .get("security.istio.io/tlsMode")
            .is_some_and(|m| &**m == "istio"),
        mtls_disabled: false,
        workload: pod.workload.clone(),
        namespace,
        health: Health::Healthy,
        hostname,
        node: pod.node.clone(),
    }
}

/// An endpoint of which nothing but its address is known.
fn unknown(tables: &Tables<'_>) -> Endpoint {
    let network = tables.places.of("", &Labels::default());
    Endpoint {
        labels: augment(
            &Labels::default(),
            &tables.mesh.cluster_id,
            &Locality::default(),
            &empty(),
            &network,
        ),
        cluster: tables.mesh.cluster_id.clone(),
        ..Endpoint::at(empty(), 0)
    }
}

fn spiffe(tables: &Tables<'_>, namespace: &str, account: &str) -> Str {
    let account = if account.is_empty() {
        "default"
    } else {
        account
    };
    format!(
        "spiffe://{}/ns/{namespace}/sa/{account}",
        tables.mesh.trust_domain.replace('@', ".")
    )
    .into()
}

fn from_inline(
    service: &Service,
    entry: &ServiceEntry,
    tables: &Tables<'_>,
    add: &mut impl FnMut(&Str, Endpoint),
) {
    let key = &entry.meta.key;
    if entry.endpoints.is_empty() && is_resolved(entry) {
        // The host itself is resolved.
        let base = Endpoint {
            address: service.key.host.0.clone(),
            labels: Labels::default(),
            namespace: key.namespace.clone(),
            workload: key.name.clone(),
            ..unknown(tables)
        };
        for port in &entry.ports {
            add(
                &port.name,
                Endpoint {
                    port: port.listens_at(),
                    ..base.clone()
                },
            );
        }
    }
    for (index, spec) in entry.endpoints.iter().enumerate() {
        let name = format!("{}-{index}", key.name);
        let base = from_workload(
            spec,
            &ObjectKey::new(Kind::WorkloadEntry, key.namespace.clone(), name),
            tables,
        );
        for port in &entry.ports {
            add(
                &port.name,
                at_entry_port(&base, spec, &port.name, port.number, port.target),
            );
        }
    }
}

fn port_named(spec: &WorkloadEntrySpec, name: &str) -> Option<u16> {
    spec.ports
        .iter()
        .find(|(n, p)| &**n == name && *p > 0)
        .map(|(_, p)| *p)
}

/// Istio 1.31: a socket has no port; else the entry's own port, the target port, the service port, in this order.
fn at_entry_port(
    base: &Endpoint,
    spec: &WorkloadEntrySpec,
    name: &str,
    number: u16,
    target: u16,
) -> Endpoint {
    let mut endpoint = base.clone();
    if let Some(path) = spec.address.strip_prefix("unix://") {
        endpoint.address = path.into();
        endpoint.port = 0;
    } else {
        endpoint.port = port_named(spec, name).unwrap_or(if target > 0 { target } else { number });
    }
    endpoint
}

fn from_workload(spec: &WorkloadEntrySpec, key: &ObjectKey, tables: &Tables<'_>) -> Endpoint {
    let labels = &spec.labels;
    let locality = match labels
        .get("topology.istio.io/locality")
        .or(labels.get("istio-locality"))
    {
        Some(label) if spec.locality.is_empty() && label.contains('/') => Locality::parse(label),
        Some(label) if spec.locality.is_empty() => Locality::parse(&label.replace('.', "/")),
        _ => spec.locality.clone(),
    };
    // Istio 1.31: what only a label, the namespace or MeshNetworks say becomes a label, not the endpoint's network.
    let network = match spec.network.is_empty() {
        true => tables.places.of(&spec.address, labels),
        false => spec.network.clone(),
    };
    // Istio 1.31: a workload entry with a service account is taken to have a sidecar, unless its label says otherwise.
    let mtls = match labels.get("security.istio.io/tlsMode") {
        Some(mode) => &**mode == "istio",
        None => !spec.service_account.is_empty(),
    };
    Endpoint {
        address: spec.address.clone(),
        labels: augment(
            labels,
            &tables.mesh.cluster_id,
            &locality,
            &empty(),
            &network,
        ),
        identity: if spec.service_account.is_empty() {
            empty()
        } else {
            spiffe(tables, &key.namespace, &spec.service_account)
        },
        network: spec.network.clone(),
        locality,
        weight: spec.weight.max(1),
        mtls,
        workload: key.name.clone(),
        namespace: key.namespace.clone(),
        ..unknown(tables)
    }
}

/// Whether Envoy resolves the names of endpoints.
fn is_resolved(entry: &ServiceEntry) -> bool {
    matches!(
        entry.resolution,
        Resolution::Dns | Resolution::DnsRoundRobin
    )
}

/// An entry in another network may have no address: the network's gateway knows the way.
fn is_addressed(spec: &WorkloadEntrySpec) -> bool {
    spec.address.is_empty() || spec.address.parse::<IpAddr>().is_ok()
}

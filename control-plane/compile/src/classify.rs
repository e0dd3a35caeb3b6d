//! Which class a proxy belongs to: what the world knows of its workload, and the metadata that shapes output.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meltemi_model::envoy_filter::ProxyCondition;
use meltemi_model::gateway::Gateway;
use meltemi_model::ids::empty;
use meltemi_model::mesh::{Mesh, ProxyConfig};
use meltemi_model::proxy::{
    ClientFiles, InterceptionMode, IpMode, MetaFacet, NodeMeta, Proxy, ProxyClass, ProxyKind,
};
use meltemi_model::service::{KubeService, Service, ServiceKey};
use meltemi_model::workload::{Pod, ServiceInstance, resolve_target};
use meltemi_model::{Hostname, Labels, Locality, Shared, Str};
use meltemi_world::World;
use meltemi_world::stages::services::kubernetes_host;
use meltemi_world::stages::workloads::augment;

/// A Service with this label does not translate Gateway ports to its target ports. Istio 1.31:
/// `DisableGatewayPortTranslationLabel`.
const NO_TRANSLATION: &str = "experimental.istio.io/disable-gateway-port-translation";

/// The class of a proxy in a world. Cheap: it is asked for every proxy at every revision. `own_config` is what the proxy sent as
/// PROXY_CONFIG: an agent sends the mesh's settings and its own already merged, so its word replaces the mesh's.
pub fn classify(world: &World, proxy: &Proxy, own_config: Option<&ProxyConfig>) -> ProxyClass {
    let mesh = &world.mesh;
    let config = own_config.unwrap_or(&mesh.default_config);
    let pod = pod_of(world, proxy);
    let cluster = if proxy.meta.cluster_id.is_empty() {
        &mesh.cluster_id
    } else {
        &proxy.meta.cluster_id
    };
    let own = pod.map_or_else(|| proxy.meta.labels.clone(), |p| p.meta.labels.clone());
    let locality = locality(world, proxy, pod, &own);
    let node = pod.map_or_else(|| proxy.meta.node_name.clone(), |p| p.node.clone());
    // The node is left out: it would make every pod a class of its own. Where it matters it is in `node`.
    let labels = augment(&own, cluster, &locality, &empty(), &proxy.meta.network);
    let instances = instances(world, proxy, pod, &labels);
    let headless = instances.iter().any(|i| i.service.headless);
    let interception = interception(proxy, config);
    let unredirected = interception == InterceptionMode::None;
    // Ingress listeners of a Sidecar bind and forward to the workload's own address.
    let sidecar = world.sidecar_for(&proxy.namespace, &labels);
    let binds = sidecar.is_some_and(|s| !s.ingress.is_empty());
    let gateway_ports = gateway_ports(&instances);
    let router = proxy.kind == ProxyKind::Router;
    let ip_mode = ip_mode(&proxy.ips);
    let facet = facet(proxy, &own, mesh);
    let network = if world.networks.unresolved.is_empty() && !facet.dns_capture {
        empty()
    } else {
        proxy.meta.network.clone()
    };
    ProxyClass {
        kind: proxy.kind,
        namespace: proxy.namespace.clone(),
        dns_domain: proxy.dns_domain.clone(),
        facet,
        locality,
        network,
        network_view: proxy.meta.network_view.clone(),
        cluster_id: cluster.clone(),
        ip_mode,
        dual_stack: mesh.dual_stack && ip_mode == IpMode::Dual,
        ipv4_outbound: mesh.ipv4_outbound_for_ipv6 && ip_mode == IpMode::V6,
        capabilities: proxy.capabilities,
        has_identity: proxy.meta.has_identity,
        version: proxy
            .meta
            .istio_version
            .unwrap_or((u32::MAX, u32::MAX, u32::MAX)),
        interception,
        proxy_config: Shared::new(config.clone()),
        gateway_services: if router && gateways_name_services(world) {
            gateway_services(&instances)
        } else {
            BTreeMap::new()
        },
        gateway_ports: if router {
            gateway_ports
        } else {
            BTreeMap::new()
        },
        own_ips: if headless || unredirected || binds {
            proxy.ips.clone()
        } else {
            Vec::new()
        },
        node: if world.services.by_node {
            node
        } else {
            empty()
        },
        unmet: unmet(world, proxy),
        instances: if router { Vec::new() } else { instances },
        labels,
    }
}

/// The proxy's pod: by address, but only in its own namespace; else by name.
fn pod_of<'a>(world: &'a World, proxy: &Proxy) -> Option<&'a Shared<Pod>> {
    let by_ip = proxy.ips.iter().find_map(|ip| world.workloads.at(*ip));
    by_ip
        .filter(|pod| pod.meta.key.namespace == proxy.namespace)
        .or_else(|| {
            // A pod of the host network shares its node's address, so only its name tells which it is.
            let name = proxy.id.split('.').next()?;
            let key = meltemi_world::stages::workloads::pod_key(&proxy.namespace, &name.into());
            world
                .store
                .pods
                .get(&key)
                .filter(|pod| pod.ips.is_empty() || pod.ips.iter().any(|ip| proxy.ips.contains(ip)))
        })
}

fn locality(world: &World, proxy: &Proxy, pod: Option<&Shared<Pod>>, labels: &Labels) -> Locality {
    let known = pod
        .map(|pod| world.workloads.locality(pod))
        .unwrap_or_default();
    if !known.is_empty() {
        return known;
    }
    let label = labels
        .get("topology.istio.io/locality")
        .or(labels.get("istio-locality"));
    match label {
        Some(label) if label.contains('/') => Locality::parse(label),
        Some(label) => Locality::parse(&label.replace('.', "/")),
        None => proxy.locality.clone(),
    }
}

/// The service ports at which the workload serves, oldest service first. Istio 1.31: `GetProxyServiceTargets`.
fn instances(
    world: &World,
    proxy: &Proxy,
    pod: Option<&Shared<Pod>>,
    labels: &Labels,
) -> Vec<ServiceInstance> {
    let mut found = Vec::new();
    let ports = pod.map_or(proxy.meta.pod_ports.as_slice(), |p| p.ports.as_slice());
    let own = world.store.services.in_namespace(&proxy.namespace);
    let selected = own.filter(|s| !s.selector.is_empty() && labels.satisfies(&s.selector));
    for kube in selected {
        add_selected(world, kube, ports, &mut found);
    }
    let addresses: Vec<String> = proxy.ips.iter().map(IpAddr::to_string).collect();
    if found.is_empty() && !world.store.services.is_empty() {
        add_by_address(world, proxy, true, &addresses, &mut found);
    }
    if !world.store.service_entries.is_empty() {
        add_by_address(world, proxy, false, &addresses, &mut found);
    }
    found.sort_by(|a, b| {
        (a.service.created, &a.service.key.host).cmp(&(b.service.created, &b.service.key.host))
    });
    found
}

fn add_selected(
    world: &World,
    kube: &KubeService,
    ports: &[(Str, u16)],
    found: &mut Vec<ServiceInstance>,
) {
    let key = &kube.meta.key;
    let host = kubernetes_host(&key.name, &key.namespace, &world.mesh.domain);
    let Some(service) = owned(world, &host, &key.namespace) else {
        return;
    };
    let mut seen = BTreeSet::new();
    for port in &kube.ports {
        let Some(known) = service.ports.iter().find(|p| p.name == port.name) else {
            continue;
        };
        let Some(target) = resolve_target(&port.target, ports) else {
            continue;
        };
        // Two service ports with one target and protocol are one listener.
        if seen.insert((target, known.protocol)) {
            found.push(ServiceInstance {
                service: service.clone(),
                port: known.number,
                target,
            });
        }
    }
}

fn owned<'a>(world: &'a World, host: &Hostname, namespace: &str) -> Option<&'a Shared<Service>> {
    world.services.owner(host, namespace)
}

/// Services that name the proxy's address among their endpoints: those without a selector, and ServiceEntries.
fn add_by_address(
    world: &World,
    proxy: &Proxy,
    kubernetes: bool,
    addresses: &[String],
    found: &mut Vec<ServiceInstance>,
) {
    for (place, service) in world.services.sorted.iter().enumerate() {
        let mine = service.kubernetes == kubernetes
            && (!kubernetes || (service.headless && service.selector.is_empty()))
            && service.key.namespace == proxy.namespace;
        let row = mine.then(|| world.endpoints.at(place)).flatten();
        let Some(row) = row.filter(|row| addresses.iter().any(|a| row.is_at(a))) else {
            continue;
        };
        for port in &service.ports {
            let targets: BTreeSet<u16> = row
                .set
                .port(&port.name)
                .iter()
                .filter(|e| addresses.iter().any(|a| **a == *e.address))
                .map(|e| e.port)
                .collect();
            found.extend(targets.into_iter().map(|target| ServiceInstance {
                service: service.clone(),
                port: port.number,
                target,
            }));
        }
    }
}

fn gateway_ports(instances: &[ServiceInstance]) -> BTreeMap<u16, Vec<u16>> {
    let mut ports: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    let translated = instances
        .iter()
        .filter(|i| i.service.labels.get(NO_TRANSLATION).is_none());
    for instance in translated {
        let targets = ports.entry(instance.port).or_default();
        if !targets.contains(&instance.target) {
            targets.push(instance.target);
        }
    }
    ports
}

/// What EnvoyFilters that may be for the proxy ask of it and it does not meet.
fn unmet(world: &World, proxy: &Proxy) -> BTreeSet<ProxyCondition> {
    let text = |key: &str| proxy.meta.raw.get(key).and_then(|value| value.as_str());
    let conditions = world
        .envoy_filters
        .conditions(&proxy.namespace, &world.mesh);
    conditions
        .filter(|condition| !condition.holds(text))
        .cloned()
        .collect()
}

/// Whether any Gateway is for Services rather than for what its selector selects.
fn gateways_name_services(world: &World) -> bool {
    let named = |gateway: &Gateway| gateway.services().next().is_some();
    world.gateways.iter().any(|gateway| named(gateway))
}

fn gateway_services(
    instances: &[ServiceInstance],
) -> BTreeMap<ServiceKey, BTreeMap<u16, Vec<u16>>> {
    let mut services: BTreeMap<ServiceKey, BTreeMap<u16, Vec<u16>>> = BTreeMap::new();
    for instance in instances {
        let ports = services.entry(instance.service.key.clone()).or_default();
        let targets = ports.entry(instance.port).or_default();
        if !targets.contains(&instance.target) {
            targets.push(instance.target);
        }
    }
    services
}

fn ip_mode(ips: &[IpAddr]) -> IpMode {
    match (
        ips.iter().any(IpAddr::is_ipv4),
        ips.iter().any(IpAddr::is_ipv6),
    ) {
        (true, true) => IpMode::Dual,
        (false, true) => IpMode::V6,
        _ => IpMode::V4,
    }
}

fn interception(proxy: &Proxy, config: &ProxyConfig) -> InterceptionMode {
    let mode = match &*proxy.meta.interception_mode {
        "" => config.interception_mode.as_str(),
        own => own,
    };
    match mode {
        "TPROXY" => InterceptionMode::Tproxy,
        "NONE" => InterceptionMode::None,
        _ => InterceptionMode::Redirect,
    }
}

/// Istio 1.31: `NewClusterBuilder`, which looks at the chain only.
fn client_files(meta: &NodeMeta) -> Option<ClientFiles> {
    let path = |key: &str| meta.text(key).to_owned();
    let files = ClientFiles {
        certificate: path("TLS_CLIENT_CERT_CHAIN"),
        key: path("TLS_CLIENT_KEY"),
        root: path("TLS_CLIENT_ROOT_CERT"),
    };
    (!files.certificate.is_empty()).then_some(files)
}

fn facet(proxy: &Proxy, labels: &Labels, mesh: &Mesh) -> MetaFacet {
    let meta = &proxy.meta;
    let dns_capture = meta.flag("DNS_CAPTURE");
    // The injector sets these two. Istio 1.31: `buildServiceTags`.
    let label = |name: &str| {
        let label = labels.get(&format!("service.istio.io/canonical-{name}"));
        label.map(|value| value.to_string()).unwrap_or_default()
    };
    let reserved = [
        "ENVOY_STATUS_PORT",
        "ENVOY_PROMETHEUS_PORT",
        "ENVOY_SECURE_METRICS_PORT",
        "ENVOY_SECURE_MERGED_METRICS_PORT",
    ];
    MetaFacet {
        mesh_id: meta.text("MESH_ID").to_owned(),
        http10: meta.text("HTTP10") == "1",
        idle_timeout: meltemi_model::duration::parse(meta.text("IDLE_TIMEOUT")),
        http_proxy_port: meta.port("HTTP_PROXY_PORT"),
        reserved_ports: reserved
            .iter()
            .map(|key| meta.port(key))
            .filter(|p| *p != 0)
            .collect(),
        unprivileged: !meta.text("UNPRIVILEGED_POD").is_empty(),
        dns_capture,
        // Istio 1.31: `nodeUsesAutoallocatedIPs`.
        allocated_addresses: dns_capture
            && (mesh.ip_autoallocate || meta.flag("DNS_AUTO_ALLOCATE")),
        inbound_exact_balance: meta.flag("INBOUND_LISTENER_EXACT_BALANCE"),
        outbound_exact_balance: meta.flag("OUTBOUND_LISTENER_EXACT_BALANCE"),
        credential_socket: meta.text("credential") == "true",
        file_credential_socket: meta.text("file-credential") == "true",
        client_files: client_files(meta),
        cluster_id: meta.cluster_id.to_string(),
        canonical_service: label("name"),
        canonical_revision: label("revision"),
    }
}

#[cfg(test)]
mod tests;

//! Which clusters, and the endpoints of those that ask for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_builders::cluster::{
    ClusterFacet, ClusterInput, Effective, InboundAddress, InboundCluster, OutboundCluster,
    effective, has_headless_endpoints,
};
use meltemi_builders::endpoint::{Balance, Choice, EndpointInput};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capability, InterceptionMode, IpMode, ProxyClass, ProxyKind};
use meltemi_model::security::MtlsMode;
use meltemi_model::service::{Resolution, ServicePort, outbound_name, sni_name};
use meltemi_model::sidecar::{IngressListener, OutboundPolicy};
use meltemi_model::traffic::{Algorithm, TlsMode};
use meltemi_model::{Diagnostic, Diagnostics, Hostname, Labels, Shared, Str};
use meltemi_world::{Scope, ScopedService, World};

use super::gateway::MergedGateways;
use super::listeners::{any_dns_cache, dns_family};
use super::sight::Sight;

/// Clusters and endpoint resources of a class.
#[derive(Debug, Default)]
pub struct Clusters {
    /// Clusters; the first of a name counts.
    pub clusters: Vec<ClusterInput>,
    /// Endpoints of the clusters that ask for them.
    pub endpoints: Vec<EndpointInput>,
    /// Rules that cannot be followed for this class.
    pub diagnostics: Diagnostics,
}

/// Plans the clusters of a class. `gateways`: empty for sidecars; a gateway that forwards by SNI needs clusters named by
/// SNI.
pub fn clusters(
    world: &World,
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
) -> Clusters {
    let facet = facet(class);
    let mesh = &scope.mesh;
    let sight = Sight::new(world, class);
    let mut planned = Clusters::default();
    let only = referenced(world, scope, class, gateways);
    for row in &scope.services {
        let host = &row.service.key.host;
        if only.as_ref().is_none_or(|hosts| hosts.contains(host)) {
            outbound(scope, &sight, row, &facet, false, &mut planned);
        }
    }
    planned.clusters.push(ClusterInput::BlackHole(mesh.clone()));
    match class.kind {
        ProxyKind::Sidecar => {
            planned
                .clusters
                .push(ClusterInput::Passthrough(mesh.clone(), facet.clone()));
            if scope.outbound_policy == OutboundPolicy::AllowAnyDynamicDns {
                planned.clusters.push(ClusterInput::AnyDynamicDns(
                    mesh.clone(),
                    facet.clone(),
                    any_dns_cache(class),
                ));
            }
            inbound(world, scope, class, &facet, &mut planned);
            planned
                .clusters
                .push(ClusterInput::InboundPassthrough(mesh.clone(), facet));
        }
        ProxyKind::Router if gateways.auto_passthrough() => {
            for row in scope
                .services
                .iter()
                .filter(|row| !row.service.mesh_external)
            {
                outbound(scope, &sight, row, &facet, true, &mut planned);
            }
        }
        ProxyKind::Router => {}
    }
    if class.facet.credential_socket {
        planned
            .clusters
            .push(ClusterInput::ExternalSds(mesh.clone()));
    }
    planned
}

/// The hosts to which a gateway's routes lead, where it gets no other clusters. Istio 1.31: `GatewayServices`.
fn referenced(
    world: &World,
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
) -> Option<BTreeSet<Hostname>> {
    let mesh = &world.mesh;
    if class.kind != ProxyKind::Router || !mesh.filter_gateway_clusters {
        return None;
    }
    let from = mesh.scope_gateway_to_namespace.then_some(&*class.namespace);
    let names = gateways.names();
    let hosts = names
        .iter()
        .flat_map(|name| world.virtual_services.destinations(name, from));
    let mut hosts: BTreeSet<Hostname> = hosts.collect();
    hosts.extend(referenced_otherwise(world, scope, class));
    Some(hosts)
}

/// The hosts that EnvoyFilters, providers of the mesh configuration and keys of tokens need although no route leads there.
fn referenced_otherwise(world: &World, scope: &Scope, class: &ProxyClass) -> Vec<Hostname> {
    let filters = world
        .envoy_filters
        .selecting(&class.namespace, &class.labels, &world.mesh);
    let names = filters.into_iter().flat_map(|filter| &filter.references);
    let of_patches = names.map(|(namespace, host)| (namespace.clone(), host.clone()));
    let providers = world.mesh.provider_services.iter();
    let of_providers = providers.map(|service| match service.split_once('/') {
        Some((namespace, host)) => (Some(Str::from(namespace)), Hostname::new(host)),
        None => (None, Hostname::new(service)),
    });
    let is_meant = |(namespace, host): &(Option<Str>, Hostname)| {
        let row = scope.by_host.get(host).map(|at| &scope.services[*at]);
        namespace
            .as_ref()
            .is_none_or(|ns| row.is_some_and(|row| row.service.key.namespace == *ns))
    };
    let all = of_patches.chain(of_providers).filter(is_meant);
    // Keys of tokens that proxies fetch by themselves.
    let of_keys = world.request_authentications.hosts.iter().cloned();
    all.map(|(_, host)| host).chain(of_keys).collect()
}

fn facet(class: &ProxyClass) -> ClusterFacet {
    ClusterFacet {
        router: class.kind == ProxyKind::Router,
        ip_mode: class.ip_mode,
        dns_family: dns_family(class),
        metadata_exchange: class
            .capabilities
            .has(Capability::TcpMetadataExchangeCluster),
        identity: class.has_identity,
        preserve_case: class.proxy_config.headers.preserve_http1_case,
        credential_socket: class.facet.credential_socket,
        file_credential_socket: class.facet.file_credential_socket,
        files: class.facet.client_files.clone(),
        place: None,
    }
}

fn outbound(
    scope: &Scope,
    sight: &Sight<'_>,
    row: &ScopedService,
    facet: &ClusterFacet,
    sni_dnat: bool,
    planned: &mut Clusters,
) {
    match row.service.resolution {
        Resolution::Alias => return,
        Resolution::DynamicDns => {
            // No name of a server stands for names that are not known.
            if !sni_dnat {
                dynamic(scope, sight.class, row, facet, planned);
            }
            return;
        }
        _ => {}
    }
    for port in &row.service.ports {
        let rule = row.rule.as_deref();
        let subsets = rule.map(|r| r.subsets.as_slice()).unwrap_or_default();
        let names = std::iter::once(Str::from("")).chain(subsets.iter().map(|s| s.name.clone()));
        for subset in names {
            add_outbound(scope, sight, row, (port, subset, sni_dnat), facet, planned);
        }
    }
}

/// Clusters of a service whose names are resolved as they are asked for: they have no endpoints and no subsets.
fn dynamic(
    scope: &Scope,
    class: &ProxyClass,
    row: &ScopedService,
    facet: &ClusterFacet,
    planned: &mut Clusters,
) {
    let resolved = |port: &&ServicePort| {
        matches!(
            port.protocol,
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls
        )
    };
    if !row.service.key.host.is_wildcard() {
        return;
    }
    for port in row.service.ports.iter().filter(resolved) {
        let cluster = OutboundCluster {
            service: row.service.clone(),
            port: port.clone(),
            subset: "".into(),
            rule: row.rule.clone(),
            rule_selects_workload: row.rule_selects_workload,
            identities: row.identities.clone(),
            endpoints: None,
            horizon: None,
            all_mtls: false,
            mtls_disabled: false,
            sni_dnat: false,
            mesh: scope.mesh.clone(),
            facet: facet.clone(),
        };
        let family = dns_family(class);
        planned
            .clusters
            .push(ClusterInput::Dynamic(cluster, family));
    }
}

fn add_outbound(
    scope: &Scope,
    sight: &Sight<'_>,
    row: &ScopedService,
    (port, subset, sni_dnat): (&ServicePort, Str, bool),
    facet: &ClusterFacet,
    planned: &mut Clusters,
) {
    let (mesh, class) = (&scope.mesh, sight.class);
    let policy = effective(row.rule.as_deref(), &subset, port.number, mesh);
    if let Some(diagnostic) = plain_text(row, class, &policy) {
        planned.diagnostics.push(diagnostic);
    }
    let algorithm = policy
        .port
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.algorithm.as_ref());
    let passthrough = algorithm == Some(&Algorithm::Passthrough);
    let dns = matches!(
        row.service.resolution,
        Resolution::Dns | Resolution::DnsRoundRobin
    );
    let asks = facet.router || has_headless_endpoints(&row.service, mesh);
    let original_destination =
        passthrough || (row.service.resolution == Resolution::Passthrough && !asks);
    // Istio 1.31: where no load balancing hides the endpoints, mutual TLS needs all of them to take it, on gateways too.
    let unbalanced = passthrough || row.service.resolution == Resolution::Passthrough;
    let own = row.endpoints.port(&port.name);
    if dns && own.is_empty() && !passthrough {
        return; // Envoy refuses a DNS cluster without a name to resolve.
    }
    let horizon = sight.of(&row.service, dns);
    let place = (class.locality.clone(), labels_with_node(class));
    let balance = Balance::of(&policy, &row.service, mesh, Some((&place.0, &place.1)));
    planned
        .clusters
        .push(ClusterInput::Outbound(OutboundCluster {
            service: row.service.clone(),
            port: port.clone(),
            subset: subset.clone(),
            rule: row.rule.clone(),
            rule_selects_workload: row.rule_selects_workload,
            identities: row.identities.clone(),
            endpoints: dns.then(|| row.endpoints.clone()),
            horizon: horizon.clone().filter(|_| dns),
            all_mtls: unbalanced && !own.is_empty() && own.iter().all(|e| e.mtls),
            mtls_disabled: scope
                .peer_authentications
                .namespace(&row.service.key.namespace)
                == MtlsMode::Disable,
            sni_dnat,
            mesh: mesh.clone(),
            facet: ClusterFacet {
                place: (dns && balance != Balance::None).then_some(place),
                ..facet.clone()
            },
        }));
    if dns || original_destination {
        return;
    }
    let host = &row.service.key.host;
    let name = if sni_dnat {
        sni_name(port.number, &subset, host)
    } else {
        outbound_name(port.number, &subset, host)
    };
    let choice = Choice {
        port: port.name.clone(),
        subset: subset_labels(row, &subset),
        node: row.service.node_local.then(|| class.node.clone()),
        unhealthy: policy
            .port
            .outlier_detection
            .as_ref()
            .is_none_or(|o| o.min_health_percent <= 0),
        tls: policy.port.tls.as_ref().map(|t| t.mode),
        names: false,
        only_mtls: sni_dnat,
    };
    let from: Vec<_> = std::iter::once(row.service.object.clone())
        .chain(row.rule.iter().flat_map(|r| r.from.iter().cloned()))
        .collect();
    planned.endpoints.push(EndpointInput {
        cluster: name.into(),
        endpoints: row.endpoints.clone(),
        choice,
        balance: if shapes_endpoints(&balance) {
            balance
        } else {
            Balance::None
        },
        horizon,
        from: Arc::from(from),
    });
}

/// A rule that asks for mutual TLS cannot be followed by a proxy that has no certificate of the mesh.
fn plain_text(row: &ScopedService, class: &ProxyClass, policy: &Effective) -> Option<Diagnostic> {
    let wanted = policy
        .port
        .tls
        .as_ref()
        .is_some_and(|tls| tls.mode == TlsMode::IstioMutual);
    let rule = row.rule.as_ref()?.from.first()?;
    (wanted && !class.has_identity).then(|| {
        let message = "ISTIO_MUTUAL cannot be used by a proxy without a certificate of the mesh (one that was started \
                       from `meltemi bootstrap`): it connects in plain text";
        Diagnostic::warning(rule, "spec.trafficPolicy.tls", message)
    })
}

/// A cluster's wish to weigh localities does not change its endpoints, so it is not part of their key.
fn shapes_endpoints(balance: &Balance) -> bool {
    !matches!(balance, Balance::None | Balance::Weighted)
}

fn labels_with_node(class: &ProxyClass) -> Labels {
    let mut labels = class.labels.clone();
    if !class.node.is_empty() {
        labels
            .0
            .insert("kubernetes.io/hostname".into(), class.node.clone());
    }
    labels
}

fn subset_labels(row: &ScopedService, subset: &str) -> Labels {
    let subsets = row
        .rule
        .as_ref()
        .map(|r| r.subsets.as_slice())
        .unwrap_or_default();
    let found = subsets
        .iter()
        .find(|s| !subset.is_empty() && *s.name == *subset);
    found.map(|s| s.labels.clone()).unwrap_or_default()
}

/// Clusters to the workload's own ports. Istio 1.31: `buildInboundClusters`.
fn inbound(
    world: &World,
    scope: &Scope,
    class: &ProxyClass,
    facet: &ClusterFacet,
    planned: &mut Clusters,
) {
    let ingress = scope
        .sidecar
        .as_ref()
        .map(|s| s.ingress.as_slice())
        .unwrap_or_default();
    for listener in ingress {
        planned
            .clusters
            .extend(from_ingress(world, scope, class, facet, listener).map(ClusterInput::Inbound));
    }
    let own = if ingress.is_empty() {
        class.interception != InterceptionMode::None
    } else {
        scope.mesh.merge_inbound
    };
    if !own {
        return;
    }
    let named = |port: u16| ingress.iter().any(|listener| listener.port == port);
    let targets = class.instances.iter().map(|i| i.target);
    let mut targets: Vec<u16> = targets.filter(|port| !named(*port)).collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        let services: Vec<_> = class
            .instances
            .iter()
            .filter(|i| i.target == target)
            .filter_map(|i| Some((i.service.clone(), i.service.port(i.port)?.clone())))
            .collect();
        let Some((first, _)) = services.first() else {
            continue;
        };
        let address = scope
            .mesh
            .inbound_localhost
            .then(|| InboundAddress::Socket(localhost(class), target));
        planned.clusters.push(ClusterInput::Inbound(InboundCluster {
            port: target,
            address,
            rule: own_rule(world, scope, first),
            services,
            pool: scope
                .sidecar
                .as_ref()
                .and_then(|s| s.inbound_connection_pool.clone()),
            mesh: scope.mesh.clone(),
            facet: facet.clone(),
        }));
    }
}

/// The rule of one of the workload's own services, as its clients in the namespace see it.
fn own_rule(
    world: &World,
    scope: &Scope,
    service: &meltemi_model::service::Service,
) -> Option<Shared<meltemi_model::traffic::MergedRule>> {
    scope.service(&service.key.host)?;
    world
        .destination_rules
        .choose_inbound(service, &scope.namespace, &world.mesh)
}

fn localhost(class: &ProxyClass) -> Str {
    if class.ip_mode == IpMode::V6 {
        "::1".into()
    } else {
        "127.0.0.1".into()
    }
}

/// A cluster for an ingress listener of a Sidecar. Istio 1.31: `buildInboundClustersFromSidecar`.
fn from_ingress(
    world: &World,
    scope: &Scope,
    class: &ProxyClass,
    facet: &ClusterFacet,
    listener: &IngressListener,
) -> Option<InboundCluster> {
    let address = ingress_address(class, listener)?;
    let port = ServicePort {
        name: listener.port_name.clone(),
        number: listener.port,
        protocol: listener.protocol,
    };
    // The workload's service at that port, or else one that stands for the listener.
    let instance = class.instances.iter().find(|i| i.target == listener.port);
    let service = match instance {
        Some(instance) => instance.service.clone(),
        None => Shared::new(super::sidecar_service(scope, &port)),
    };
    let sidecar = scope.sidecar.as_ref();
    let pool = listener
        .connection_pool
        .clone()
        .or_else(|| sidecar.and_then(|s| s.inbound_connection_pool.clone()));
    Some(InboundCluster {
        port: listener.port,
        address,
        rule: own_rule(world, scope, &service),
        services: vec![(service, port)],
        pool,
        mesh: scope.mesh.clone(),
        facet: facet.clone(),
    })
}

/// Where an ingress listener forwards to; the inner `None`: to the original destination. The outer: not usable. The
/// workload's own address is one of the family that is asked for; where there is none, and where the family of a loopback
/// address is not the proxy's, another loopback address stands in. Istio 1.31: `buildInboundClustersFromSidecar`.
fn ingress_address(
    class: &ProxyClass,
    listener: &IngressListener,
) -> Option<Option<InboundAddress>> {
    let endpoint = &listener.default_endpoint;
    if endpoint.is_empty() {
        return Some(None);
    }
    if let Some(path) = endpoint.strip_prefix("unix://") {
        return Some(Some(InboundAddress::Pipe(path.into())));
    }
    let (host, port) = endpoint.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let own = |v4: bool, loopback: &str| {
        let mut ips = class.own_ips.iter().filter(|ip| ip.is_ipv4() == v4);
        ips.next()
            .map_or_else(|| loopback.into(), |ip| ip.to_string().into())
    };
    let address: Str = match host {
        "0.0.0.0" | "" => own(true, "127.0.0.1"),
        "::" => own(false, "::1"),
        "127.0.0.1" if class.ip_mode == IpMode::V6 => "::1".into(),
        "::1" if class.ip_mode == IpMode::V4 => "127.0.0.1".into(),
        "127.0.0.1" | "::1" => host.into(),
        _ => return None,
    };
    Some(Some(InboundAddress::Socket(address, port)))
}

#[cfg(test)]
mod tests;

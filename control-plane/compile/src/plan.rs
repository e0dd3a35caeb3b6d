//! Plans: from what a class of proxies may see to the inputs of the builders.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_builders::cluster::ClusterInput;
use meltemi_builders::endpoint::EndpointInput;
use meltemi_builders::listener::ListenerInput;
use meltemi_builders::name_table::NameTableInput;
use meltemi_builders::route::RouteInput;
use meltemi_model::proxy::{Capability, ProxyClass, ProxyKind};
use meltemi_model::service::{Resolution, Service, ServiceKey, ServicePort, TrafficDistribution};
use meltemi_model::{Diagnostic, Diagnostics, Hostname, Kind, Labels, ObjectKey, Severity, Str};
use meltemi_world::{Scope, World};

pub mod clusters;
mod credentials;
mod families;
pub mod gateway;
pub mod listeners;
pub mod names;
pub mod routes;
mod sight;

/// The inputs of every resource of a class.
#[derive(Debug, Default)]
pub struct Planned {
    /// Clusters.
    pub clusters: Vec<ClusterInput>,
    /// Endpoints.
    pub endpoints: Vec<EndpointInput>,
    /// Listeners.
    pub listeners: Vec<ListenerInput>,
    /// Routes.
    pub routes: Vec<RouteInput>,
    /// Routes that no listener names; an EnvoyFilter may add one that does.
    pub spare_routes: Vec<RouteInput>,
    /// The names that the agent answers for, where it answers DNS queries.
    pub name_table: Option<NameTableInput>,
    /// What only shows once objects are put together.
    pub diagnostics: Diagnostics,
}

/// Plans everything that a class is served.
pub fn plan(world: &World, scope: &Scope, class: &ProxyClass) -> Planned {
    let gateways = match class.kind {
        ProxyKind::Router => {
            let own_namespace = world.mesh.scope_gateway_to_namespace;
            gateway::merge(&world.gateways, class, own_namespace)
        }
        ProxyKind::Sidecar => gateway::MergedGateways::default(),
    };
    let clusters = clusters::clusters(world, scope, class, &gateways);
    let (listeners, routes) = match class.kind {
        ProxyKind::Sidecar => (
            listeners::sidecar_listeners(scope, class),
            routes::sidecar_routes(scope, class),
        ),
        ProxyKind::Router => {
            let seen = world
                .virtual_services
                .all_visible(&class.namespace, &world.mesh);
            (
                listeners::gateway_listeners(scope, class, &gateways, &seen),
                routes::gateway_routes(scope, class, &gateways, &seen),
            )
        }
    };
    let (routes, spare_routes) = referenced(&listeners, routes);
    let unserved = listeners::unserved_servers(class, &gateways);
    let mut diagnostics: Diagnostics = gateways
        .refused
        .iter()
        .chain(&unserved)
        .map(|refused| {
            let server = format!("spec.servers[{}]", refused.index);
            Diagnostic::warning(&refused.gateway, server, &*refused.reason)
        })
        .collect();
    diagnostics.extend(credentials::missing(world, class, &gateways));
    diagnostics.extend(credentials::missing_for_clients(world, scope, class));
    diagnostics.extend(world.virtual_services.findings.iter().cloned());
    diagnostics.extend(world.networks.diagnostics.iter().cloned());
    diagnostics.extend(world.request_authentications.diagnostics.iter().cloned());
    if class.kind == ProxyKind::Router {
        diagnostics.extend(world.ingresses.diagnostics.iter().cloned());
    }
    diagnostics.extend(left_out(class));
    if class.kind == ProxyKind::Sidecar {
        diagnostics.extend(listeners::unmet_strictness(scope, class));
    }
    diagnostics.extend(listeners::unasked_providers(scope, class));
    diagnostics.extend(clusters.diagnostics);
    Planned {
        clusters: clusters.clusters,
        endpoints: clusters.endpoints,
        listeners,
        routes,
        spare_routes,
        name_table: names::name_table(scope, class),
        diagnostics,
    }
}

/// Says once which of Istio's filters a proxy lacks: what they do (metrics, peer metadata, protocol negotiation between
/// sidecars) is missing there, and EnvoyFilters that name them find nothing.
fn left_out(class: &ProxyClass) -> Option<Diagnostic> {
    let filters = [
        (Capability::Alpn, "istio.alpn"),
        (Capability::HttpMetadataExchange, "istio.metadata_exchange"),
        (Capability::StatsHttp, "istio.stats"),
    ];
    let missing: Vec<&str> = filters
        .iter()
        .filter(|(capability, _)| !class.capabilities.has(*capability))
        .map(|(_, name)| *name)
        .collect();
    (!missing.is_empty()).then(|| Diagnostic {
        severity: Severity::Info,
        object: None,
        path: String::new(),
        place: None,
        message: format!(
            "an Envoy without {} is served without them; Istio's own proxy has them",
            missing.join(", ")
        ),
    })
}

/// Exactly the route configurations that listeners refer to (I7), and the others. One that nothing yields is empty rather
/// than missing: Envoy would wait for it without limit.
fn referenced(
    listeners: &[ListenerInput],
    routes: Vec<RouteInput>,
) -> (Vec<RouteInput>, Vec<RouteInput>) {
    let names: BTreeSet<&Str> = listeners
        .iter()
        .flat_map(ListenerInput::route_names)
        .collect();
    let mut planned: BTreeMap<Str, RouteInput> =
        routes.into_iter().map(|r| (r.name.clone(), r)).collect();
    let named = names
        .into_iter()
        .map(|name| {
            planned
                .remove(name)
                .unwrap_or_else(|| routes::empty_route(name))
        })
        .collect();
    (named, planned.into_values().collect())
}

/// The service that stands for an ingress listener of a Sidecar where the workload has none at its port.
/// Istio 1.31: `findOrCreateService`, which calls it external to keep it out of telemetry.
pub(crate) fn sidecar_service(scope: &Scope, port: &ServicePort) -> Service {
    let name = scope.sidecar.as_ref().map_or("", |s| &s.meta.key.name);
    let host = format!("{name}.{}", scope.namespace);
    Service {
        key: ServiceKey {
            host: Hostname::new(&host),
            namespace: scope.namespace.clone(),
        },
        name: name.into(),
        object: ObjectKey::new(Kind::Sidecar, scope.namespace.clone(), name),
        kubernetes: false,
        created: 0,
        labels: Labels::default(),
        resolution: Resolution::ClientSideLb,
        addresses: Vec::new(),
        allocated: Vec::new(),
        external_addresses: Vec::new(),
        ports: vec![port.clone()],
        mesh_external: true,
        export_to: meltemi_model::service::ExportTo::Default,
        headless: false,
        subject_alt_names: Vec::new(),
        publish_not_ready: false,
        node_local: false,
        traffic_distribution: TrafficDistribution::Any,
        selector: Labels::default(),
        external_name: None,
        aliases: Vec::new(),
        passthrough_targets: Vec::new(),
    }
}

use meltemi_builders::Input;
use meltemi_model::envoy_filter::EnvoyFilter;
use meltemi_model::gateway::{Gateway, Server, ServerTlsMode};
use meltemi_model::mesh::Mesh;
use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::Capabilities;
use meltemi_model::routing::{
    HeaderOperations, HttpAction, HttpDestination, HttpMatch, HttpRoute, SingleMirror,
    VirtualService,
};
use meltemi_model::service::{KubeService, ServiceEntry, TargetPort};
use meltemi_model::sidecar::{CaptureMode, Sidecar};
use meltemi_model::testing::{
    destination, destination_rule, gateway, http_route, kube_service, labels, meta,
    peer_authentication, pod, server_tls, service_entry, sidecar, subset, virtual_service,
    workload,
};
use meltemi_model::traffic::{
    ClientTls, ConnectionPool, DestinationRule, LoadBalancer, LocalityLb, OutlierDetection,
    PortPolicy, TlsMode, TrafficPolicy,
};
use meltemi_model::{Hostname, Kind, Locality};

use super::*;
use crate::fixtures::{HTTP, class_of_a, scope_of, world};
use crate::plan::gateway::merge;

mod inbound;
mod outbound;

fn planned(world: &World, class: &ProxyClass) -> Clusters {
    let merged = match class.kind {
        ProxyKind::Router => merge(&world.gateways, class, false),
        ProxyKind::Sidecar => MergedGateways::default(),
    };
    clusters(world, &scope_of(world, class), class, &merged)
}

/// Names without the clusters' domain and without those that every sidecar has.
fn short<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names
        .filter(|n| !n.ends_with("Cluster"))
        .map(|n| n.replace(".svc.cluster.local", ""))
        .collect()
}

fn cluster_names(planned: &Clusters) -> Vec<String> {
    let names: Vec<Str> = planned.clusters.iter().map(|c| c.build().name).collect();
    short(names.iter().map(|n| &**n))
}

fn endpoint_names(planned: &Clusters) -> Vec<String> {
    short(planned.endpoints.iter().map(|e| &*e.cluster))
}

fn router() -> ProxyClass {
    ProxyClass {
        kind: ProxyKind::Router,
        instances: Vec::new(),
        ..class_of_a(&world([]))
    }
}

fn in_sidecar(world: &World) -> Clusters {
    planned(world, &class_of_a(world))
}

fn with_policy(policy: PortPolicy) -> DestinationRule {
    DestinationRule {
        policy: Some(TrafficPolicy {
            all: policy,
            ..TrafficPolicy::default()
        }),
        ..destination_rule("default", "dr", "a.default.svc.cluster.local")
    }
}

use meltemi_builders::Input;
use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::Capabilities;
use meltemi_model::service::{KubeService, ServiceEntry, TargetPort};
use meltemi_model::sidecar::{CaptureMode, Sidecar};
use meltemi_model::testing::{
    destination_rule, kube_service, labels, peer_authentication, pod, service_entry, sidecar,
    subset, workload,
};
use meltemi_model::traffic::{
    ClientTls, ConnectionPool, DestinationRule, LoadBalancer, LocalityLb, OutlierDetection,
    PortPolicy, TlsMode, TrafficPolicy,
};
use meltemi_model::{Hostname, Locality};

use super::*;
use crate::fixtures::{HTTP, class_of_a, scope_of, world};

mod inbound;
mod outbound;

fn planned(world: &World, class: &ProxyClass) -> Clusters {
    clusters(world, &scope_of(world, class), class, false)
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

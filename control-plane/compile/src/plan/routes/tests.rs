use std::collections::{BTreeMap, BTreeSet};

use meltemi_builders::route::RouteSpec;
use meltemi_model::gateway::{Server, ServerHost, ServerTls, ServerTlsMode};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::routing::{
    Destination, HeaderOperations, HttpAction, HttpDestination, HttpMatch, HttpRoute, StringMatch,
    VirtualService,
};
use meltemi_model::service::{ExportTo, Resolution};
use meltemi_model::sidecar::{CaptureMode, EgressListener, EgressPort, OutboundPolicy};
use meltemi_model::testing::{self, meta};
use meltemi_model::traffic::{
    Algorithm, ConsistentHash, HashKey, LoadBalancer, MergedRule, PortPolicy, Ring, Subset,
    TrafficPolicy,
};
use meltemi_model::{Hostname, Kind, Labels, Shared};
use meltemi_world::Scope;

use super::*;
use crate::fixtures::{class_of_client, fqdn, seen, service};
use crate::plan::gateway::merge;

mod gateway;
mod sidecar;

fn class(kind: ProxyKind) -> ProxyClass {
    ProxyClass {
        gateway_ports: BTreeMap::from([(80, vec![8080])]),
        ..class_of_client(kind)
    }
}

fn rule(host: &str, port: Option<u16>, matches: Vec<HttpMatch>) -> HttpRoute {
    let destination = Destination {
        host: fqdn(host),
        subset: "".into(),
        port,
    };
    let action = HttpAction::Forward(vec![HttpDestination {
        destination,
        weight: 0,
        headers: HeaderOperations::default(),
    }]);
    HttpRoute {
        matches,
        ..testing::http_route(action)
    }
}

/// A VirtualService whose only rule goes to `to`.
fn virtual_service(name: &str, gateway: &str, hosts: &[&str], to: &str) -> VirtualService {
    VirtualService {
        meta: meta(Kind::VirtualService, "default", name),
        hosts: hosts.iter().map(|host| fqdn(host)).collect(),
        gateways: vec![gateway.into()],
        export_to: ExportTo::Default,
        http: vec![rule(to, None, Vec::new())],
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

/// `name -> clusters`, without the catch-all.
fn hosts(input: &RouteInput) -> Vec<String> {
    let clusters = |spec: &RouteSpec| match spec {
        RouteSpec::Default(route) => route.cluster.to_string(),
        RouteSpec::Rule(rule) => rule
            .destinations
            .iter()
            .map(|d| d.cluster.to_string())
            .collect::<Vec<_>>()
            .join("+"),
        RouteSpec::AllowAny { .. } | RouteSpec::BlockAll => String::new(),
    };
    let all = input
        .virtual_hosts
        .iter()
        .filter(|host| *host.domains != ["*".into()] || input.name.contains('.'));
    all.map(|host| {
        let routes: Vec<_> = host
            .routes
            .iter()
            .flat_map(|group| group.iter().map(clusters))
            .collect();
        format!("{} -> {}", host.name, routes.join(", "))
    })
    .collect()
}

fn domains<'a>(input: &'a RouteInput, name: &str) -> Vec<&'a str> {
    let host = input
        .virtual_hosts
        .iter()
        .find(|host| *host.name == *name)
        .unwrap();
    host.domains.iter().map(|domain| &**domain).collect()
}

fn route(scope: &Scope, name: &str) -> RouteInput {
    sidecar_route(scope, &class(ProxyKind::Sidecar), name).unwrap()
}

const HTTP: Protocol = Protocol::Http;

use std::collections::{BTreeMap, BTreeSet};

use meltemi_builders::route::RouteSpec;
use meltemi_model::gateway::{Gateway, Server, ServerHost, ServerTls, ServerTlsMode};
use meltemi_model::mesh::Mesh;
use meltemi_model::object::Meta;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{
    Capabilities, InterceptionMode, IpMode, MetaFacet, ProxyClass, ProxyKind,
};
use meltemi_model::routing::{
    Destination, HeaderOperations, HttpAction, HttpDestination, HttpMatch, HttpRoute, StringMatch,
    VirtualService,
};
use meltemi_model::service::{
    ExportTo, Resolution, Service, ServiceKey, ServicePort, TrafficDistribution,
};
use meltemi_model::sidecar::{CaptureMode, EgressListener, EgressPort, OutboundPolicy};
use meltemi_model::traffic::{
    Algorithm, ConsistentHash, HashKey, LoadBalancer, MergedRule, PortPolicy, Ring, Subset,
    TrafficPolicy,
};
use meltemi_model::{Hostname, Kind, Labels, Locality, ObjectKey, Shared};
use meltemi_world::{EgressScope, Scope, ScopedService};

use super::*;
use crate::plan::gateway::merge;

mod gateway;
mod sidecar;

fn meta(kind: Kind, namespace: &str, name: &str) -> Meta {
    let key = ObjectKey::new(kind, namespace, name);
    Meta {
        key,
        labels: Labels::default(),
        annotations: Labels::default(),
        created: 0,
    }
}

fn class(kind: ProxyKind) -> ProxyClass {
    ProxyClass {
        kind,
        namespace: "default".into(),
        dns_domain: "default.svc.cluster.local".into(),
        labels: [("app", "client")].into_iter().collect(),
        locality: Locality::default(),
        network: "".into(),
        cluster_id: "Kubernetes".into(),
        ip_mode: IpMode::V4,
        capabilities: Capabilities::istio_proxy(),
        has_identity: true,
        version: (1, 31, 0),
        interception: InterceptionMode::Redirect,
        facet: MetaFacet::default(),
        proxy_config: Shared::default(),
        instances: Vec::new(),
        gateway_ports: BTreeMap::from([(80, vec![8080])]),
        own_ips: Vec::new(),
        node: "".into(),
    }
}

/// `name` in `default` with the address 10.0.0.x, unless the name has dots: then it is a ServiceEntry's.
fn service(name: &str, ports: &[(u16, Protocol)]) -> Service {
    let kubernetes = !name.contains('.');
    let host = if kubernetes {
        format!("{name}.default.svc.cluster.local")
    } else {
        name.to_owned()
    };
    let kind = if kubernetes {
        Kind::Service
    } else {
        Kind::ServiceEntry
    };
    let port = |(number, protocol): &(u16, Protocol)| ServicePort {
        name: format!("p{number}").into(),
        number: *number,
        protocol: *protocol,
    };
    Service {
        key: ServiceKey {
            host: Hostname::new(&host),
            namespace: "default".into(),
        },
        name: name.into(),
        object: ObjectKey::new(kind, "default", name),
        kubernetes,
        created: 0,
        labels: Labels::default(),
        resolution: Resolution::ClientSideLb,
        addresses: if kubernetes {
            vec![format!("10.0.0.{}", name.len()).into()]
        } else {
            Vec::new()
        },
        allocated: Vec::new(),
        external_addresses: Vec::new(),
        ports: ports.iter().map(port).collect(),
        mesh_external: !kubernetes,
        export_to: ExportTo::Default,
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

fn scope(services: Vec<Service>, virtual_services: Vec<VirtualService>) -> Scope {
    let row = |service: Service| ScopedService {
        service: Shared::new(service),
        rule: None,
        rule_selects_workload: false,
        endpoints: Shared::default(),
        identities: Shared::default(),
    };
    let services: Vec<_> = services.into_iter().map(row).collect();
    Scope {
        mesh: Shared::new(Mesh::default()),
        namespace: "default".into(),
        sidecar: None,
        outbound_policy: OutboundPolicy::AllowAny,
        by_host: services
            .iter()
            .enumerate()
            .map(|(i, row)| (row.service.key.host.clone(), i))
            .collect(),
        egress: vec![EgressScope {
            listener: None,
            services: services.clone(),
            virtual_services: virtual_services.into_iter().map(Shared::new).collect(),
        }],
        services,
    }
}

fn fqdn(name: &str) -> Hostname {
    let host = if name.contains(['.', '*']) {
        name.to_owned()
    } else {
        format!("{name}.default.svc.cluster.local")
    };
    Hostname::new(&host)
}

fn rule(host: &str, port: Option<u16>, matches: Vec<HttpMatch>) -> HttpRoute {
    let destination = Destination {
        host: fqdn(host),
        subset: "".into(),
        port,
    };
    HttpRoute {
        name: "".into(),
        matches,
        action: HttpAction::Forward(vec![HttpDestination {
            destination,
            weight: 0,
            headers: HeaderOperations::default(),
        }]),
        timeout: None,
        retries: None,
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        headers: HeaderOperations::default(),
        rewrite: None,
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

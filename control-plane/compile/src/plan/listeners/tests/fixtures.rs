//! Small worlds, and what listeners look like in one line per chain.

use std::collections::BTreeMap;

use meltemi_builders::listener::{
    Alpn, Chain, Clusters, DownstreamTls, ListenerInput, RouteSource, Terminal, Transport,
};
use meltemi_model::mesh::Mesh;
use meltemi_model::object::Meta;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{
    Capabilities, InterceptionMode, IpMode, MetaFacet, ProxyClass, ProxyKind,
};
use meltemi_model::routing::{Destination, L4Match, TcpRoute, TlsRoute, VirtualService};
use meltemi_model::service::{
    ExportTo, Resolution, Service, ServiceKey, ServicePort, TrafficDistribution,
};
use meltemi_model::sidecar::{CaptureMode, EgressListener, EgressPort, OutboundPolicy};
use meltemi_model::workload::{Endpoint, EndpointSet, Health};
use meltemi_model::{Hostname, Kind, Labels, Locality, ObjectKey, Shared};
use meltemi_world::{EgressScope, Scope, ScopedService};

pub(super) fn meta(kind: Kind, name: &str) -> Meta {
    let key = ObjectKey::new(kind, "default", name);
    Meta {
        key,
        labels: Labels::default(),
        annotations: Labels::default(),
        created: 0,
    }
}

pub(super) fn class() -> ProxyClass {
    ProxyClass {
        kind: ProxyKind::Sidecar,
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
        facet: MetaFacet {
            reserved_ports: vec![15021, 15090],
            ..Default::default()
        },
        proxy_config: Shared::default(),
        instances: Vec::new(),
        gateway_ports: BTreeMap::new(),
        own_ips: Vec::new(),
        node: "".into(),
    }
}

/// `name` in `default` with the address 10.0.0.<length of the name>; a name with dots is a ServiceEntry's, without
/// an address.
pub(super) fn service(name: &str, ports: &[(u16, Protocol)]) -> Service {
    let kubernetes = !name.contains('.');
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
            host: fqdn(name),
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

pub(super) fn fqdn(name: &str) -> Hostname {
    let host = if name.contains('.') {
        name.to_owned()
    } else {
        format!("{name}.default.svc.cluster.local")
    };
    Hostname::new(&host)
}

/// The endpoints of all ports of a service.
pub(super) fn endpoints(service: &Service, addresses: &[&str]) -> EndpointSet {
    let endpoint = |address: &&str| {
        Shared::new(Endpoint {
            address: (*address).into(),
            port: 80,
            labels: Labels::default(),
            identity: "".into(),
            network: "".into(),
            cluster: "Kubernetes".into(),
            locality: Locality::default(),
            weight: 1,
            mtls: true,
            workload: "w".into(),
            namespace: "default".into(),
            health: Health::Healthy,
            hostname: "".into(),
            node: "".into(),
        })
    };
    let port = |port: &ServicePort| (port.name.clone(), addresses.iter().map(endpoint).collect());
    EndpointSet {
        ports: service.ports.iter().map(port).collect(),
    }
}

pub(super) fn scope(services: Vec<Service>) -> Scope {
    let row = |service: Service| ScopedService {
        service: Shared::new(service),
        rule: None,
        rule_selects_workload: false,
        endpoints: Shared::default(),
        identities: Shared::default(),
    };
    let services: Vec<_> = services.into_iter().map(row).collect();
    Scope {
        mesh: Shared::new(Mesh {
            prometheus_metrics: true,
            ..Mesh::default()
        }),
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
            virtual_services: Vec::new(),
        }],
        services,
    }
}

/// An egress listener that shows everything.
pub(super) fn egress(
    scope: &Scope,
    port: Option<(u16, Protocol)>,
    bind: &str,
    capture_mode: CaptureMode,
) -> EgressScope {
    let port = port.map(|(number, protocol)| EgressPort {
        number,
        protocol,
        name: "p".into(),
    });
    let listener = EgressListener {
        port,
        bind: bind.into(),
        capture_mode,
        hosts: Vec::new(),
    };
    EgressScope {
        listener: Some(listener),
        services: scope.services.clone(),
        virtual_services: Vec::new(),
    }
}

/// A VirtualService for a host, at the mesh.
pub(super) fn virtual_service(
    name: &str,
    host: &str,
    tls: Vec<TlsRoute>,
    tcp: Vec<TcpRoute>,
) -> VirtualService {
    VirtualService {
        meta: meta(Kind::VirtualService, name),
        hosts: vec![fqdn(host)],
        gateways: vec!["mesh".into()],
        export_to: ExportTo::Default,
        http: Vec::new(),
        tls,
        tcp,
    }
}

pub(super) fn to(host: &str, subset: &str, weight: u32) -> (Destination, u32) {
    (
        Destination {
            host: fqdn(host),
            subset: subset.into(),
            port: None,
        },
        weight,
    )
}

pub(super) fn tcp_route(matches: Vec<L4Match>, destinations: Vec<(Destination, u32)>) -> TcpRoute {
    TcpRoute {
        matches,
        destinations,
    }
}

pub(super) fn tls_route(sni: &[&str], subnets: &[&str], to: (Destination, u32)) -> TlsRoute {
    let matching = L4Match {
        sni_hosts: sni.iter().map(|s| (*s).into()).collect(),
        destination_subnets: subnets.iter().map(|s| (*s).into()).collect(),
        ..Default::default()
    };
    TlsRoute {
        matches: vec![matching],
        destinations: vec![to],
    }
}

/// `name -> one line per chain`.
pub(super) fn summary(listeners: &[ListenerInput]) -> BTreeMap<String, Vec<String>> {
    listeners
        .iter()
        .map(|l| (l.name.to_string(), l.chains.iter().map(line).collect()))
        .collect()
}

/// `what it takes -> where it leads`.
pub(super) fn line(chain: &Chain) -> String {
    let mut takes = Vec::new();
    if let Some(matching) = &chain.matching {
        takes.extend(matching.port.map(|port| port.to_string()));
        takes.extend(
            matching
                .server_names
                .iter()
                .map(|name| format!("sni {name}")),
        );
        takes.extend(matching.ranges.iter().map(|range| format!("in {range}")));
        match matching.transport {
            Transport::Any => {}
            Transport::Tls => takes.push("tls".to_owned()),
            Transport::Raw => takes.push("raw".to_owned()),
        }
        if matching.alpn != Alpn::Any {
            takes.push(format!("{:?}", matching.alpn));
        }
    } else {
        takes.push("*".to_owned());
    }
    match &chain.tls {
        Some(DownstreamTls::Mesh {
            peer_exchange: true,
            ..
        }) => takes.push("(mtls, peers)".to_owned()),
        Some(DownstreamTls::Mesh { .. }) => takes.push("(mtls)".to_owned()),
        Some(DownstreamTls::Server(_)) => takes.push("(server tls)".to_owned()),
        None => {}
    }
    let leads = match &chain.terminal {
        Terminal::Tcp(tcp) => match &tcp.clusters {
            Clusters::One(cluster) => short(cluster),
            Clusters::Weighted(list) => list
                .iter()
                .map(|(name, weight)| format!("{weight}% {}", short(name)))
                .collect::<Vec<_>>()
                .join(", "),
        },
        Terminal::Http(http) => match &http.route {
            RouteSource::Rds(name) => format!("routes {name}"),
            RouteSource::Inbound(route) => format!("http {}", route.cluster),
            RouteSource::AnyDynamicDns { .. } => "any host".to_owned(),
        },
    };
    format!("{} -> {leads}", takes.join(" "))
}

fn short(cluster: &str) -> String {
    cluster.replace(".default.svc.cluster.local", "")
}

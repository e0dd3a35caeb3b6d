//! Small worlds, and what listeners look like in one line per chain.

use std::collections::BTreeMap;

use meltemi_builders::listener::{
    Alpn, Chain, Clusters, DownstreamTls, ListenerInput, RouteSource, Terminal, Transport,
};
use meltemi_model::mesh::Mesh;
use meltemi_model::object::Meta;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{MetaFacet, ProxyClass, ProxyKind};
use meltemi_model::routing::{Destination, L4Match, TcpRoute, TlsRoute, VirtualService};
use meltemi_model::service::{ExportTo, Service, ServicePort};
use meltemi_model::sidecar::{CaptureMode, EgressListener, EgressPort};
use meltemi_model::workload::{Endpoint, EndpointSet};
use meltemi_model::{Kind, Shared, testing};
use meltemi_world::{EgressScope, Scope};

use crate::fixtures::{class_of_client, seen};
pub(super) use crate::fixtures::{fqdn, service};

pub(super) fn meta(kind: Kind, name: &str) -> Meta {
    testing::meta(kind, "default", name)
}

pub(super) fn class() -> ProxyClass {
    ProxyClass {
        facet: MetaFacet {
            reserved_ports: vec![15021, 15090],
            ..Default::default()
        },
        ..class_of_client(ProxyKind::Sidecar)
    }
}

/// The endpoints of all ports of a service.
pub(super) fn endpoints(service: &Service, addresses: &[&str]) -> EndpointSet {
    let endpoint = |address: &&str| {
        Shared::new(Endpoint {
            mtls: true,
            ..testing::endpoint(address, 80)
        })
    };
    let port = |port: &ServicePort| (port.name.clone(), addresses.iter().map(endpoint).collect());
    EndpointSet {
        ports: service.ports.iter().map(port).collect(),
    }
}

pub(super) fn scope(services: Vec<Service>) -> Scope {
    Scope {
        mesh: Shared::new(Mesh {
            prometheus_metrics: true,
            ..Mesh::default()
        }),
        ..seen(services, Vec::new())
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
        virtual_services: Default::default(),
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

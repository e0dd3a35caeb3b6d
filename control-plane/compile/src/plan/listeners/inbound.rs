//! Inbound listeners of a sidecar: the virtual one with a set of chains per port, and those that bind a port of their
//! own. Istio 1.31: `listener_inbound.go`.

use std::collections::BTreeMap;

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, DownstreamTls, HttpChain, InboundRoute, ListenerInput, ListenerKind,
    RouteSource, TcpChain, Terminal, Transport,
};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capability, InterceptionMode, ProxyClass};
use meltemi_model::service::inbound_name;
use meltemi_model::sidecar::CaptureMode;
use meltemi_model::{Hostname, ObjectKey, Str};
use meltemi_world::Scope;

use super::addresses::{can_bind, inbound_binds, wildcards};
use super::facets::{Facets, Side};
use super::l4::{StatNames, stat_prefix};

/// The cluster of inbound connections to ports that no service names.
const PASSTHROUGH: &str = "InboundPassthroughCluster";

/// Whether connections must, may or do not use the mesh's mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mtls {
    /// Both are taken. What Istio does without a PeerAuthentication.
    Permissive,
    /// Plain text only.
    Disabled,
}

/// The chains of one port.
#[derive(Debug, Clone)]
struct Inbound {
    /// The port at the workload; 0: all others.
    target: u16,
    /// The service port.
    port: u16,
    protocol: Protocol,
    /// The service's host.
    host: Hostname,
    cluster: Str,
    /// Where it binds, or would.
    binds: Vec<Str>,
    to_port: bool,
    /// The statistics' name of its TCP proxy.
    tcp_stat_prefix: Str,
    /// The Sidecar that configured it.
    config: Option<ObjectKey>,
    from: Vec<ObjectKey>,
}

/// All inbound listeners.
pub(super) fn listeners(scope: &Scope, class: &ProxyClass) -> Vec<ListenerInput> {
    let facets = Facets::of(scope, class, Side::Inbound);
    let (bound, redirected): (Vec<_>, Vec<_>) = inbounds(scope, class)
        .into_iter()
        .partition(|inbound| inbound.to_port);
    let mut out = Vec::new();
    if class.interception != InterceptionMode::None {
        out.push(virtual_inbound(scope, class, &facets, &redirected));
    }
    for inbound in bound {
        let chains = chains(scope, class, &inbound);
        let name = inbound.name();
        out.push(ListenerInput {
            transparent: false,
            from: inbound.from,
            ..listener(
                scope,
                class,
                &facets,
                name,
                inbound.binds,
                inbound.target,
                ListenerKind::Inbound,
                chains,
            )
        });
    }
    out
}

/// `virtualInbound`: what comes to its very port is refused, or it would come back for ever; then all ports that no
/// service names, and one set of chains per service port.
fn virtual_inbound(
    scope: &Scope,
    class: &ProxyClass,
    facets: &Facets,
    ports: &[Inbound],
) -> ListenerInput {
    let port = scope.mesh.inbound_port;
    let loops = ChainMatch {
        port: Some(port),
        ..Default::default()
    };
    let mut all = vec![Chain {
        name: "virtualInbound-blackhole".into(),
        matching: Some(loops),
        metadata_exchange: class
            .capabilities
            .has(Capability::TcpMetadataExchangeListener),
        ..Chain::to(Terminal::tcp(TcpChain::blackhole()))
    }];
    all.extend(chains(scope, class, &everything_else(scope)));
    let mut from = Vec::new();
    for inbound in ports {
        all.extend(chains(scope, class, inbound));
        for key in &inbound.from {
            if !from.contains(key) {
                from.push(key.clone());
            }
        }
    }
    let kind = ListenerKind::VirtualInbound;
    let listener = listener(
        scope,
        class,
        facets,
        "virtualInbound".into(),
        wildcards(class),
        port,
        kind,
        all,
    );
    ListenerInput { from, ..listener }
}

#[allow(clippy::too_many_arguments)]
fn listener(
    scope: &Scope,
    class: &ProxyClass,
    facets: &Facets,
    name: Str,
    addresses: Vec<Str>,
    port: u16,
    kind: ListenerKind,
    chains: Vec<Chain>,
) -> ListenerInput {
    let has_http = chains
        .iter()
        .any(|chain| matches!(chain.terminal, Terminal::Http(_)));
    ListenerInput {
        name,
        addresses,
        port,
        kind,
        transparent: class.interception == InterceptionMode::Tproxy,
        exact_balance: class.facet.inbound_exact_balance,
        detection_timeout: scope.mesh.protocol_detection_timeout,
        proxy_protocol: false,
        chains,
        fallthrough: None,
        network: facets.network.clone(),
        http: has_http.then(|| facets.http.clone()),
        from: Vec::new(),
    }
}

fn everything_else(scope: &Scope) -> Inbound {
    let host = Hostname::new("");
    let names = StatNames {
        host: &host,
        subset: "",
        port: 0,
        port_name: "virtualInbound",
    };
    let prefix = stat_prefix(&scope.mesh.inbound_stat_name, &names, None);
    Inbound {
        target: 0,
        port: 0,
        protocol: Protocol::Unsupported,
        cluster: PASSTHROUGH.into(),
        binds: Vec::new(),
        to_port: false,
        tcp_stat_prefix: prefix.unwrap_or_else(|| PASSTHROUGH.into()),
        config: None,
        from: Vec::new(),
        host,
    }
}

impl Inbound {
    fn is_passthrough(&self) -> bool {
        self.target == 0
    }

    /// The name of its chains, or of its listener where it has its own.
    fn name(&self) -> Str {
        format!(
            "{}_{}",
            self.binds.first().map_or("", |bind| bind),
            self.target
        )
        .into()
    }
}

/// The ports of a workload: those of its Sidecar's ingress listeners, else those of its services. Where two claim one
/// port, the first one (the oldest) has it. Istio 1.31: `buildInboundChainConfigs`.
fn inbounds(scope: &Scope, class: &ProxyClass) -> Vec<Inbound> {
    let mut by_port: BTreeMap<u16, Inbound> = BTreeMap::new();
    let ingress = scope
        .sidecar
        .as_ref()
        .filter(|sidecar| !sidecar.ingress.is_empty());
    let all = match ingress {
        Some(sidecar) => sidecar_inbounds(scope, class, sidecar),
        // The application has its ports itself, so nothing can be put before them.
        None if class.interception == InterceptionMode::None => Vec::new(),
        None => service_inbounds(scope, class),
    };
    for inbound in all {
        by_port.entry(inbound.target).or_insert(inbound);
    }
    by_port.into_values().collect()
}

fn service_inbounds(scope: &Scope, class: &ProxyClass) -> Vec<Inbound> {
    let binds = wildcards(class);
    let mut out = Vec::new();
    for instance in &class.instances {
        let target = instance.target;
        let service = &instance.service;
        let Some(port) = service.port(instance.port) else {
            continue;
        };
        if !can_bind(
            class,
            Some(&scope.mesh),
            false,
            &binds[0],
            target,
            port.protocol,
        ) {
            continue;
        }
        let host = &service.key.host;
        let cluster: Str = inbound_name(target).into();
        let names = StatNames {
            host,
            subset: "",
            port: port.number,
            port_name: &port.name,
        };
        let prefix = stat_prefix(&scope.mesh.inbound_stat_name, &names, Some(service));
        out.push(Inbound {
            target,
            port: port.number,
            protocol: port.protocol,
            host: host.clone(),
            tcp_stat_prefix: prefix.unwrap_or_else(|| cluster.clone()),
            cluster,
            binds: binds.clone(),
            to_port: false,
            config: None,
            from: vec![service.object.clone()],
        });
    }
    out
}

fn sidecar_inbounds(
    scope: &Scope,
    class: &ProxyClass,
    sidecar: &meltemi_model::sidecar::Sidecar,
) -> Vec<Inbound> {
    let key = &sidecar.meta.key;
    // An ingress listener belongs to no service; its Sidecar's name stands for one in spans and statistics.
    let host = Hostname::new(&format!("{}.{}", key.name, key.namespace));
    let mut out = Vec::new();
    for listener in &sidecar.ingress {
        let to_port = match listener.capture_mode {
            CaptureMode::Default => class.interception == InterceptionMode::None,
            CaptureMode::None => true,
            CaptureMode::Iptables => false,
        };
        if !can_bind(
            class,
            None,
            to_port,
            &listener.bind,
            listener.port,
            listener.protocol,
        ) {
            continue;
        }
        let cluster: Str = inbound_name(listener.port).into();
        let names = StatNames {
            host: &host,
            subset: "",
            port: listener.port,
            port_name: &listener.port_name,
        };
        let prefix = stat_prefix(&scope.mesh.inbound_stat_name, &names, None);
        out.push(Inbound {
            target: listener.port,
            port: listener.port,
            protocol: listener.protocol,
            host: host.clone(),
            tcp_stat_prefix: prefix.unwrap_or_else(|| cluster.clone()),
            cluster,
            binds: if listener.bind.is_empty() {
                inbound_binds(class)
            } else {
                vec![listener.bind.clone()]
            },
            to_port,
            config: Some(key.clone()),
            from: vec![key.clone()],
        });
    }
    out
}

/// A combination of transport and application protocol that gets a chain of its own.
#[derive(Debug, Clone, Copy)]
struct Accept {
    alpn: Alpn,
    transport: Transport,
    http: bool,
    mtls: bool,
}

/// Which combinations a port accepts. Without a declared protocol, bytes decide: a sidecar says by ALPN what it found,
/// others are looked at. Istio 1.31: `getFilterChainMatchOptions`.
fn accepts(protocol: Protocol, mtls: Mtls) -> Vec<Accept> {
    let tls = |alpn, http| Accept {
        alpn,
        transport: Transport::Tls,
        http,
        mtls: true,
    };
    let raw = |alpn, http| Accept {
        alpn,
        transport: Transport::Raw,
        http,
        mtls: false,
    };
    let own_tls = Accept {
        alpn: Alpn::Any,
        transport: Transport::Tls,
        http: false,
        mtls: false,
    };
    let sniff = !protocol.is_http() && !protocol.is_tcp();
    match (mtls, protocol.is_http()) {
        (Mtls::Permissive, true) => vec![tls(Alpn::Mesh, true), raw(Alpn::Any, true)],
        (Mtls::Permissive, false) if sniff => vec![
            tls(Alpn::MeshHttp, true),
            raw(Alpn::PlainHttp, true),
            tls(Alpn::MeshTcp, false),
            raw(Alpn::Any, false),
            own_tls,
        ],
        (Mtls::Permissive, false) => vec![tls(Alpn::Mesh, false), own_tls, raw(Alpn::Any, false)],
        (Mtls::Disabled, true) => vec![raw(Alpn::Any, true)],
        (Mtls::Disabled, false) if sniff => vec![raw(Alpn::PlainHttp, true), raw(Alpn::Any, false)],
        (Mtls::Disabled, false) => vec![raw(Alpn::Any, false)],
    }
}

/// The chains of one port.
fn chains(scope: &Scope, class: &ProxyClass, inbound: &Inbound) -> Vec<Chain> {
    // A proxy without the mesh's certificates cannot answer mutual TLS; a chain that asks for them would keep the
    // listener from ever starting.
    let mtls = if class.has_identity {
        Mtls::Permissive
    } else {
        Mtls::Disabled
    };
    accepts(inbound.protocol, mtls)
        .into_iter()
        .map(|accept| chain(scope, class, inbound, accept))
        .collect()
}

fn chain(scope: &Scope, class: &ProxyClass, inbound: &Inbound, accept: Accept) -> Chain {
    let exchange = class
        .capabilities
        .has(Capability::TcpMetadataExchangeListener);
    let name: Str = match (inbound.is_passthrough(), accept.http) {
        (true, true) => "virtualInbound-catchall-http".into(),
        (true, false) => "virtualInbound".into(),
        (false, _) => inbound.name(),
    };
    let tls = || DownstreamTls::Mesh {
        peer_exchange: exchange && !accept.http,
        trust_domains: trust_domains(scope),
    };
    let terminal = if accept.http {
        Terminal::http(http(class, inbound))
    } else {
        Terminal::tcp(TcpChain {
            stat_prefix: inbound.tcp_stat_prefix.clone(),
            mongo: inbound.protocol == Protocol::Mongo,
            ..TcpChain::to(inbound.cluster.clone())
        })
    };
    Chain {
        name,
        matching: Some(ChainMatch {
            port: (!inbound.is_passthrough()).then_some(inbound.target),
            transport: accept.transport,
            alpn: accept.alpn,
            ..Default::default()
        }),
        tls: accept.mtls.then(tls),
        metadata_exchange: exchange,
        config: inbound.config.clone(),
        ..Chain::to(terminal)
    }
}

/// Istio 1.31: `buildSidecarInboundHTTPOpts`.
fn http(class: &ProxyClass, inbound: &Inbound) -> HttpChain {
    let stat_prefix = if inbound.is_passthrough() {
        format!("{PASSTHROUGH};")
    } else {
        format!("inbound_{};", inbound.name())
    };
    let route = InboundRoute {
        cluster: inbound.cluster.clone(),
        host: inbound.host.0.clone(),
        port: inbound.port,
        grpc: inbound.protocol.is_grpc(),
        strip_peer_metadata: !class.capabilities.has(Capability::HttpMetadataExchange),
    };
    HttpChain {
        http2: inbound.protocol.is_http2(),
        grpc_web: inbound.protocol == Protocol::GrpcWeb,
        ..HttpChain::new(stat_prefix, RouteSource::Inbound(route))
    }
}

/// The trust domains whose workloads may connect. Istio 1.31: `TrustDomainsForValidation`.
fn trust_domains(scope: &Scope) -> Vec<Str> {
    let mesh = &scope.mesh;
    let mut out: Vec<Str> = Vec::new();
    for domain in std::iter::once(&mesh.trust_domain).chain(&mesh.trust_domain_aliases) {
        if !domain.is_empty() && !out.contains(domain) {
            out.push(domain.clone());
        }
    }
    out
}

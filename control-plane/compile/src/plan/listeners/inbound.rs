//! Inbound listeners of a sidecar: the virtual one with a set of chains per port, and those that bind a port of their
//! own. Istio 1.31: `listener_inbound.go`.

use std::collections::BTreeMap;

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, DownstreamTls, HttpChain, InboundRoute, ListenerInput, ListenerKind,
    RouteSource, TcpChain, Terminal, Transport,
};
use meltemi_model::gateway::{ServerTls, ServerTlsMode};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capability, InterceptionMode, ProxyClass};
use meltemi_model::security::MtlsMode;
use meltemi_model::service::inbound_name;
use meltemi_model::sidecar::CaptureMode;
use meltemi_model::{Diagnostic, Hostname, ObjectKey, Str};
use meltemi_world::Scope;
use meltemi_world::stages::peer_authentications::Modes;

use super::addresses::{can_bind, inbound_binds, served, wildcards};
use super::authorization::guard_keys;
use super::facets::{Facets, Side, token_policies};
use super::l4::{StatNames, stat_prefix};
use super::server_tls::server_tls;

/// The cluster of inbound connections to ports that no service names.
const PASSTHROUGH: &str = "InboundPassthroughCluster";

/// The chains of one port.
#[derive(Debug, Clone)]
struct Inbound {
    /// The port at the workload; 0: all that have no chains of their own.
    target: u16,
    /// No service and no Sidecar names the port.
    passthrough: bool,
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
    /// TLS that the Sidecar has it terminate.
    tls: Option<ServerTls>,
    from: Vec<ObjectKey>,
}

/// All inbound listeners.
pub(super) fn listeners(scope: &Scope, class: &ProxyClass) -> Vec<ListenerInput> {
    let facets = Facets::of(scope, class, Side::Inbound);
    let peers = Peers::of(scope, class);
    let (bound, redirected): (Vec<_>, Vec<_>) = inbounds(scope, class)
        .into_iter()
        .partition(|inbound| inbound.to_port);
    let mut out = Vec::new();
    if class.interception != InterceptionMode::None {
        out.push(virtual_inbound(scope, class, &facets, &peers, &redirected));
    }
    for inbound in bound {
        let chains = chains(scope, class, &peers, &inbound);
        if chains.is_empty() {
            continue; // Envoy takes no listener without chains, and nobody may connect.
        }
        let name = inbound.name();
        let mut from = inbound.from;
        from.extend(peers.modes.from.iter().cloned());
        from.extend(token_policies(scope, class));
        from.extend(guard_keys(scope, class));
        out.push(ListenerInput {
            transparent: false,
            from,
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
    peers: &Peers,
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
    all.extend(chains(scope, class, peers, &passthrough(scope, 0)));
    for port in undeclared_ports(scope, class, &peers.modes) {
        all.extend(chains(scope, class, peers, &passthrough(scope, port)));
    }
    let mut from = peers.modes.from.clone();
    from.extend(token_policies(scope, class));
    from.extend(guard_keys(scope, class));
    for inbound in ports {
        all.extend(chains(scope, class, peers, inbound));
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
        addresses: served(class, addresses),
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

/// Ports that only a PeerAuthentication names. Istio 1.31: `needPerPortPassthroughFilterChain`.
fn undeclared_ports(scope: &Scope, class: &ProxyClass, modes: &Modes) -> Vec<u16> {
    let ingress = scope.sidecar.as_ref().map(|s| s.ingress.as_slice());
    let declared = |port: u16| match ingress {
        Some(listeners) if !listeners.is_empty() => listeners.iter().any(|l| l.port == port),
        _ => class.instances.iter().any(|i| i.target == port),
    };
    let named = modes.ports.keys().copied();
    named.filter(|port| !declared(*port)).collect()
}

/// What goes to this port, which nobody names, or to all such ports (0).
fn passthrough(scope: &Scope, target: u16) -> Inbound {
    let host = Hostname::new("");
    let names = StatNames {
        host: &host,
        subset: "",
        port: 0,
        port_name: "virtualInbound",
    };
    let prefix = stat_prefix(&scope.mesh.inbound_stat_name, &names, None);
    Inbound {
        target,
        passthrough: true,
        port: 0,
        protocol: Protocol::Unsupported,
        cluster: PASSTHROUGH.into(),
        binds: Vec::new(),
        to_port: false,
        tcp_stat_prefix: prefix.unwrap_or_else(|| PASSTHROUGH.into()),
        config: None,
        tls: None,
        from: Vec::new(),
        host,
    }
}

impl Inbound {
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

/// The ports of a workload: those of its Sidecar's ingress listeners, else those of its services, or both
/// (PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE). Where two claim one port, the first one (the oldest) has it. Istio 1.31: `buildInboundChainConfigs`.
fn inbounds(scope: &Scope, class: &ProxyClass) -> Vec<Inbound> {
    let mut by_port: BTreeMap<u16, Inbound> = BTreeMap::new();
    let ingress = scope
        .sidecar
        .as_ref()
        .filter(|sidecar| !sidecar.ingress.is_empty());
    let all = match ingress {
        Some(sidecar) if scope.mesh.merge_inbound => {
            let named = |port: u16| sidecar.ingress.iter().any(|l| l.port == port);
            let mut all = service_inbounds(scope, class);
            all.retain(|inbound| !named(inbound.target));
            all.extend(sidecar_inbounds(scope, class, sidecar));
            all
        }
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
    let to_port = class.interception == InterceptionMode::None;
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
            to_port,
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
            passthrough: false,
            port: port.number,
            protocol: port.protocol,
            host: host.clone(),
            tcp_stat_prefix: prefix.unwrap_or_else(|| cluster.clone()),
            cluster,
            binds: binds.clone(),
            to_port,
            config: None,
            tls: None,
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
            passthrough: false,
            port: listener.port,
            protocol: match &listener.tls {
                Some(_) => listener.protocol.after_tls_termination(),
                None => listener.protocol,
            },
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
            tls: listener.tls.clone(),
            from: vec![key.clone()],
        });
    }
    out
}

/// Which connections the workload takes, and the mutual TLS that it terminates.
struct Peers {
    modes: Modes,
    has_identity: bool,
    trust_domains: Vec<Str>,
}

impl Peers {
    fn of(scope: &Scope, class: &ProxyClass) -> Self {
        Self {
            modes: scope
                .peer_authentications
                .workload(&class.namespace, &class.labels),
            has_identity: class.has_identity,
            trust_domains: trust_domains(scope),
        }
    }

    /// What a port accepts. A proxy without the mesh's certificates cannot answer mutual TLS; a chain that asks for them
    /// would keep the listener from ever starting. Where mutual TLS is optional it takes plain text alone, and where it
    /// is demanded nothing: a policy that cannot be followed must not be broken.
    fn accepts(&self, protocol: Protocol, port: u16) -> Vec<Accept> {
        match self.modes.at(port) {
            MtlsMode::Permissive if self.has_identity => permissive(protocol),
            MtlsMode::Strict if self.has_identity => strict(protocol),
            MtlsMode::Strict => Vec::new(),
            MtlsMode::Permissive | MtlsMode::Disable => plain_text(protocol),
        }
    }
}

/// STRICT cannot be followed by a proxy that has no certificate of the mesh.
pub(super) fn unmet_strictness(scope: &Scope, class: &ProxyClass) -> Option<Diagnostic> {
    let modes = Peers::of(scope, class).modes;
    let strict =
        modes.mode == MtlsMode::Strict || modes.ports.values().any(|m| *m == MtlsMode::Strict);
    let policy = modes.from.last()?;
    (strict && !class.has_identity).then(|| {
        let message = "STRICT cannot be followed by a proxy without a certificate of the mesh (one that was started \
                       from `meltemi bootstrap`): it refuses all connections to the ports that are STRICT";
        Diagnostic::warning(policy, "spec.mtls.mode", message)
    })
}

/// A combination of transport and application protocol that gets a chain of its own.
#[derive(Debug, Clone, Copy)]
struct Accept {
    alpn: Alpn,
    transport: Transport,
    http: bool,
    tls: Terminates,
}

/// The TLS that a chain terminates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminates {
    Nothing,
    Mtls,
    /// What a Sidecar sets up.
    Own,
}

impl Accept {
    fn raw(alpn: Alpn, http: bool) -> Self {
        Self {
            alpn,
            transport: Transport::Raw,
            http,
            tls: Terminates::Nothing,
        }
    }

    fn tls(alpn: Alpn, http: bool, tls: Terminates) -> Self {
        Self {
            alpn,
            transport: Transport::Tls,
            http,
            tls,
        }
    }

    fn mtls(alpn: Alpn, http: bool) -> Self {
        Self::tls(alpn, http, Terminates::Mtls)
    }
}

/// Without a declared protocol, bytes decide: a sidecar says by ALPN what it found, others are looked at.
fn sniffs(protocol: Protocol) -> bool {
    !protocol.is_http() && !protocol.is_tcp()
}

// Istio 1.31: `getFilterChainMatchOptions`, one function for each mode.

/// The application's own TLS passes through where the port is not declared to be HTTP.
fn permissive(protocol: Protocol) -> Vec<Accept> {
    let own = Accept::tls(Alpn::Any, false, Terminates::Nothing);
    if protocol.is_http() {
        vec![Accept::mtls(Alpn::Mesh, true), Accept::raw(Alpn::Any, true)]
    } else if sniffs(protocol) {
        vec![
            Accept::mtls(Alpn::MeshHttp, true),
            Accept::raw(Alpn::PlainHttp, true),
            Accept::mtls(Alpn::MeshTcp, false),
            Accept::raw(Alpn::Any, false),
            own,
        ]
    } else {
        vec![
            Accept::mtls(Alpn::Mesh, false),
            own,
            Accept::raw(Alpn::Any, false),
        ]
    }
}

/// Whatever is TLS is the mesh's; nothing else is taken.
fn strict(protocol: Protocol) -> Vec<Accept> {
    if sniffs(protocol) {
        vec![
            Accept::mtls(Alpn::MeshHttp, true),
            Accept::mtls(Alpn::Any, false),
        ]
    } else {
        vec![Accept::mtls(Alpn::Any, protocol.is_http())]
    }
}

fn plain_text(protocol: Protocol) -> Vec<Accept> {
    if sniffs(protocol) {
        vec![
            Accept::raw(Alpn::PlainHttp, true),
            Accept::raw(Alpn::Any, false),
        ]
    } else {
        vec![Accept::raw(Alpn::Any, protocol.is_http())]
    }
}

/// The chains of one port. TLS of a Sidecar counts only where mutual TLS is disabled; both would claim the same
/// connections.
fn chains(scope: &Scope, class: &ProxyClass, peers: &Peers, inbound: &Inbound) -> Vec<Chain> {
    let own = inbound
        .tls
        .as_ref()
        .filter(|_| peers.modes.at(inbound.target) == MtlsMode::Disable);
    let accepts = match own {
        Some(tls) if !has_certificate(tls, class) => Vec::new(), // Plain text is not what was asked for.
        Some(_) => vec![Accept::tls(
            Alpn::Any,
            inbound.protocol.is_http(),
            Terminates::Own,
        )],
        None => peers.accepts(inbound.protocol, inbound.target),
    };
    accepts
        .into_iter()
        .map(|accept| chain(scope, class, peers, inbound, accept))
        .collect()
}

fn has_certificate(tls: &ServerTls, class: &ProxyClass) -> bool {
    if tls.mode == ServerTlsMode::IstioMutual {
        class.has_identity
    } else {
        !tls.certificates.is_empty()
    }
}

fn chain(
    scope: &Scope,
    class: &ProxyClass,
    peers: &Peers,
    inbound: &Inbound,
    accept: Accept,
) -> Chain {
    let exchange = class
        .capabilities
        .has(Capability::TcpMetadataExchangeListener);
    let name: Str = match (inbound.passthrough, accept.http) {
        (true, true) => "virtualInbound-catchall-http".into(),
        (true, false) => "virtualInbound".into(),
        (false, _) => inbound.name(),
    };
    let tls = match accept.tls {
        Terminates::Nothing => None,
        Terminates::Mtls => Some(DownstreamTls::Mesh {
            peer_exchange: exchange && !accept.http,
            trust_domains: peers.trust_domains.clone(),
            limits: scope.mesh.mesh_mtls.clone(),
        }),
        Terminates::Own => inbound
            .tls
            .as_ref()
            .map(|tls| server_tls(tls, scope, class, false)),
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
            port: (inbound.target != 0).then_some(inbound.target),
            transport: accept.transport,
            alpn: accept.alpn,
            ..Default::default()
        }),
        tls,
        metadata_exchange: exchange,
        config: inbound.config.clone(),
        ..Chain::to(terminal)
    }
}

/// Istio 1.31: `buildSidecarInboundHTTPOpts`.
fn http(class: &ProxyClass, inbound: &Inbound) -> HttpChain {
    let stat_prefix = if inbound.passthrough {
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

/// The trust domains whose workloads may connect; none: all of them. Istio 1.31: `TrustDomainsForValidation`.
fn trust_domains(scope: &Scope) -> Vec<Str> {
    let mesh = &scope.mesh;
    let mut out: Vec<Str> = Vec::new();
    if mesh.any_trust_domain {
        return out;
    }
    let all = std::iter::once(&mesh.trust_domain)
        .chain(&mesh.trust_domain_aliases)
        .chain(&mesh.foreign_trust_domains);
    for domain in all {
        if !domain.is_empty() && !out.contains(domain) {
            out.push(domain.clone());
        }
    }
    out
}

//! Listeners of gateways. Istio 1.31: `buildGatewayListeners`.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, DownstreamTls, HttpChain, ListenerInput, ListenerKind, RouteSource,
    TcpChain, Terminal,
};
use meltemi_builders::sds;
use meltemi_model::gateway::{Server, ServerHost, ServerTlsMode};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capability, ProxyClass};
use meltemi_model::routing::{L4Match, VirtualService};
use meltemi_model::service::sni_name;
use meltemi_model::{Hostname, ObjectKey, Shared, Str};
use meltemi_world::Scope;

use super::super::gateway::{
    MergedGateways, MergedPort, MergedServer, Refused, is_http_server, is_passthrough,
};
use super::addresses::served_wildcards;
use super::authorization::guard_keys;
use super::facets::{Facets, Side, token_policies};
use super::l4::{self, ListenPort, StatNames};
use super::server_tls::server_tls;

/// What the chains of all servers depend on.
struct Context<'a> {
    scope: &'a Scope,
    class: &'a ProxyClass,
    virtual_services: &'a [Shared<VirtualService>],
    /// Which address each SNI host of a port is already matched at.
    sni_hosts: BTreeMap<(u16, Str), Str>,
}

/// A chain and the objects that decided it.
type Decided = (Chain, Vec<ObjectKey>);

/// The listeners.
pub(super) fn listeners(
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
    virtual_services: &[Shared<VirtualService>],
) -> Vec<ListenerInput> {
    let facets = Facets::of(scope, class, Side::Gateway);
    let mut context = Context {
        scope,
        class,
        virtual_services,
        sni_hosts: BTreeMap::new(),
    };
    let mut by_name: BTreeMap<Str, ListenerInput> = BTreeMap::new();
    for port in &gateways.ports {
        if closed_reason(port, class).is_some() {
            continue;
        }
        let addresses = if port.bind.is_empty() {
            served_wildcards(class)
        } else {
            vec![port.bind.clone()]
        };
        let name: Str = format!("{}_{}", addresses[0], port.port).into();
        let decided = context.chains(port, &name);
        if decided.is_empty() {
            continue;
        }
        // TLS servers of different protocols share a port, and are told apart by SNI.
        let listener = by_name
            .entry(name.clone())
            .or_insert_with(|| ListenerInput {
                from: guard_keys(scope, class),
                ..empty(class, &facets, name, addresses, port.port)
            });
        let mut known: BTreeSet<ObjectKey> = listener.from.iter().cloned().collect();
        for (chain, from) in decided {
            if matches!(chain.terminal, Terminal::Http(_)) {
                if listener.http.is_none() {
                    let policies = token_policies(scope, class);
                    known.extend(policies.iter().cloned());
                    listener.from.extend(policies);
                }
                listener.http = Some(facets.http.clone());
            }
            listener.chains.push(chain);
            for key in from {
                if known.insert(key.clone()) {
                    listener.from.push(key);
                }
            }
        }
    }
    by_name.into_values().collect()
}

fn empty(
    class: &ProxyClass,
    facets: &Facets,
    name: Str,
    addresses: Vec<Str>,
    port: u16,
) -> ListenerInput {
    ListenerInput {
        name,
        addresses,
        port,
        kind: ListenerKind::Gateway,
        transparent: false,
        exact_balance: class.facet.outbound_exact_balance,
        detection_timeout: std::time::Duration::ZERO,
        proxy_protocol: class.proxy_config.proxy_protocol,
        chains: Vec::new(),
        fallthrough: None,
        network: facets.network.clone(),
        http: None,
        from: Vec::new(),
    }
}

/// Why a server gets no chain, where its kind is not served yet or the proxy cannot do it.
fn unserved_reason(server: &Server, class: &ProxyClass) -> Option<&'static str> {
    let tls = server.tls.as_ref()?;
    if server.protocol.is_http() || is_passthrough(server) {
        return None;
    }
    if tls.mode == ServerTlsMode::IstioMutual {
        return (!class.has_identity).then_some(
            "the proxy has no certificates of the mesh, so it cannot serve TLS mode ISTIO_MUTUAL",
        );
    }
    let names = tls
        .credential_names
        .iter()
        .chain([&tls.ca_cert_credential_name]);
    if !class.has_identity && names.into_iter().any(|name| sds::is_builtin(name)) {
        return Some(
            "the proxy has no certificates of the mesh, so it cannot serve the credential builtin://",
        );
    }
    if tls.certificates.is_empty() && tls.credential_names.is_empty() {
        return Some(
            "TLS needs a certificate: set credentialName, or serverCertificate and privateKey",
        );
    }
    None
}

/// Why a port is not opened. Istio 1.31 leaves it out, too: Envoy would reject a listener that it may not bind.
fn closed_reason(port: &MergedPort, class: &ProxyClass) -> Option<String> {
    (class.facet.unprivileged && port.port < 1024).then(|| {
        format!(
            "port {} is not opened: the gateway's pod may not bind ports below 1024; give its Service a targetPort of \
             1024 or more",
            port.port
        )
    })
}

/// The accepted servers that get no chain.
pub(super) fn unserved(class: &ProxyClass, gateways: &MergedGateways) -> Vec<Refused> {
    let mut unserved = Vec::new();
    for port in &gateways.ports {
        let closed = closed_reason(port, class);
        for merged in &port.servers {
            let reason = match &closed {
                Some(closed) => Some(closed.clone().into()),
                None => merged
                    .server()
                    .and_then(|server| unserved_reason(server, class))
                    .map(Into::into),
            };
            unserved.extend(reason.map(|reason| Refused {
                gateway: merged.gateway.meta.key.clone(),
                index: merged.index,
                reason,
            }));
        }
    }
    unserved
}

impl Context<'_> {
    /// The chains of one port. Plain HTTP servers share one.
    fn chains(&mut self, port: &MergedPort, listener: &str) -> Vec<Decided> {
        if port.protocol.is_http() {
            let http = http(listener, "", &port.route_name, port.protocol);
            let from = port
                .servers
                .iter()
                .map(|server| server.gateway.meta.key.clone())
                .collect();
            return vec![(chain(Vec::new(), Terminal::http(http)), from)];
        }
        let mut out = Vec::new();
        for merged in &port.servers {
            let Some(server) = merged.server() else {
                continue;
            };
            if unserved_reason(server, self.class).is_some() {
                continue;
            }
            let own = |chain: Chain| (chain, vec![merged.gateway.meta.key.clone()]);
            if is_http_server(server) {
                let http = http(listener, &server.name, &merged.route_name, server.protocol);
                let mut chain = chain(sni(merged), Terminal::http(http));
                chain.tls = self.tls(server);
                out.push(own(chain));
            } else if is_passthrough(server) {
                out.extend(self.tls_routes(merged, server, port.port));
            } else {
                out.extend(self.tcp_routes(merged, server));
            }
        }
        out
    }

    /// The VirtualServices that are bound to the gateway and name a host of the server. Istio 1.31:
    /// `pickMatchingGatewayHosts`.
    fn bound<'v>(
        &'v self,
        merged: &MergedServer,
        server: &'v Server,
    ) -> impl Iterator<Item = &'v Shared<VirtualService>> {
        let gateway = merged.gateway_name();
        self.virtual_services.iter().filter(move |vs| {
            vs.gateways.iter().any(|name| **name == *gateway) && names_host(vs, &server.hosts)
        })
    }

    /// A TCP server: the first route that applies takes all of it. Istio 1.31:
    /// `buildGatewayNetworkFiltersFromTCPRoutes`.
    fn tcp_routes(&self, merged: &MergedServer, server: &Server) -> Option<Decided> {
        let gateway = merged.gateway_name();
        let port = listen_port(server);
        let applies = |matches: &[L4Match]| {
            matches.is_empty()
                || matches
                    .iter()
                    .any(|m| l4::applies_to_server(m, &gateway, server.port))
        };
        let (tcp, vs) = self.bound(merged, server).find_map(|vs| {
            let route = vs
                .tcp
                .iter()
                .find(|route| !route.destinations.is_empty() && applies(&route.matches))?;
            Some((
                l4::routes(self.scope, &route.destinations, &port, &vs.meta.key)?,
                vs,
            ))
        })?;
        let mut chain = chain(sni(merged), Terminal::tcp(tcp));
        if server.tls.is_none() {
            chain.matching = None;
            chain.reads_sni = false;
        }
        chain.metadata_exchange = self.exchanges(server);
        chain.tls = self.tls(server);
        Some((
            chain,
            vec![merged.gateway.meta.key.clone(), vs.meta.key.clone()],
        ))
    }

    /// A server that forwards TLS: a chain per match of a TLS route, by SNI. Istio 1.31:
    /// `buildGatewayNetworkFiltersFromTLSRoutes`.
    fn tls_routes(
        &mut self,
        merged: &MergedServer,
        server: &Server,
        listener_port: u16,
    ) -> Vec<Decided> {
        if server
            .tls
            .as_ref()
            .is_some_and(|tls| tls.mode == ServerTlsMode::AutoPassthrough)
        {
            let key = &merged.gateway.meta.key;
            return self
                .auto_passthrough(merged)
                .into_iter()
                .map(|c| (c, vec![key.clone()]))
                .collect();
        }
        let gateway = merged.gateway_name();
        let port = listen_port(server);
        let bound: Vec<Shared<VirtualService>> = self.bound(merged, server).cloned().collect();
        let mut out = Vec::new();
        for vs in bound {
            for route in &vs.tls {
                for matching in &route.matches {
                    if !l4::applies_to_server(matching, &gateway, server.port)
                        || !self.claim_sni(listener_port, &server.bind, &matching.sni_hosts)
                    {
                        continue;
                    }
                    let Some(tcp) =
                        l4::routes(self.scope, &route.destinations, &port, &vs.meta.key)
                    else {
                        continue;
                    };
                    let chain = chain(matching.sni_hosts.clone(), Terminal::tcp(tcp));
                    out.push((
                        chain,
                        vec![merged.gateway.meta.key.clone(), vs.meta.key.clone()],
                    ));
                }
            }
        }
        out
    }

    /// Whether none of the names is matched yet at the address; then they are from now on. Istio 1.31:
    /// `CheckDuplicates`.
    fn claim_sni(&mut self, port: u16, bind: &Str, hosts: &[Str]) -> bool {
        if hosts
            .iter()
            .any(|host| self.sni_hosts.get(&(port, host.clone())) == Some(bind))
        {
            return false;
        }
        for host in hosts {
            self.sni_hosts.insert((port, host.clone()), bind.clone());
        }
        true
    }

    /// A chain per cluster that the SNI may name, subsets too. Only the mesh's own mutual TLS may come this way, which
    /// its application protocols tell. Istio 1.31: `builtAutoPassthroughFilterChains`.
    fn auto_passthrough(&self, merged: &MergedServer) -> Vec<Chain> {
        let hosts = merged.sni_hosts();
        let pattern = &self.scope.mesh.outbound_stat_name;
        let mut out = Vec::new();
        for scoped in &self.scope.services {
            let (service, rule) = (&scoped.service, scoped.rule.as_deref());
            let host = &service.key.host;
            if service.mesh_external || !hosts.iter().any(|allowed| host.subset_of(allowed)) {
                continue;
            }
            for port in service
                .ports
                .iter()
                .filter(|port| port.protocol != Protocol::Udp)
            {
                let subsets = rule
                    .into_iter()
                    .flat_map(|rule| &rule.subsets)
                    .map(|subset| &*subset.name);
                for subset in std::iter::once("").chain(subsets) {
                    let name: Str = sni_name(port.number, subset, host).into();
                    let mut tcp = TcpChain::to(name.clone());
                    let names = StatNames {
                        host,
                        subset,
                        port: port.number,
                        port_name: &port.name,
                    };
                    if let Some(prefix) = l4::stat_prefix(pattern, &names, Some(service)) {
                        tcp.stat_prefix = prefix;
                    }
                    tcp.mongo = port.protocol == Protocol::Mongo;
                    l4::apply_rule(&mut tcp, rule, subset, false);
                    let mut chain = chain(vec![name], Terminal::tcp(tcp));
                    if let Some(matching) = &mut chain.matching {
                        matching.alpn = Alpn::Mesh;
                    }
                    out.push(chain);
                }
            }
        }
        out
    }

    /// Whether a TCP server speaks the mesh's mutual TLS and so may exchange metadata.
    fn exchanges(&self, server: &Server) -> bool {
        let mutual = server
            .tls
            .as_ref()
            .is_some_and(|tls| tls.mode == ServerTlsMode::IstioMutual);
        mutual
            && self
                .class
                .capabilities
                .has(Capability::TcpMetadataExchangeListener)
    }

    fn tls(&self, server: &Server) -> Option<DownstreamTls> {
        let exchange = !is_http_server(server) && self.exchanges(server);
        let tls = server.tls.as_ref()?;
        Some(server_tls(tls, self.scope, self.class, exchange))
    }
}

fn names_host(vs: &VirtualService, hosts: &[ServerHost]) -> bool {
    let namespace = &vs.meta.key.namespace;
    let matches = |host: &Hostname, server: &ServerHost| {
        (&*server.namespace == "*" || server.namespace == *namespace) && server.host.matches(host)
    };
    vs.hosts
        .iter()
        .any(|host| hosts.iter().any(|server| matches(host, server)))
}

fn listen_port(server: &Server) -> ListenPort {
    ListenPort {
        number: server.port,
        name: server.port_name.clone(),
        protocol: server.protocol,
    }
}

fn sni(merged: &MergedServer) -> Vec<Str> {
    merged.sni_hosts().into_iter().map(|host| host.0).collect()
}

/// `server`: the server's own name, which replaces the listener's in statistics.
fn http(listener: &str, server: &str, route: &Str, protocol: Protocol) -> HttpChain {
    let stat_prefix = if server.is_empty() {
        format!("outbound_{listener};")
    } else {
        server.to_owned()
    };
    HttpChain {
        grpc_web: protocol == Protocol::GrpcWeb,
        ..HttpChain::new(stat_prefix, RouteSource::Rds(route.clone()))
    }
}

/// A chain for these names; all names where one of them is `*`.
fn chain(sni: Vec<Str>, terminal: Terminal) -> Chain {
    let any_name = sni.iter().any(|name| &**name == "*");
    let reads_sni = !sni.is_empty();
    let mut server_names = if any_name { Vec::new() } else { sni };
    server_names.sort();
    let matching = (!server_names.is_empty()).then(|| ChainMatch {
        server_names,
        ..Default::default()
    });
    Chain {
        matching,
        reads_sni,
        ..Chain::to(terminal)
    }
}

//! All Gateways of one class of routers as one: which ports it listens on, which servers each has, and which route
//! configurations. Istio 1.31: `MergeGateways` (`pilot/pkg/model/gateway.go`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use meltemi_model::gateway::{Gateway, Server, ServerHost, ServerTlsMode};
use meltemi_model::indexed::IndexMap;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::{Hostname, ObjectKey, Shared, Str};

#[cfg(test)]
mod tests;

/// The Gateways of a class, merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergedGateways {
    /// Ports, in the order in which they were first asked for.
    pub ports: Vec<MergedPort>,
    /// The servers of each route configuration: several where plain HTTP is shared, one where TLS is terminated.
    pub routes: BTreeMap<Str, Vec<MergedServer>>,
    /// Servers that were left out, with the reason.
    pub refused: Vec<Refused>,
}

/// One listener's worth of servers: the same port, protocol and bind address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedPort {
    /// The port that the gateway listens on (not that of its Service).
    pub port: u16,
    /// The protocol of its first server.
    pub protocol: Protocol,
    /// The address, or empty.
    pub bind: Str,
    /// The route configuration of plain HTTP servers; else that of the first server, or empty.
    pub route_name: Str,
    /// Its servers, in order of precedence.
    pub servers: Vec<MergedServer>,
}

/// A server that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedServer {
    /// The Gateway.
    pub gateway: Shared<Gateway>,
    /// Index into its servers.
    pub index: usize,
    /// Its route configuration; empty for TCP and for TLS that is passed through.
    pub route_name: Str,
}

/// A server that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The Gateway.
    pub gateway: ObjectKey,
    /// Index into its servers.
    pub index: usize,
    /// Why, for a Diagnostic.
    pub reason: Cow<'static, str>,
}

impl MergedServer {
    /// The server.
    pub fn server(&self) -> Option<&Server> {
        self.gateway.servers.get(self.index)
    }

    /// `namespace/name` of the Gateway, as VirtualServices refer to it.
    pub fn gateway_name(&self) -> String {
        let key = &self.gateway.meta.key;
        format!("{}/{}", key.namespace, key.name)
    }

    /// Its hosts without namespaces, sorted: what a TLS server matches SNI by. Istio 1.31: `GetSNIHostsForServer`.
    pub fn sni_hosts(&self) -> BTreeSet<Hostname> {
        self.server()
            .into_iter()
            .flat_map(|s| s.hosts.iter().map(|h| h.host.clone()))
            .collect()
    }
}

impl MergedGateways {
    /// Whether any server forwards by the cluster that SNI names.
    pub fn auto_passthrough(&self) -> bool {
        let modes = self
            .ports
            .iter()
            .flat_map(|p| &p.servers)
            .filter_map(|s| s.server()?.tls.as_ref());
        modes
            .into_iter()
            .any(|tls| tls.mode == ServerTlsMode::AutoPassthrough)
    }

    /// `namespace/name` of every Gateway of which a server was accepted. Istio 1.31: `GatewayNameForServer`.
    pub fn names(&self) -> BTreeSet<String> {
        let servers = self.ports.iter().flat_map(|port| &port.servers);
        servers
            .chain(self.routes.values().flatten())
            .map(MergedServer::gateway_name)
            .collect()
    }

    fn port(&mut self, key: &PortKey) -> Option<&mut MergedPort> {
        self.ports
            .iter_mut()
            .find(|p| (p.port, p.protocol, &p.bind) == (key.0, key.1, &key.2))
    }
}

/// Whether the server is HTTP, or HTTPS that it terminates. Istio 1.31: `gateway.IsHTTPServer`.
pub fn is_http_server(server: &Server) -> bool {
    server.protocol.is_http() || (server.protocol == Protocol::Https && !is_passthrough(server))
}

/// Whether the server takes TLS connections, rather than HTTP that it redirects to HTTPS. Istio 1.31:
/// `gateway.IsTLSServer`.
pub fn is_tls_server(server: &Server) -> bool {
    server.tls.is_some() && !server.protocol.is_http()
}

/// Whether TLS is passed through. Istio 1.31: `gateway.IsPassThroughServer`.
pub fn is_passthrough(server: &Server) -> bool {
    let mode = server.tls.as_ref().map(|tls| tls.mode);
    matches!(
        mode,
        Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
    )
}

/// Port, protocol, bind address: what makes a listener.
type PortKey = (u16, Protocol, Str);

/// Merges the Gateways that select the class. `gateways`: all of them, oldest first. `own_namespace`: those of other
/// namespaces do not count.
pub fn merge(
    gateways: &[Shared<Gateway>],
    class: &ProxyClass,
    own_namespace: bool,
) -> MergedGateways {
    let mut merge = Merge::default();
    let named: Vec<_> = gateways
        .iter()
        .filter(|gateway| !own_namespace || gateway.meta.key.namespace == class.namespace)
        .filter_map(|gateway| Some((gateway, Ports::of(gateway, class)?)))
        .collect();
    for (gateway, ports) in named {
        let servers = gateway.servers.iter().enumerate();
        let bound = servers.flat_map(|(index, server)| {
            let own = ports.own(server.port, class);
            own.into_iter().map(move |port| (index, server, port))
        });
        for (index, server, port) in bound {
            let route_name: Str = route_name(server, port, gateway).into();
            let merged = MergedServer {
                gateway: gateway.clone(),
                index,
                route_name,
            };
            if let Err(reason) = merge.add(server, port, merged) {
                merge.out.refused.push(Refused {
                    gateway: gateway.meta.key.clone(),
                    index,
                    reason: reason.into(),
                });
            }
        }
    }
    merge.out
}

/// How the ports of a Gateway that is for a class become the pod's own.
enum Ports {
    /// Its selector selects the class.
    Selected,
    /// It names Services, and the class is behind some: service port → the pod's own.
    Named(BTreeMap<u16, BTreeSet<u16>>),
}

impl Ports {
    /// `None`: the Gateway is not for the class. Istio 1.31: `mergeGateways`.
    fn of(gateway: &Gateway, class: &ProxyClass) -> Option<Self> {
        if gateway.services().next().is_none() {
            let selected = class.labels.satisfies(&gateway.selector);
            return selected.then_some(Self::Selected);
        }
        let namespace = &gateway.meta.key.namespace;
        let mine = class.gateway_services.iter().filter(|(key, _)| {
            key.namespace == *namespace && gateway.services().any(|host| host == key.host.as_str())
        });
        let mut ports: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
        for (port, targets) in mine.flat_map(|(_, ports)| ports) {
            ports.entry(*port).or_default().extend(targets);
        }
        (!ports.is_empty()).then_some(Self::Named(ports))
    }

    /// The ports that the pod listens on for a port of the Gateway. One that names Services means their ports, so a port
    /// that none of them has is none at all. Istio 1.31: `resolvePorts`.
    fn own(&self, port: u16, class: &ProxyClass) -> Vec<u16> {
        match self {
            Self::Selected => vec![own_port(port, class)],
            Self::Named(ports) => ports.get(&port).into_iter().flatten().copied().collect(),
        }
    }
}

/// The port that the gateway's pod listens on for a port of its Service; where no Service has that port, the Gateway
/// means the pod's own. Istio 1.31: `resolvePorts`.
fn own_port(port: u16, class: &ProxyClass) -> u16 {
    class
        .gateway_ports
        .get(&port)
        .and_then(|targets| targets.first())
        .copied()
        .unwrap_or(port)
}

/// The name of a server's route configuration; empty where it has none. Istio 1.31: `gatewayRDSRouteName`.
fn route_name(server: &Server, port: u16, gateway: &Gateway) -> String {
    let bind = if server.bind.is_empty() {
        String::new()
    } else {
        format!(".{}", server.bind)
    };
    if server.protocol.is_http() {
        return format!("http.{port}{bind}");
    }
    if !is_http_server(server) {
        return String::new();
    }
    let key = &gateway.meta.key;
    format!(
        "https.{}.{}.{}.{}{bind}",
        server.port, server.port_name, key.name, key.namespace
    )
}

/// The state of a merge.
#[derive(Debug, Default)]
struct Merge {
    out: MergedGateways,
    used: BTreeSet<u16>,
    /// The last plain-text listener of each port.
    plain: BTreeMap<u16, PortKey>,
    /// Which address each TLS host of a port is served at.
    tls_hosts: IndexMap<(u16, ServerHost), Str>,
}

impl Merge {
    fn add(
        &mut self,
        server: &Server,
        port: u16,
        merged: MergedServer,
    ) -> Result<(), &'static str> {
        if server.tls.is_some() {
            self.claim_hosts(server, port)?;
        }
        let key: PortKey = (port, server.protocol, server.bind.clone());
        if self.used.insert(port) {
            self.open(server, key, merged);
            return Ok(());
        }
        match self.plain.get(&port).cloned() {
            Some(current) => self.join_plain(server, &current, key, merged),
            None if !is_tls_server(server) => {
                self.open(server, key, merged);
                Ok(())
            }
            None => self.join_tls(server, key, merged),
        }
    }

    /// Two TLS servers with the same host would be two filter chains with the same match, which Envoy refuses.
    /// Istio 1.31: `CheckDuplicates`.
    fn claim_hosts(&mut self, server: &Server, port: u16) -> Result<(), &'static str> {
        let taken =
            |host: &ServerHost| self.tls_hosts.get(&(port, host.clone())) == Some(&server.bind);
        if server.hosts.iter().any(taken) {
            return Err("another server of this port has the same host");
        }
        for host in &server.hosts {
            self.tls_hosts
                .insert((port, host.clone()), server.bind.clone());
        }
        Ok(())
    }

    /// A listener of its own.
    fn open(&mut self, server: &Server, key: PortKey, merged: MergedServer) {
        if !is_tls_server(server) {
            self.plain.insert(key.0, key.clone());
        }
        if is_http_server(server) {
            self.out
                .routes
                .insert(merged.route_name.clone(), vec![merged.clone()]);
        }
        let route_name = merged.route_name.clone();
        if let Some(existing) = self.out.port(&key) {
            existing.route_name = route_name;
            existing.servers = vec![merged];
        } else {
            let (port, protocol, bind) = key;
            self.out.ports.push(MergedPort {
                port,
                protocol,
                bind,
                route_name,
                servers: vec![merged],
            });
        }
    }

    /// A port that already has a plain-text listener: HTTP servers share it, and other addresses are apart.
    fn join_plain(
        &mut self,
        server: &Server,
        current: &PortKey,
        key: PortKey,
        merged: MergedServer,
    ) -> Result<(), &'static str> {
        let same_bind = current.2 == key.2;
        let compatible =
            (server.protocol.is_http() || server.protocol == current.1) && current.1.is_http();
        if same_bind && !compatible {
            return Err("another server of this port has a protocol that cannot share it");
        }
        if same_bind && merged.route_name.is_empty() {
            return Err("another server already has this port");
        }
        let target = if same_bind { current } else { &key };
        if self.out.port(target).is_none() {
            self.open(server, key, merged);
            return Ok(());
        }
        if !merged.route_name.is_empty() {
            self.out
                .routes
                .entry(merged.route_name.clone())
                .or_default()
                .push(merged.clone());
        }
        if let Some(existing) = self.out.port(target) {
            if !same_bind {
                existing.route_name = merged.route_name.clone();
            }
            existing.servers.push(merged);
        }
        Ok(())
    }

    /// Another TLS server on a port: told apart by SNI, each with a route configuration of its own.
    fn join_tls(
        &mut self,
        server: &Server,
        key: PortKey,
        merged: MergedServer,
    ) -> Result<(), &'static str> {
        if is_http_server(server) {
            if self.out.routes.contains_key(&merged.route_name) {
                return Err("another HTTPS server of this Gateway has the same port name");
            }
            self.out
                .routes
                .insert(merged.route_name.clone(), vec![merged.clone()]);
        }
        match self.out.port(&key) {
            Some(existing) => existing.servers.push(merged),
            None => {
                let (port, protocol, bind) = key;
                // Which route configuration applies depends on the server that SNI selects.
                let route_name = Str::from("");
                self.out.ports.push(MergedPort {
                    port,
                    protocol,
                    bind,
                    route_name,
                    servers: vec![merged],
                });
            }
        }
        Ok(())
    }
}

//! Route configurations of gateways. Istio 1.31: `buildGatewayHTTPRouteConfig` (`pilot/pkg/networking/core/gateway.go`).

use std::collections::BTreeSet;

use meltemi_builders::route::{RouteInput, RouteSpec, VirtualHostInput};
use meltemi_model::gateway::Server;
use meltemi_model::indexed::IndexMap;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::routing::VirtualService;
use meltemi_model::{Hostname, ObjectKey, Shared, Str};
use meltemi_world::{Scope, ScopedService};

use super::domains::host_port;
use super::rules::{Listener, Target, routes};
use crate::plan::gateway::{MergedGateways, MergedServer};

/// All route configurations of a class of routers. `virtual_services`: those that the class may see, in order of
/// precedence.
pub fn gateway_routes(
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
    virtual_services: &[Shared<VirtualService>],
) -> Vec<RouteInput> {
    let build = Build::new(scope, class, virtual_services);
    gateways
        .routes
        .iter()
        .map(|(name, servers)| build.route_configuration(name, servers))
        .collect()
}

/// The route configuration of a name; `None` where no server has it (a Gateway that was just deleted).
pub fn gateway_route(
    scope: &Scope,
    class: &ProxyClass,
    gateways: &MergedGateways,
    virtual_services: &[Shared<VirtualService>],
    name: &str,
) -> Option<RouteInput> {
    let servers = gateways.routes.get(name)?;
    Some(Build::new(scope, class, virtual_services).route_configuration(name, servers))
}

/// Where a group of routes comes from: the Gateway and the VirtualService, by their places in a list of those of the route
/// configuration.
type Origin = (usize, usize);

/// A virtual host in the making.
#[derive(Debug)]
struct Host<'a> {
    /// The port that its name carries: that of the server which asked for it first.
    port: u16,
    domains: Vec<Str>,
    routes: Vec<Shared<Vec<RouteSpec>>>,
    origins: Vec<Origin>,
    /// The Gateways that have it. Not all of the route configuration's: with many of them, each of many virtual hosts
    /// would name them all.
    from: BTreeSet<&'a ObjectKey>,
    require_tls: bool,
}

impl Host<'_> {
    fn new(host: &Hostname, port: u16) -> Self {
        Self {
            port,
            domains: vec![host.0.clone()],
            routes: Vec::new(),
            origins: Vec::new(),
            from: BTreeSet::new(),
            require_tls: false,
        }
    }
}

struct Build<'a> {
    scope: &'a Scope,
    class: &'a ProxyClass,
    /// VirtualServices and their places in the list of all, by Gateway.
    by_gateway: IndexMap<&'a str, Vec<(usize, &'a Shared<VirtualService>)>>,
    /// Services by host and namespace, where several namespaces claim a host; else empty.
    by_key: IndexMap<(&'a Hostname, &'a str), &'a ScopedService>,
}

impl<'a> Build<'a> {
    fn new(
        scope: &'a Scope,
        class: &'a ProxyClass,
        virtual_services: &'a [Shared<VirtualService>],
    ) -> Self {
        let mut by_gateway: IndexMap<&str, Vec<_>> = IndexMap::default();
        for (number, vs) in virtual_services.iter().enumerate() {
            for gateway in &vs.gateways {
                by_gateway.entry(&**gateway).or_default().push((number, vs));
            }
        }
        let contested = scope.services.len() != scope.by_host.len();
        let rows = scope.services.iter().filter(|_| contested);
        let by_key = rows
            .map(|row| ((&row.service.key.host, &*row.service.key.namespace), row))
            .collect();
        Self {
            scope,
            class,
            by_gateway,
            by_key,
        }
    }

    fn route_configuration(&self, name: &str, servers: &[MergedServer]) -> RouteInput {
        let hosts = self.hosts(servers);
        let attempt_count = !self.class.proxy_config.headers.attempt_count_disabled;
        let mut virtual_hosts: Vec<VirtualHostInput> = collapse(hosts)
            .into_iter()
            .map(|(host, h)| VirtualHostInput {
                name: host_port(host.as_str(), h.port).into(),
                domains: h.domains,
                routes: h.routes,
                attempt_count,
                require_tls: h.require_tls,
                from: h.from.into_iter().cloned().collect(),
            })
            .collect();
        if virtual_hosts.is_empty() {
            let port = servers
                .first()
                .and_then(MergedServer::server)
                .map_or(0, |server| server.port);
            let from: BTreeSet<ObjectKey> =
                servers.iter().map(|s| s.gateway.meta.key.clone()).collect();
            virtual_hosts.push(blackhole(port, from.into_iter().collect()));
        }
        virtual_hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let virtual_hosts = virtual_hosts.into_iter().map(Shared::new).collect();
        RouteInput {
            name: name.into(),
            virtual_hosts,
            limits: true,
        }
    }

    fn hosts<'s>(&self, servers: &'s [MergedServer]) -> IndexMap<Hostname, Host<'s>> {
        let mut hosts: IndexMap<Hostname, Host<'s>> = IndexMap::default();
        let mut gateways: IndexMap<&ObjectKey, ()> = IndexMap::default();
        let mut done: IndexMap<Origin, Shared<Vec<RouteSpec>>> = IndexMap::default();
        for (merged, server) in servers
            .iter()
            .filter_map(|merged| Some((merged, merged.server()?)))
        {
            let gateway = merged.gateway_name();
            let key = &merged.gateway.meta.key;
            let place = gateways.insert_full(key, ()).0;
            let redirect = server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
            let bound = self.by_gateway.get(gateway.as_str());
            for (number, vs) in bound.into_iter().flatten() {
                let shared = shared_hosts(server, vs);
                if shared.is_empty() {
                    continue;
                }
                let origin: Origin = (place, *number);
                // A VirtualService has the same routes at all servers of a Gateway that share a route configuration.
                let group = match done.get(&origin) {
                    Some(group) => group.clone(),
                    None => {
                        let specs = self.routes(vs, server, &gateway);
                        if specs.is_empty() {
                            continue;
                        }
                        let group = Shared::new(specs);
                        done.insert(origin, group.clone());
                        group
                    }
                };
                for host in shared {
                    let entry = hosts
                        .entry(host.clone())
                        .or_insert_with(|| Host::new(&host, server.port));
                    entry.routes.push(group.clone());
                    entry.origins.push(origin);
                    entry.from.insert(key);
                    entry.require_tls |= redirect;
                }
            }
            // Hosts without routes are redirected, too.
            for host in server.hosts.iter().filter(|_| redirect).map(|h| &h.host) {
                let entry = hosts
                    .entry(host.clone())
                    .or_insert_with(|| Host::new(host, server.port));
                entry.from.insert(key);
                entry.require_tls = true;
            }
        }
        hosts
    }

    fn routes(
        &self,
        vs: &Shared<VirtualService>,
        server: &Server,
        gateway: &str,
    ) -> Vec<RouteSpec> {
        let namespace = &vs.meta.key.namespace;
        let target = |host: &Hostname| {
            self.service(host, namespace)
                .map(|row| Target::whole(&row.service))
        };
        let rule = |host: &Hostname| self.scope.service(host).and_then(|row| row.rule.as_deref());
        let listener = Listener {
            class: self.class,
            mesh: &self.scope.mesh,
            gateway,
            port: server.port,
            tls: server.tls.is_some(),
            target: &target,
            rule: &rule,
        };
        routes(vs, &listener)
    }

    /// The service of a host: that of the VirtualService's own namespace, else the one that was chosen. Istio 1.31:
    /// `buildNameToServiceMapForHTTPRoutes`.
    fn service(&self, host: &Hostname, namespace: &str) -> Option<&'a ScopedService> {
        self.by_key
            .get(&(host, namespace))
            .copied()
            .or_else(|| self.scope.service(host))
    }
}

/// The hosts that a server and a VirtualService have in common: of each pair, the more specific one. Istio 1.31:
/// `NamesForNamespace` and `Names.Intersection`.
fn shared_hosts(server: &Server, vs: &VirtualService) -> Vec<Hostname> {
    let mut out: Vec<Hostname> = Vec::new();
    let namespace = &vs.meta.key.namespace;
    for own in server
        .hosts
        .iter()
        .filter(|host| &*host.namespace == "*" || host.namespace == *namespace)
    {
        for host in &vs.hosts {
            let common = if own.host.subset_of(host) {
                &own.host
            } else if host.subset_of(&own.host) {
                host
            } else {
                continue;
            };
            if !out.contains(common) {
                out.push(common.clone());
            }
        }
    }
    out
}

/// Hosts with the same routes become one virtual host, named after the most specific of them: a VirtualService with
/// many hosts would else be sent many times. Istio 1.31: `collapseDuplicateRoutes`.
fn collapse(hosts: IndexMap<Hostname, Host<'_>>) -> Vec<(Hostname, Host<'_>)> {
    let mut sorted: Vec<(Hostname, Host<'_>)> = hosts.into_iter().collect();
    sorted.sort_unstable_by(|a, b| a.0.specificity(&b.0));
    let mut out: Vec<(Hostname, Host<'_>)> = Vec::with_capacity(sorted.len());
    let mut known: IndexMap<Vec<Origin>, usize> = IndexMap::default();
    for (name, host) in sorted {
        let first = known.get(&host.origins).and_then(|at| out.get_mut(*at));
        match first {
            Some((_, first)) if first.require_tls == host.require_tls => {
                first.domains.extend(host.domains);
                first.from.extend(host.from);
            }
            _ => {
                known.insert(host.origins.clone(), out.len());
                out.push((name, host));
            }
        }
    }
    out
}

/// Without any virtual host, Envoy answers 404 all the same, but names this one in its statistics.
fn blackhole(port: u16, from: Vec<ObjectKey>) -> VirtualHostInput {
    VirtualHostInput {
        name: host_port("blackhole", port).into(),
        domains: vec!["*".into()],
        routes: Vec::new(),
        attempt_count: false,
        require_tls: false,
        from,
    }
}

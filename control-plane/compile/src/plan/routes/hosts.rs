//! The virtual hosts of one outbound listener: which VirtualServices and services it serves, and under which names.
//! Istio 1.31: `BuildSidecarOutboundVirtualHosts` and `BuildSidecarVirtualHostWrapper`.

use std::collections::BTreeMap;

use meltemi_builders::route::{DefaultRoute, RouteSpec, VirtualHostInput};
use meltemi_model::indexed::{IndexMap, IndexSet};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::routing::{MESH_GATEWAY, VirtualService};
use meltemi_model::service::{Resolution, ServicePort, outbound_name};
use meltemi_model::{Hostname, ObjectKey, Shared, Str};
use meltemi_world::{EgressScope, Scope, ScopedService};

use super::domains::{Domains, bracketed, host_port, service_domains};
use super::rules::{Listener, Target, hash_of_service, may_be_http, routes};

/// The port at which VirtualServices for hosts outside of the registry are served, too.
const WEB: u16 = 80;

/// The virtual hosts of a port (0: of a proxy or socket, which serves all ports), without the catch-all.
pub(super) fn virtual_hosts(
    scope: &Scope,
    class: &ProxyClass,
    egress: &EgressScope,
    port: u16,
) -> Vec<VirtualHostInput> {
    Hosts::new(scope, class, egress, port).virtual_hosts()
}

/// A service as one listener shows it.
#[derive(Debug, Clone, Copy)]
struct Visible<'a> {
    row: &'a ScopedService,
    /// Its port on this listener; `None`: all of them.
    only: Option<&'a ServicePort>,
}

impl<'a> Visible<'a> {
    fn host(&self) -> &'a Hostname {
        &self.row.service.key.host
    }

    fn http_ports(&self) -> impl Iterator<Item = &'a ServicePort> + use<'a> {
        let all = match self.only {
            Some(port) => std::slice::from_ref(port),
            None => &self.row.service.ports[..],
        };
        all.iter().filter(|port| may_be_http(port.protocol))
    }

    fn target(&self) -> Target<'a> {
        match self.only {
            Some(port) => Target {
                service: &self.row.service,
                only_port: Some(port.number),
            },
            None => Target::whole(&self.row.service),
        }
    }
}

/// Virtual hosts to be: the hosts of a port that share routes.
struct Group<'a> {
    port: u16,
    /// Hosts of a VirtualService that are no services here.
    hosts: Vec<Hostname>,
    services: Vec<Visible<'a>>,
    routes: Shared<Vec<RouteSpec>>,
    from: Vec<ObjectKey>,
}

/// The virtual hosts of one listener.
struct Hosts<'a> {
    scope: &'a Scope,
    class: &'a ProxyClass,
    egress: &'a EgressScope,
    /// 0: all ports are served.
    port: u16,
    /// In order of age.
    services: IndexMap<&'a Hostname, Visible<'a>>,
    /// Those of them that are named with a wildcard.
    wildcards: Vec<&'a Hostname>,
}

impl<'a> Hosts<'a> {
    fn new(scope: &'a Scope, class: &'a ProxyClass, egress: &'a EgressScope, port: u16) -> Self {
        let own = egress
            .listener
            .as_ref()
            .and_then(|listener| listener.port.as_ref());
        // A listener that works as an HTTP proxy serves all ports, whichever its own is.
        let port = if own.is_some_and(|own| own.protocol == Protocol::HttpProxy) {
            0
        } else {
            port
        };
        let mut out = Self {
            scope,
            class,
            egress,
            port,
            services: IndexMap::default(),
            wildcards: Vec::new(),
        };
        for row in scope.services_of(egress) {
            let only = row.service.port(port);
            if port != 0 && only.is_none() {
                continue;
            }
            let visible = Visible { row, only };
            // A later one takes the place of an earlier one.
            out.services.insert(visible.host(), visible);
        }
        let hosts = out.services.keys().copied();
        out.wildcards = hosts.filter(|host| host.is_wildcard()).collect();
        out
    }

    fn service(&self, host: &Hostname) -> Option<Visible<'a>> {
        self.services.get(host).copied()
    }

    fn virtual_hosts(&self) -> Vec<VirtualHostInput> {
        let mut groups = self.virtual_service_groups();
        let routed: IndexSet<&Hostname> = groups
            .iter()
            .flat_map(|g| &g.services)
            .map(Visible::host)
            .collect();
        let plain: Vec<_> = self
            .services
            .values()
            .filter(|service| !routed.contains(service.host()))
            .collect();
        groups.extend(
            plain
                .into_iter()
                .flat_map(|service| self.service_groups(service)),
        );
        // Names without a port mean port 80, so its services are first to claim them.
        groups.sort_by_key(|group| self.port == 0 && group.port != WEB);
        let mut claims = Claims::default();
        for group in &groups {
            for service in &group.services {
                claims.hosts.insert(service.host().as_str());
                claims.ports.insert((service.host().as_str(), group.port));
            }
        }
        groups
            .iter()
            .flat_map(|group| self.hosts_of_group(group, &mut claims))
            .collect()
    }

    /// The groups of services without a VirtualService, one for each port. ExternalName services that stand for
    /// another service answer in that one's virtual host.
    fn service_groups(&self, visible: &Visible<'a>) -> Vec<Group<'a>> {
        let service = &visible.row.service;
        if service.resolution == Resolution::Alias {
            return Vec::new();
        }
        let group = |port: &ServicePort| {
            let rule = visible.row.rule.as_deref();
            let hash = rule.and_then(|rule| hash_of_service(rule, port.number));
            let mut from = vec![service.object.clone()];
            from.extend(
                rule.filter(|_| hash.is_some())
                    .into_iter()
                    .flat_map(|rule| rule.from.iter().cloned()),
            );
            let host = &service.key.host;
            let route = RouteSpec::Default(DefaultRoute {
                cluster: outbound_name(port.number, "", host).into(),
                operation: format!("{}/*", host_port(host.as_str(), port.number)).into(),
                retries: self.scope.mesh.default_retries.clone(),
                hash,
            });
            let routes = Shared::new(vec![route]);
            Group {
                port: port.number,
                hosts: Vec::new(),
                services: vec![*visible],
                routes,
                from,
            }
        };
        visible.http_ports().map(group).collect()
    }

    /// The groups of VirtualServices. Istio 1.31: `buildSidecarVirtualHostsForVirtualService`.
    fn virtual_service_groups(&self) -> Vec<Group<'a>> {
        let target = |host: &Hostname| self.service(host).map(|visible| visible.target());
        let rule = |host: &Hostname| self.scope.service(host).and_then(|row| row.rule.as_deref());
        let listener = Listener {
            class: self.class,
            mesh: &self.scope.mesh,
            gateway: MESH_GATEWAY,
            port: self.port,
            tls: false,
            target: &target,
            rule: &rule,
        };
        let best = self.best_virtual_services();
        let mut out = Vec::new();
        for vs in &self.egress.virtual_services {
            // Everywhere but at port 80, a VirtualService matters only for services of the listener.
            if self.port != WEB && !self.concerns(vs) {
                continue;
            }
            let specs = routes(vs, &listener);
            if specs.is_empty() {
                continue;
            }
            let (hosts, services) = self.split_hosts(vs, &best);
            let mut by_port: BTreeMap<u16, Vec<Visible<'a>>> = BTreeMap::new();
            for service in services {
                for port in service.http_ports() {
                    by_port.entry(port.number).or_default().push(service);
                }
            }
            if by_port.is_empty() && self.port == WEB {
                by_port.insert(WEB, Vec::new());
            }
            let specs = Shared::new(specs);
            out.extend(by_port.into_iter().map(|(port, services)| Group {
                port,
                hosts: hosts.clone(),
                services,
                routes: specs.clone(),
                from: Vec::new(),
            }));
        }
        out
    }

    /// Whether any host of a VirtualService is, or contains, a service of the listener.
    fn concerns(&self, vs: &VirtualService) -> bool {
        vs.hosts.iter().any(|host| {
            self.services.contains_key(host)
                || if host.is_wildcard() {
                    self.services.keys().any(|service| host.matches(service))
                } else {
                    self.wildcards.iter().any(|service| host.matches(service))
                }
        })
    }

    /// For each service of the egress listener that a VirtualService is for: the one with the most specific host, or
    /// the oldest of these. Istio 1.31: `computeWildcardHostVirtualServiceIndex`.
    fn best_virtual_services(&self) -> BTreeMap<&'a Hostname, &'a ObjectKey> {
        let mut by_host: IndexMap<&Hostname, &ObjectKey> = IndexMap::default();
        for vs in &self.egress.virtual_services {
            for host in &vs.hosts {
                by_host.entry(host).or_insert(&vs.meta.key);
            }
        }
        let mut wildcards: Vec<_> = by_host
            .iter()
            .filter(|(host, _)| host.is_wildcard())
            .collect();
        if wildcards.is_empty() {
            return BTreeMap::new();
        }
        wildcards.sort_by(|a, b| a.0.specificity(b.0));
        let best = |host: &'a Hostname| {
            let exact = by_host.get(host);
            exact
                .or_else(|| {
                    wildcards
                        .iter()
                        .find(|(w, _)| host.subset_of(w))
                        .map(|(_, key)| *key)
                })
                .copied()
        };
        self.services
            .keys()
            .filter_map(|host| Some((*host, best(host)?)))
            .collect()
    }

    /// The hosts of a VirtualService: those that are no services here, and the services. Istio 1.31:
    /// `separateVSHostsAndServices`.
    fn split_hosts(
        &self,
        vs: &VirtualService,
        best: &BTreeMap<&Hostname, &ObjectKey>,
    ) -> (Vec<Hostname>, Vec<Visible<'a>>) {
        let (wildcards, exact): (Vec<_>, Vec<_>) =
            vs.hosts.iter().partition(|host| host.is_wildcard());
        let (mut hosts, mut services) = (Vec::new(), Vec::new());
        for host in exact {
            match self.service(host) {
                Some(service) => services.push(service),
                None => hosts.push(host.clone()),
            }
        }
        for host in wildcards {
            let inside: Vec<_> = self
                .services
                .values()
                .filter(|service| service.host().matches(host))
                .collect();
            if inside.is_empty() {
                hosts.push(host.clone());
            }
            let is_best = |service: &&&Visible<'a>| best.get(service.host()) == Some(&&vs.meta.key);
            services.extend(inside.iter().filter(is_best).copied());
        }
        (hosts, services)
    }

    fn hosts_of_group(&self, group: &Group<'a>, claims: &mut Claims<'a>) -> Vec<VirtualHostInput> {
        let mut out = Vec::new();
        for host in &group.hosts {
            let domains = Domains {
                all: vec![bracketed(host.as_str()).into()],
                short: Vec::new(),
            };
            out.extend(self.virtual_host(host, domains, group, &[], claims));
        }
        for visible in &group.services {
            let service = &visible.row.service;
            let port = (self.port == 0).then_some(group.port);
            let domains = service_domains(service, port, self.class);
            let from = std::slice::from_ref(&service.object);
            out.extend(self.virtual_host(visible.host(), domains, group, from, claims));
        }
        out
    }

    /// A virtual host with the domains that nobody has claimed yet; `None` where nothing is left.
    fn virtual_host(
        &self,
        host: &Hostname,
        domains: Domains,
        group: &Group<'a>,
        service: &[ObjectKey],
        claims: &mut Claims<'a>,
    ) -> Option<VirtualHostInput> {
        let name = Str::from(host_port(host.as_str(), group.port));
        let mut domains = claims.grant(&name, domains)?;
        if self.port == 0 && group.port != WEB {
            // A client that names no port means 80.
            domains.retain(|domain| domain.contains(':'));
        }
        if domains.is_empty() || (self.port != 0 && group.port != self.port) {
            return None;
        }
        let mut from: Vec<ObjectKey> = group.from.iter().chain(service).cloned().collect();
        from.sort_unstable();
        from.dedup();
        Some(VirtualHostInput {
            name,
            domains,
            routes: vec![group.routes.clone()],
            attempt_count: !self.class.proxy_config.headers.attempt_count_disabled,
            require_tls: false,
            from,
        })
    }
}

/// Which names and domains are taken: Envoy refuses a RouteConfiguration that has one twice.
#[derive(Default)]
struct Claims<'a> {
    /// Full names of services, which short names of others must not take.
    hosts: IndexSet<&'a str>,
    /// The same with their ports.
    ports: IndexSet<(&'a str, u16)>,
    names: IndexSet<Str>,
    /// In lower case.
    domains: IndexSet<Str>,
}

impl Claims<'_> {
    /// The free ones of `domains`; `None` where the name is taken. Istio 1.31: `dedupeDomains`.
    fn grant(&mut self, name: &Str, domains: Domains) -> Option<Vec<Str>> {
        if !self.names.insert(name.clone()) {
            return None;
        }
        let Domains { mut all, short } = domains;
        all.retain(|domain| {
            let real = short.contains(domain) && self.is_service(domain);
            !real && self.domains.insert(lower_case(domain))
        });
        Some(all)
    }

    /// Whether a service is really called so, `name` or `name:port`.
    fn is_service(&self, domain: &str) -> bool {
        let with_port = |(host, port): (&str, &str)| {
            port.parse()
                .is_ok_and(|port| self.ports.contains(&(host, port)))
        };
        self.hosts.contains(domain) || domain.rsplit_once(':').is_some_and(with_port)
    }
}

fn lower_case(domain: &Str) -> Str {
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        domain.to_ascii_lowercase().into()
    } else {
        domain.clone()
    }
}

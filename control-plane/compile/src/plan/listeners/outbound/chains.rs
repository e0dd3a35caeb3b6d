//! The filter chains of outbound listeners, while they can still meet others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use meltemi_builders::listener::{
    Alpn, Chain, ChainMatch, HttpChain, RouteSource, TcpChain, Terminal, Transport,
};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::routing::VirtualService;
use meltemi_model::{ObjectKey, Shared, Str};
use meltemi_world::Scope;

use super::super::addresses::wildcards;
use super::super::facets::dns_family;
use super::super::l4;
use super::Wish;

/// A filter chain with the conditions as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ChainPlan {
    /// Names in the TLS handshake.
    pub(in super::super) sni: Vec<Str>,
    /// Ranges of the destination.
    pub(in super::super) ranges: Vec<Str>,
    /// Application protocol.
    pub(in super::super) alpn: Alpn,
    /// Transport.
    pub(in super::super) transport: Transport,
    /// Where it leads.
    pub(in super::super) terminal: Terminal,
    /// The object whose routes it follows, which its metadata names.
    pub(in super::super) owner: Option<ObjectKey>,
    /// Whether its metadata names `owner`.
    pub(in super::super) names_owner: bool,
}

impl ChainPlan {
    /// A chain for everything.
    pub(in super::super) fn to(terminal: Terminal) -> Self {
        Self {
            sni: Vec::new(),
            ranges: Vec::new(),
            alpn: Alpn::Any,
            transport: Transport::Any,
            terminal,
            owner: None,
            names_owner: false,
        }
    }

    pub(super) fn is_http(&self) -> bool {
        matches!(self.terminal, Terminal::Http(_))
    }

    /// Whether it takes every connection. Istio 1.31: `isMatchAll`.
    fn matches_all(&self) -> bool {
        (self.sni.is_empty() || self.sni.iter().any(|name| &**name == "*"))
            && self.alpn == Alpn::Any
            && self.transport == Transport::Any
            && self.ranges.is_empty()
    }

    /// Whether Envoy would take the conditions for the same. Istio 1.31: `conflictsWith`.
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        (self.transport, self.alpn) == (other.transport, other.alpn)
            && names(&self.sni) == names(&other.sni)
            && masked(&self.ranges) == masked(&other.ranges)
    }

    /// The chain in its listener. Istio 1.31: `toFilterChainMatch`.
    pub(in super::super) fn finish(mut self, listener: &str) -> Chain {
        if let Terminal::Http(http) = &mut self.terminal {
            http.stat_prefix = format!("outbound_{listener};").into();
        }
        let matching = (!self.matches_all()).then(|| {
            let any_name = self.sni.iter().any(|name| &**name == "*");
            let mut server_names = if any_name {
                Vec::new()
            } else {
                self.sni.clone()
            };
            server_names.sort();
            let mut ranges: Vec<Str> = self
                .ranges
                .iter()
                .filter(|range| !range.starts_with("0.0.0.0"))
                .cloned()
                .collect();
            ranges.sort();
            ChainMatch {
                server_names,
                ranges,
                transport: self.transport,
                alpn: self.alpn,
                ..Default::default()
            }
        });
        Chain {
            matching,
            reads_sni: !self.sni.is_empty(),
            config: self.owner.filter(|_| self.names_owner),
            ..Chain::to(self.terminal)
        }
    }
}

fn names(sni: &[Str]) -> BTreeSet<&str> {
    sni.iter()
        .map(|name| &**name)
        .filter(|name| *name != "*")
        .collect()
}

/// The ranges with the bits after the prefix cleared; what means "everywhere" or nothing is left out.
fn masked(ranges: &[Str]) -> BTreeSet<(IpAddr, u8)> {
    ranges
        .iter()
        .filter_map(|range| {
            let (ip, bits) = match range.split_once('/') {
                Some((ip, bits)) => (ip.parse().ok()?, bits.parse().ok()?),
                None => {
                    let ip: IpAddr = range.parse().ok()?;
                    (ip, if ip.is_ipv4() { 32 } else { 128 })
                }
            };
            let unspecified_v4 = matches!(ip, IpAddr::V4(v4) if v4.is_unspecified());
            (!unspecified_v4).then(|| (mask(ip, bits), bits))
        })
        .collect()
}

fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let keep = u32::MAX
                .checked_shl(32u32.saturating_sub(bits.into()))
                .unwrap_or(0);
            IpAddr::V4((v4.to_bits() & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX
                .checked_shl(128u32.saturating_sub(bits.into()))
                .unwrap_or(0);
            IpAddr::V6((v6.to_bits() & keep).into())
        }
    }
}

/// The HTTP chain of a wish. `shared`: its routes are those of the port; else the service has its own. Istio 1.31:
/// `buildSidecarOutboundHTTPListenerOpts`.
pub(super) fn http(class: &ProxyClass, wish: &Wish<'_>, shared: bool) -> ChainPlan {
    let service = &wish.service.service;
    let route: Str = if wish.port.number == 0 {
        wish.binding.primary().into()
    } else if shared {
        wish.port.number.to_string().into()
    } else {
        format!("{}:{}", service.key.host, wish.port.number).into()
    };
    let cache = || (l4::dns_cache_name(&service.key.host), dns_family(class));
    ChainPlan::to(Terminal::http(HttpChain {
        grpc_web: wish.port.protocol == Protocol::GrpcWeb,
        dns_cache: l4::resolves_names(service).then(cache),
        ..HttpChain::new("", RouteSource::Rds(route))
    }))
}

/// The chains of a wish that are not HTTP: as VirtualServices route, else to the service. Istio 1.31:
/// `buildSidecarOutboundTCPListenerOpts`.
pub(super) fn tcp(
    scope: &Scope,
    class: &ProxyClass,
    wish: &Wish<'_>,
    virtual_services: &[Shared<VirtualService>],
) -> Vec<ChainPlan> {
    let host = &wish.service.service.key.host;
    let for_host = virtual_services
        .iter()
        .filter(|vs| vs.hosts.iter().any(|h| h.matches(host)));
    if wish.port.protocol.is_tls() {
        tls_chains(scope, class, wish, for_host)
    } else {
        tcp_chains(scope, class, wish, for_host)
    }
}

fn plan(chain: TcpChain, ranges: &[Str]) -> ChainPlan {
    ChainPlan {
        ranges: ranges.to_vec(),
        ..ChainPlan::to(Terminal::tcp(chain))
    }
}

/// Chains by SNI. Of matches that differ only in what is known now, the first one counts. Istio 1.31:
/// `buildSidecarOutboundTLSFilterChainOpts`.
fn tls_chains<'v>(
    scope: &Scope,
    class: &ProxyClass,
    wish: &Wish<'_>,
    virtual_services: impl Iterator<Item = &'v Shared<VirtualService>>,
) -> Vec<ChainPlan> {
    let mut seen: BTreeSet<(&[Str], &[Str])> = BTreeSet::new();
    let mut ranges = wish.ranges.clone();
    let mut out = Vec::new();
    for vs in virtual_services {
        for route in &vs.tls {
            let matches = route
                .matches
                .iter()
                .filter(|m| l4::applies_to_sidecar(m, class, wish.port.number));
            for matching in matches {
                if !matching.destination_subnets.is_empty() && wish.port.number > 0 {
                    ranges.clone_from(&matching.destination_subnets);
                }
                let Some(chain) = l4::routes(scope, &route.destinations, &wish.port, &vs.meta.key)
                else {
                    continue;
                };
                if seen.insert((&matching.sni_hosts, &matching.destination_subnets)) {
                    out.push(ChainPlan {
                        sni: matching.sni_hosts.clone(),
                        owner: Some(vs.meta.key.clone()),
                        names_owner: true,
                        ..plan(chain, &ranges)
                    });
                }
            }
        }
    }
    if out.is_empty() {
        let sni = if needs_sni(class, wish) {
            service_names(wish)
        } else {
            Vec::new()
        };
        out.push(ChainPlan {
            sni,
            ..plan(
                l4::service(scope, class, wish.service, &wish.port),
                &wish.ranges,
            )
        });
    }
    out
}

/// Where the address does not tell the service, its name in the handshake must.
fn needs_sni(class: &ProxyClass, wish: &Wish<'_>) -> bool {
    let wildcard = wildcards(class);
    let at_wildcard =
        wish.address.primary == wildcard[0] && wish.binding.primary() == &*wildcard[0];
    !wish.ranges.is_empty()
        || wish.address.is_range()
        || at_wildcard
        || l4::resolves_names(&wish.service.service)
}

/// The service's name and those of ExternalName services that stand for it.
fn service_names(wish: &Wish<'_>) -> Vec<Str> {
    let service = &wish.service.service;
    let aliases = service.aliases.iter().map(|alias| alias.host.0.clone());
    std::iter::once(service.key.host.0.clone())
        .chain(aliases)
        .collect()
}

/// Chains by destination. The first route without such a condition ends the search. Istio 1.31:
/// `buildSidecarOutboundTCPFilterChainOpts`.
fn tcp_chains<'v>(
    scope: &Scope,
    class: &ProxyClass,
    wish: &Wish<'_>,
    virtual_services: impl Iterator<Item = &'v Shared<VirtualService>>,
) -> Vec<ChainPlan> {
    let mut out = Vec::new();
    let mut default_is_taken = false;
    for vs in virtual_services {
        for route in &vs.tcp {
            let Some(chain) = l4::routes(scope, &route.destinations, &wish.port, &vs.meta.key)
            else {
                continue;
            };
            let applying: Vec<_> = route
                .matches
                .iter()
                .filter(|m| l4::applies_to_sidecar(m, class, wish.port.number))
                .collect();
            let everything = route.matches.is_empty()
                || applying
                    .iter()
                    .any(|m| m.destination_subnets.is_empty() || wish.port.number == 0);
            let owner = Some(vs.meta.key.clone());
            if everything {
                out.push(ChainPlan {
                    owner,
                    names_owner: true,
                    ..plan(chain, &wish.ranges)
                });
                return out;
            }
            let subnets: Vec<Str> = applying
                .iter()
                .flat_map(|m| m.destination_subnets.iter().cloned())
                .collect();
            if !subnets.is_empty() {
                default_is_taken |= sorted(&subnets) == sorted(&wish.ranges);
                // Istio names no object here.
                out.push(ChainPlan {
                    owner,
                    names_owner: false,
                    ..plan(chain, &subnets)
                });
            }
        }
    }
    if !default_is_taken {
        out.push(plan(
            l4::service(scope, class, wish.service, &wish.port),
            &wish.ranges,
        ));
    }
    out
}

fn sorted(list: &[Str]) -> Vec<&Str> {
    let mut sorted: Vec<&Str> = list.iter().collect();
    sorted.sort();
    sorted
}

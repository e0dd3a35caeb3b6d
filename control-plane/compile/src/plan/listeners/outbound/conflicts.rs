//! What happens where two services want the same address and port. Istio 1.31: `buildSidecarOutboundListener`.

use meltemi_builders::listener::{Alpn, Transport};
use meltemi_model::port::Protocol;
use meltemi_model::routing::VirtualService;
use meltemi_model::service::Resolution;
use meltemi_model::{ObjectKey, Shared};

use super::chains::{self, ChainPlan};
use super::{Entry, Outbound, Wish};

/// How a listener treats a port. Istio 1.31: `ModelProtocolToListenerProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Http,
    Tcp,
    /// The bytes decide.
    Sniff,
    /// Not proxied.
    Nothing,
}

fn treatment(protocol: Protocol) -> Treatment {
    match protocol {
        Protocol::Http
        | Protocol::Http2
        | Protocol::HttpProxy
        | Protocol::Grpc
        | Protocol::GrpcWeb => Treatment::Http,
        Protocol::Tcp
        | Protocol::Https
        | Protocol::Tls
        | Protocol::Mongo
        | Protocol::Redis
        | Protocol::Mysql => Treatment::Tcp,
        Protocol::Udp => Treatment::Nothing,
        Protocol::Hbone | Protocol::Unsupported => Treatment::Sniff,
    }
}

/// What is done with a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolve {
    /// It makes the listener, or replaces it.
    Replace,
    /// Its chains join those that are there.
    Join,
    /// They join, and bytes decide from now on.
    JoinAndSniff,
}

impl Outbound<'_> {
    /// Takes in one wish.
    pub(super) fn add(&mut self, mut wish: Wish<'_>, virtual_services: &[Shared<VirtualService>]) {
        let treatment = treatment(wish.port.protocol);
        // A service that stands for another one has no listeners; clients use those of the other one.
        if treatment == Treatment::Nothing || wish.service.service.resolution == Resolution::Alias {
            return;
        }
        self.decide_binding(&mut wish, treatment);
        let key = (wish.binding.primary().into(), wish.port.number);
        let existing = self
            .entries
            .get(&key)
            .map(|entry| (entry.protocol, entry.locked));
        if existing.is_some_and(|(_, locked)| locked) {
            return;
        }
        let current = existing.map(|(protocol, _)| protocol);
        let at_wildcard = wish.binding.primary() == &*self.wildcards[0];
        let Some((chains, protocol, resolve)) =
            self.claim(&wish, treatment, current, at_wildcard, virtual_services)
        else {
            return;
        };
        if current.is_some_and(|current| {
            resolve != Resolve::Replace && server_first(wish.port.protocol, current)
        }) {
            return;
        }
        let from = sources(&wish, &chains);
        match (self.entries.get_mut(&key), resolve) {
            (Some(entry), Resolve::Join | Resolve::JoinAndSniff) => {
                if resolve == Resolve::JoinAndSniff {
                    entry.protocol = Protocol::Unsupported;
                }
                entry.join(chains, from);
            }
            (Some(_) | None, _) => {
                let (port, binding) = (wish.port, wish.binding);
                self.entries.insert(
                    key,
                    Entry {
                        port,
                        binding,
                        protocol,
                        locked: false,
                        chains,
                        from,
                    },
                );
            }
        }
    }

    /// HTTP shares one listener for all addresses; the rest listens at the service's own, or at all addresses with a
    /// condition where that is a range.
    fn decide_binding(&self, wish: &mut Wish<'_>, treatment: Treatment) {
        if !wish.binding.addresses.is_empty() {
            return;
        }
        if treatment == Treatment::Http {
            wish.binding.addresses = self.wildcards.clone();
        } else if wish.address.is_range() {
            wish.binding.addresses = self.wildcards.clone();
            wish.ranges = vec![wish.address.primary.clone()];
        } else {
            wish.binding.addresses = std::iter::once(&wish.address.primary)
                .chain(&wish.address.extra)
                .cloned()
                .collect();
        }
    }

    /// The chains of a wish, what the listener would speak with them alone, and how they meet what is there. `None`:
    /// the listener already does what is wished for.
    fn claim(
        &self,
        wish: &Wish<'_>,
        treatment: Treatment,
        current: Option<Protocol>,
        at_wildcard: bool,
        virtual_services: &[Shared<VirtualService>],
    ) -> Option<(Vec<ChainPlan>, Protocol, Resolve)> {
        let http = |shared: bool| {
            let mut chain = chains::http(self.class, wish, shared);
            if at_wildcard || treatment == Treatment::Sniff {
                chain.alpn = Alpn::PlainHttp;
                chain.transport = Transport::Raw;
            }
            chain
        };
        let tcp = || chains::tcp(self.scope, self.class, wish, virtual_services);
        match treatment {
            Treatment::Nothing => None,
            Treatment::Http if wish.port.protocol == Protocol::HttpProxy => {
                let chain = chains::http(self.class, wish, true);
                Some((vec![chain], wish.port.protocol, Resolve::Replace))
            }
            Treatment::Http => {
                let resolve = match current {
                    None => Resolve::Replace,
                    Some(current) if current.is_tcp() => Resolve::JoinAndSniff,
                    Some(_) => return None,
                };
                let protocol = if at_wildcard {
                    Protocol::Unsupported
                } else {
                    wish.port.protocol
                };
                Some((vec![http(true)], protocol, resolve))
            }
            Treatment::Tcp => {
                let resolve = match current {
                    None => Resolve::Replace,
                    Some(current) if current.is_http() => Resolve::JoinAndSniff,
                    Some(_) => Resolve::Join,
                };
                Some((tcp(), wish.port.protocol, resolve))
            }
            Treatment::Sniff => {
                let mut all = tcp();
                let resolve = match current {
                    None => Resolve::Replace,
                    // What HTTP could do there, detection can do, too.
                    Some(current) if current.is_http() => Resolve::Replace,
                    Some(current) if current.is_tcp() => Resolve::JoinAndSniff,
                    // The HTTP chain is there already.
                    Some(_) => return Some((all, wish.port.protocol, Resolve::Join)),
                };
                all.push(http(at_wildcard));
                Some((all, wish.port.protocol, resolve))
            }
        }
    }
}

impl Entry {
    /// Adds chains whose conditions no earlier one has: Envoy refuses two chains with the same match, and the older
    /// service keeps the place. Istio 1.31: `mergeTCPFilterChains`.
    fn join(&mut self, chains: Vec<ChainPlan>, from: Vec<ObjectKey>) {
        let before = self.chains.len();
        for chain in chains {
            if !self
                .chains
                .iter()
                .any(|existing| existing.conflicts_with(&chain))
            {
                self.chains.push(chain);
            }
        }
        if self.chains.len() > before {
            let new: Vec<ObjectKey> = from
                .into_iter()
                .filter(|key| !self.from.contains(key))
                .collect();
            self.from.extend(new);
        }
    }
}

/// The objects that decided the chains of a wish.
fn sources(wish: &Wish<'_>, chains: &[ChainPlan]) -> Vec<ObjectKey> {
    let mut from = vec![wish.service.service.object.clone()];
    for key in chains.iter().filter_map(|chain| chain.owner.as_ref()) {
        if !from.contains(key) {
            from.push(key.clone());
        }
    }
    from
}

/// In these protocols the server speaks first, so looking at the client's bytes would wait for ever. Istio 1.31:
/// `isConflictWithWellKnownPort`.
fn server_first(incoming: Protocol, current: Protocol) -> bool {
    let first = |protocol: Protocol| matches!(protocol, Protocol::Mongo | Protocol::Mysql);
    incoming != current && (first(incoming) || first(current))
}

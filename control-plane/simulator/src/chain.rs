//! Which filter chain of a listener takes a connection.
//!
//! Envoy keeps the chains in nested tables and goes down without ever coming back: at each level the best value wins, and
//! chains that fell out there are lost even if nothing matches further down. As a sieve that is: if any remaining chain
//! names a value that matches, keep those with the best one, else keep those that name none.

use std::net::IpAddr;

use meltemi_proto::envoy::config::core::v3::CidrRange;
use meltemi_proto::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use meltemi_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};

use crate::address::{prefix_match, shown_range};
use crate::call::Call;
use crate::config_of;
use crate::inspect::Seen;
use crate::outcome::{Miss, MissKind, Stage, Step};

/// The chain that takes the connection.
pub(crate) fn choose<'a>(
    listener: &'a Listener,
    call: &Call,
    seen: &Seen,
) -> Result<(&'a FilterChain, Step), Miss> {
    if listener.filter_chain_matcher.is_some() {
        return Err(Miss {
            at: Stage::FilterChain,
            kind: MissKind::NotFollowed,
            why: format!(
                "{} chooses its filter chains with a filter_chain_matcher, which is not followed here",
                listener.name
            ),
            candidates: Vec::new(),
            status: None,
        });
    }
    let left = sieve(&listener.filter_chains, call, seen);
    match left.as_slice() {
        [chain] => Ok((chain, step(chain, &because(chain)))),
        [] => match &listener.default_filter_chain {
            Some(chain) => Ok((
                chain,
                step(chain, "no other chain matches; it is the default"),
            )),
            None => Err(none(listener, seen)),
        },
        [first, ..] => Err(Miss {
            at: Stage::FilterChain,
            kind: MissKind::SeveralFilterChains,
            why: format!(
                "{} chains have the same match ({}); Envoy refuses such a listener",
                left.len(),
                because(first)
            ),
            candidates: left.iter().map(|chain| chain.name.clone()).collect(),
            status: None,
        }),
    }
}

fn sieve<'a>(chains: &'a [FilterChain], call: &Call, seen: &Seen) -> Vec<&'a FilterChain> {
    let mut left: Vec<&FilterChain> = chains.iter().collect();
    keep(&mut left, |m| match &m.destination_port {
        None => Fit::Unnamed,
        Some(port) => Fit::of((port.value == u32::from(call.port)).then_some(1)),
    });
    keep(&mut left, |m| ranges(&m.prefix_ranges, call.address));
    keep(&mut left, |m| {
        server_name(&m.server_names, &seen.server_name)
    });
    keep(&mut left, |m| match m.transport_protocol.as_str() {
        "" => Fit::Unnamed,
        name => Fit::of((name == seen.transport).then_some(1)),
    });
    keep(&mut left, |m| {
        application(&m.application_protocols, &seen.application)
    });
    keep(&mut left, |m| {
        ranges(&m.direct_source_prefix_ranges, call.source)
    });
    let local = call.source.is_loopback() || call.source == call.address;
    keep(&mut left, |m| source_type(m.source_type, local));
    keep(&mut left, |m| ranges(&m.source_prefix_ranges, call.source));
    keep(&mut left, |m| {
        if m.source_ports.is_empty() {
            return Fit::Unnamed;
        }
        let port = u32::from(call.source_port);
        Fit::of(m.source_ports.contains(&port).then_some(1))
    });
    left
}

/// How a chain stands to one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It names no value.
    Unnamed,
    /// It names values, and none matches.
    No,
    /// The best of its values that match; more is better.
    Yes(usize),
}

impl Fit {
    fn of(score: Option<usize>) -> Self {
        score.map_or(Fit::No, Fit::Yes)
    }
}

fn keep(left: &mut Vec<&FilterChain>, fit: impl Fn(&FilterChainMatch) -> Fit) {
    let any = FilterChainMatch::default();
    let of = |chain: &FilterChain| fit(chain.filter_chain_match.as_ref().unwrap_or(&any));
    let best = left.iter().filter_map(|chain| match of(chain) {
        Fit::Yes(score) => Some(score),
        _ => None,
    });
    let wanted = best.max().map_or(Fit::Unnamed, Fit::Yes);
    left.retain(|chain| of(chain) == wanted);
}

fn ranges(ranges: &[CidrRange], ip: IpAddr) -> Fit {
    if ranges.is_empty() {
        return Fit::Unnamed;
    }
    let best = ranges.iter().filter_map(|range| prefix_match(range, ip));
    Fit::of(best.map(usize::from).max())
}

/// Exact names before wildcards, longer wildcards before shorter. Envoy: `*.a.com` matches every name that ends in `.a.com`
/// and has something before it.
fn server_name(names: &[String], wanted: &str) -> Fit {
    // Envoy: a plain `*` is the same as no name.
    if names.is_empty() || names.iter().any(|name| name == "*") {
        return Fit::Unnamed;
    }
    let score = |name: &String| {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix('*') {
            None => (name == wanted && !wanted.is_empty()).then_some(usize::MAX),
            Some(suffix) => {
                (wanted.len() > suffix.len() && wanted.ends_with(suffix)).then_some(suffix.len())
            }
        }
    };
    Fit::of(names.iter().filter_map(score).max())
}

/// The client's first protocol that any chain names wins.
fn application(named: &[String], offered: &[String]) -> Fit {
    if named.is_empty() {
        return Fit::Unnamed;
    }
    let first = offered.iter().position(|offer| named.contains(offer));
    Fit::of(first.map(|at| offered.len() - at))
}

/// Envoy: chains for local or external sources come before those for any.
fn source_type(named: i32, local: bool) -> Fit {
    match ConnectionSourceType::try_from(named) {
        Ok(ConnectionSourceType::SameIpOrLoopback) => Fit::of(local.then_some(1)),
        Ok(ConnectionSourceType::External) => Fit::of((!local).then_some(1)),
        _ => Fit::Unnamed,
    }
}

fn step(chain: &FilterChain, why: &str) -> Step {
    Step {
        stage: Stage::FilterChain,
        chosen: chain.name.clone(),
        why: why.to_owned(),
        config: config_of(chain.metadata.as_ref()),
    }
}

/// What a chain matches, for readers.
pub(crate) fn because(chain: &FilterChain) -> String {
    let Some(m) = &chain.filter_chain_match else {
        return "it takes every connection".to_owned();
    };
    let mut parts = Vec::new();
    if let Some(port) = &m.destination_port {
        parts.push(format!("destination port {}", port.value));
    }
    let list = |ranges: &[CidrRange]| {
        let shown: Vec<String> = ranges.iter().map(shown_range).collect();
        shown.join(" ")
    };
    if !m.prefix_ranges.is_empty() {
        parts.push(format!("destination in {}", list(&m.prefix_ranges)));
    }
    if !m.server_names.is_empty() {
        parts.push(format!("server name {}", m.server_names.join(" ")));
    }
    if !m.transport_protocol.is_empty() {
        parts.push(format!("transport {}", m.transport_protocol));
    }
    if !m.application_protocols.is_empty() {
        let protocols = m.application_protocols.join(" ");
        parts.push(format!("application protocol {protocols}"));
    }
    if !m.direct_source_prefix_ranges.is_empty() {
        let ranges = list(&m.direct_source_prefix_ranges);
        parts.push(format!("direct source in {ranges}"));
    }
    match ConnectionSourceType::try_from(m.source_type) {
        Ok(ConnectionSourceType::SameIpOrLoopback) => parts.push("source is local".to_owned()),
        Ok(ConnectionSourceType::External) => parts.push("source is external".to_owned()),
        _ => {}
    }
    if !m.source_prefix_ranges.is_empty() {
        parts.push(format!("source in {}", list(&m.source_prefix_ranges)));
    }
    if !m.source_ports.is_empty() {
        parts.push(format!("source port {:?}", m.source_ports));
    }
    if parts.is_empty() {
        return "it takes every connection".to_owned();
    }
    parts.join(", ")
}

fn none(listener: &Listener, seen: &Seen) -> Miss {
    let mut what = format!("transport {}", seen.transport);
    if !seen.server_name.is_empty() {
        what += &format!(", server name {}", seen.server_name);
    }
    if !seen.application.is_empty() {
        what += &format!(", application protocol {}", seen.application.join(" "));
    }
    let chains = listener.filter_chains.iter();
    Miss {
        at: Stage::FilterChain,
        kind: MissKind::NoFilterChain,
        why: format!(
            "no filter chain of {} takes a connection with {what}",
            listener.name
        ),
        candidates: chains
            .map(|chain| format!("{}: {}", name_of(chain), because(chain)))
            .collect(),
        status: None,
    }
}

fn name_of(chain: &FilterChain) -> &str {
    if chain.name.is_empty() {
        "(unnamed)"
    } else {
        &chain.name
    }
}

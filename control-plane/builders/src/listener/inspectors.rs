//! Listener filters: they find out what a connection is before a chain is chosen for it.

use std::collections::BTreeMap;

use super::chain::{Alpn, Terminal, Transport};
use super::{ListenerInput, ListenerKind, filters, pb};

use pb::listener::listener_filter_chain_match_predicate::{MatchSet, Rule};
use pb::listener::{ListenerFilter, ListenerFilterChainMatchPredicate as Predicate};

/// The listener filters of a listener.
pub(super) fn listener_filters(input: &ListenerInput) -> Vec<ListenerFilter> {
    match input.kind {
        ListenerKind::VirtualInbound | ListenerKind::Inbound => inbound(input),
        ListenerKind::VirtualOutbound | ListenerKind::Outbound { .. } | ListenerKind::Gateway => {
            let mut list = Vec::new();
            if input.proxy_protocol {
                list.push(filters::proxy_protocol());
            }
            if inspects_tls(input) {
                list.push(filters::tls_inspector());
            }
            if inspects_http(input) {
                list.push(filters::http_inspector());
            }
            list
        }
    }
}

/// Whether a chain depends on the TLS handshake.
fn inspects_tls(input: &ListenerInput) -> bool {
    input.chains.iter().any(|chain| {
        let resolves_sni =
            matches!(&chain.terminal, Terminal::Tcp(tcp) if tcp.sni_dns_cache.is_some());
        chain.reads_sni || chain.tls.is_some() || resolves_sni
    })
}

/// Whether an outbound chain is for plain HTTP only.
pub(super) fn inspects_http(input: &ListenerInput) -> bool {
    let sniffs = |alpn: Alpn| alpn == Alpn::PlainHttp;
    input.kind != ListenerKind::Gateway
        && input
            .chains
            .iter()
            .any(|c| c.matching.as_ref().is_some_and(|m| sniffs(m.alpn)))
}

/// Which inspectors a port needs.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    tls: bool,
    http: bool,
}

/// Inbound listeners switch the inspectors off for ports that do without: server-first protocols would wait for bytes
/// that never come. Istio 1.31: `populateListenerFilters`.
fn inbound(input: &ListenerInput) -> Vec<ListenerFilter> {
    let mut ports: BTreeMap<u16, Needs> = BTreeMap::new();
    for matching in input.chains.iter().filter_map(|c| c.matching.as_ref()) {
        let needs = ports.entry(matching.port.unwrap_or(0)).or_default();
        needs.tls |= matching.transport == Transport::Tls;
        needs.http |= matching.alpn == Alpn::PlainHttp;
    }
    let mut list = Vec::with_capacity(4);
    if input.kind == ListenerKind::VirtualInbound {
        list.push(filters::original_dst());
        if input.transparent {
            list.push(filters::original_src());
        }
    }
    if ports.values().any(|needs| needs.tls) {
        list.push(ListenerFilter {
            filter_disabled: tls_disabled(&ports),
            ..filters::tls_inspector()
        });
    }
    if ports.values().any(|needs| needs.http) {
        let without: Vec<u16> = ports
            .iter()
            .filter(|(_, needs)| !needs.http)
            .map(|(port, _)| *port)
            .collect();
        list.push(ListenerFilter {
            filter_disabled: any_of(&without),
            ..filters::http_inspector()
        });
    }
    list
}

/// Port 0 stands for all ports that no chain names. If they need the inspector, the others opt out; if not, they opt
/// in. Istio 1.31: `buildTLSInspector`.
fn tls_disabled(ports: &BTreeMap<u16, Needs>) -> Option<Predicate> {
    let default = ports.get(&0).is_some_and(|needs| needs.tls);
    let named: Vec<u16> = ports
        .iter()
        .filter(|(port, needs)| **port != 0 && needs.tls != default)
        .map(|(port, _)| *port)
        .collect();
    let listed = any_of(&named);
    if default {
        return listed;
    }
    listed.map(|rule| Predicate {
        rule: Some(Rule::NotMatch(Box::new(rule))),
    })
}

/// Matches connections to any of the ports; `None` where there are none.
fn any_of(ports: &[u16]) -> Option<Predicate> {
    let mut rules: Vec<Predicate> = ports.iter().map(|port| port_range(*port)).collect();
    match rules.len() {
        0 => None,
        1 => rules.pop(),
        _ => Some(Predicate {
            rule: Some(Rule::OrMatch(MatchSet { rules })),
        }),
    }
}

/// The end is exclusive.
fn port_range(port: u16) -> Predicate {
    let range = pb::r#type::v3::Int32Range {
        start: port.into(),
        end: i32::from(port) + 1,
    };
    Predicate {
        rule: Some(Rule::DestinationPortRange(range)),
    }
}

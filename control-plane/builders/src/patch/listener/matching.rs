//! Whether a patch is for a listener, a filter chain or a filter.

use super::*;

pub(super) const HTTP_CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The listeners that take all connections: a port means that of a filter chain in them.
fn is_virtual(name: &str) -> bool {
    matches!(name, "virtualInbound" | "virtualOutbound")
}

pub(super) fn condition(patch: &Patch) -> Option<&ListenerCondition> {
    patch.condition.listener()
}

fn chain_condition(patch: &Patch) -> Option<&ChainCondition> {
    condition(patch)?.chain.as_ref()
}

/// The name of the network filter that a patch is for.
pub(super) fn network_filter(patch: &Patch) -> Option<&Str> {
    chain_condition(patch)?.filter.as_ref()
}

/// The name of the HTTP filter that a patch is for.
pub(super) fn http_filter(patch: &Patch) -> Option<&Str> {
    chain_condition(patch)?.sub_filter.as_ref()
}

/// Whether a patch can change a listener with this name and port (0: a socket), or something inside it.
pub fn may_touch_listener(patch: &Patch, name: &str, port: u32) -> bool {
    let Some(wanted) = condition(patch) else {
        return true;
    };
    if !wanted.name.is_empty() && *wanted.name != *name {
        return false;
    }
    let inside = patch.apply_to != ApplyTo::Listener && is_virtual(name);
    inside || wanted.port == 0 || wanted.port == port
}

pub(super) fn is_listener(patch: &Patch, listener: &pb::Listener) -> bool {
    may_touch_listener(patch, &listener.name, port(listener))
}

fn port(listener: &pb::Listener) -> u32 {
    let address = listener.address.as_ref().and_then(|a| a.address.as_ref());
    match address {
        Some(Address::SocketAddress(socket)) => match socket.port_specifier {
            Some(PortSpecifier::PortValue(port)) => port,
            _ => 0,
        },
        _ => 0,
    }
}

pub(super) fn is_chain(patch: &Patch, listener: &pb::Listener, chain: &pb::FilterChain) -> bool {
    if !is_listener(patch, listener) {
        return false;
    }
    let Some(wanted) = condition(patch) else {
        return true;
    };
    let matched = chain.filter_chain_match.as_ref();
    let port = matched
        .and_then(|m| m.destination_port)
        .map_or(0, |p| p.value);
    if is_virtual(&listener.name) && wanted.port != 0 && wanted.port != port {
        return false;
    }
    let Some(wanted) = &wanted.chain else {
        return true;
    };
    let names = matched.map_or(&[][..], |m| &m.server_names);
    let transport = matched.map_or("", |m| &m.transport_protocol);
    let protocols = matched.map_or(&[][..], |m| &m.application_protocols);
    let all_protocols = wanted
        .application_protocols
        .iter()
        .all(|wanted| protocols.iter().any(|p| **p == **wanted));
    (wanted.name.is_empty() || *wanted.name == *chain.name)
        && (wanted.sni.is_empty() || names.iter().any(|n| **n == *wanted.sni))
        && (wanted.transport_protocol.is_empty() || *wanted.transport_protocol == *transport)
        && all_protocols
        && (wanted.destination_port == 0 || wanted.destination_port == port)
}

pub(super) fn is_network_filter(patch: &Patch, filter: &pb::Filter) -> bool {
    network_filter(patch).is_none_or(|name| **name == *filter.name)
}

pub(super) fn is_http_filter(patch: &Patch, filter: &hcm::HttpFilter) -> bool {
    http_filter(patch).is_none_or(|name| **name == *filter.name)
}

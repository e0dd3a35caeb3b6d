//! Which listener takes a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meltemi_proto::envoy::config::listener::v3::Listener;

use crate::address;
use crate::call::{Call, Mode};
use crate::config_of;
use crate::outcome::{Miss, MissKind, Stage, Step};
use crate::resources::Resources;

/// Names and ports that Istio gives to the listeners which redirected connections reach first.
const OUTBOUND: (&str, u16) = ("virtualOutbound", 15001);
const INBOUND: (&str, u16) = ("virtualInbound", 15006);

/// The listener whose filter chains decide.
pub(crate) fn choose<'a>(
    resources: &'a Resources,
    call: &Call,
) -> Result<(&'a Listener, Step), Miss> {
    match call.mode {
        Mode::Direct => match hearing(resources, call.address, call.port, binds) {
            Some((listener, how)) => Ok((listener, step(listener, how))),
            None => Err(none(resources, call, "")),
        },
        Mode::Outbound => redirected(resources, call, OUTBOUND),
        Mode::Inbound => redirected(resources, call, INBOUND),
    }
}

/// Envoy: a listener that uses original destinations passes the connection on to the listener of that address, also to
/// one that does not bind, and keeps it when there is none.
fn redirected<'a>(
    resources: &'a Resources,
    call: &Call,
    entry: (&str, u16),
) -> Result<(&'a Listener, Step), Miss> {
    let Some(first) = entry_listener(resources, entry) else {
        // Istio: gateways have no listener for redirected connections; theirs hear the ports themselves.
        return match hearing(resources, call.address, call.port, |_| true) {
            Some((listener, how)) => Ok((listener, step(listener, how))),
            None => {
                let no_entry = format!(
                    "; there is no listener {} for redirected connections either",
                    entry.0
                );
                Err(none(resources, call, &no_entry))
            }
        };
    };
    if first.use_original_dst.is_some_and(|flag| flag.value) {
        let others = |listener: &Listener| listener.name != first.name;
        if let Some((listener, how)) = hearing(resources, call.address, call.port, others) {
            let how = format!("{how}; {} passed the connection on", first.name);
            return Ok((listener, step(listener, how)));
        }
        let shown = address::joined(&call.address.to_string(), call.port);
        let how = format!("no listener has {shown}, so the first one keeps the connection");
        return Ok((first, step(first, how)));
    }
    let how = format!("redirected connections arrive at port {}", port_of(first));
    Ok((first, step(first, how)))
}

fn entry_listener<'a>(resources: &'a Resources, entry: (&str, u16)) -> Option<&'a Listener> {
    let by_name = resources.listeners.get(entry.0);
    by_name.or_else(|| {
        resources
            .listeners
            .values()
            .find(|listener| binds(listener) && port_of(listener) == entry.1)
    })
}

/// The listener of an address: exactly this one, else all addresses of its family (Envoy: a listener on `::` with
/// `ipv4_compat` hears IPv4, too).
fn hearing(
    resources: &Resources,
    ip: IpAddr,
    port: u16,
    eligible: impl Fn(&Listener) -> bool,
) -> Option<(&Listener, String)> {
    let candidates = || resources.listeners.values().filter(|l| eligible(l));
    let exact = candidates().find(|l| addresses(l).any(|(at, p, _)| at == ip && p == port));
    if let Some(listener) = exact {
        let at = address::joined(&ip.to_string(), port);
        return Some((listener, format!("it listens on {at}")));
    }
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let wildcard = candidates()
        .find(|l| addresses(l).any(|(at, p, _)| at == any && p == port))
        .or_else(|| {
            let compatible = |(at, p, compat): (IpAddr, u16, bool)| {
                compat && ip.is_ipv4() && at == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && p == port
            };
            candidates().find(|l| addresses(l).any(compatible))
        })?;
    let at = address::joined(&any.to_string(), port);
    Some((wildcard, format!("it listens on {at}, every address")))
}

/// Addresses of a TCP listener: IP, port, and whether an IPv6 address hears IPv4.
fn addresses(listener: &Listener) -> impl Iterator<Item = (IpAddr, u16, bool)> + '_ {
    let more = listener.additional_addresses.iter();
    let all = std::iter::once(listener.address.as_ref()).chain(more.map(|a| a.address.as_ref()));
    let tcp = listener.udp_listener_config.is_none();
    all.filter(move |_| tcp).filter_map(|address| {
        let (ip, port) = address::socket(address)?;
        let compat = address::as_socket(address).is_some_and(|socket| socket.ipv4_compat);
        Some((ip, port, compat))
    })
}

fn binds(listener: &Listener) -> bool {
    listener.bind_to_port.is_none_or(|flag| flag.value)
}

fn port_of(listener: &Listener) -> u16 {
    addresses(listener).next().map_or(0, |(_, port, _)| port)
}

fn step(listener: &Listener, why: String) -> Step {
    Step {
        stage: Stage::Listener,
        chosen: listener.name.clone(),
        why,
        config: config_of(listener.metadata.as_ref()),
    }
}

fn none(resources: &Resources, call: &Call, besides: &str) -> Miss {
    let wanted = address::joined(&call.address.to_string(), call.port);
    let mut all: Vec<(bool, String)> = resources
        .listeners
        .values()
        .flat_map(|listener| {
            addresses(listener).map(|(ip, port, _)| {
                let at = address::joined(&ip.to_string(), port);
                (port != call.port, format!("{} on {at}", listener.name))
            })
        })
        .collect();
    all.sort();
    Miss {
        at: Stage::Listener,
        kind: MissKind::NoListener,
        why: format!("nothing listens on {wanted}{besides}"),
        candidates: all.into_iter().map(|(_, text)| text).collect(),
        status: None,
    }
}

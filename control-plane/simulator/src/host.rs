//! Which virtual host a request belongs to.

use meltemi_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::StripPortMode;

use crate::config_of;
use crate::outcome::{Miss, MissKind, Stage, Step};

/// The host header as routes see it: trailing dot and port stripped as the connection manager is told. `local_port` is
/// the port that the client meant to reach.
pub(crate) fn settled(host: &str, manager: &HttpConnectionManager, local_port: u16) -> String {
    let mut host = host.to_owned();
    if manager.strip_trailing_host_dot {
        let (name, port) = split_port(&host);
        if let Some(bare) = name.strip_suffix('.') {
            host = format!("{bare}{port}");
        }
    }
    let any = matches!(
        manager.strip_port_mode,
        Some(StripPortMode::StripAnyHostPort(true))
    );
    let (name, port) = split_port(&host);
    let same = port.strip_prefix(':') == Some(&local_port.to_string());
    if any || (manager.strip_matching_host_port && same) {
        return name.to_owned();
    }
    host
}

/// A host and its port with the colon. What follows the last colon is a port if it is a number and the colon is not part
/// of an IPv6 address.
pub(crate) fn split_port(host: &str) -> (&str, &str) {
    let Some(at) = host.rfind(':') else {
        return (host, "");
    };
    let (name, port) = host.split_at(at);
    let digits = &port[1..];
    let bare_v6 = name.contains(':') && !name.ends_with(']');
    if bare_v6 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return (host, "");
    }
    (name, port)
}

/// Finds it. Envoy: exact domains, then the longest suffix wildcard (`*.com`), then the longest prefix wildcard (`a.*`),
/// then `*`; all in lower case.
pub(crate) fn choose<'a>(
    routes: &'a RouteConfiguration,
    host: &str,
) -> Result<(&'a VirtualHost, Step), Miss> {
    let wanted = host.to_ascii_lowercase();
    let wanted = if routes.ignore_port_in_host_matching {
        split_port(&wanted).0
    } else {
        &wanted
    };
    let mut best: Option<((u8, usize), &VirtualHost, &str)> = None;
    for virtual_host in &routes.virtual_hosts {
        for domain in &virtual_host.domains {
            let Some(score) = score(&domain.to_ascii_lowercase(), wanted) else {
                continue;
            };
            // The first of equals stays. Envoy refuses a domain that occurs twice.
            if best.as_ref().is_none_or(|(other, ..)| score > *other) {
                best = Some((score, virtual_host, domain));
            }
        }
    }
    let Some((_, virtual_host, domain)) = best else {
        return Err(none(routes, host));
    };
    let step = Step {
        stage: Stage::VirtualHost,
        chosen: virtual_host.name.clone(),
        why: format!("its domain {domain} takes host {host:?}"),
        config: config_of(virtual_host.metadata.as_ref()),
    };
    Ok((virtual_host, step))
}

/// How well a domain fits, more is better.
fn score(domain: &str, host: &str) -> Option<(u8, usize)> {
    if domain == "*" {
        return Some((0, 0));
    }
    // Envoy: a request without a host reaches nothing but the default.
    if host.is_empty() {
        return None;
    }
    if domain == host {
        return Some((3, 0));
    }
    let longer = |rest: &str| host.len() > rest.len();
    if let Some(suffix) = domain.strip_prefix('*') {
        return (longer(suffix) && host.ends_with(suffix)).then_some((2, suffix.len()));
    }
    let prefix = domain.strip_suffix('*')?;
    (longer(prefix) && host.starts_with(prefix)).then_some((1, prefix.len()))
}

fn none(routes: &RouteConfiguration, host: &str) -> Miss {
    let domains = routes.virtual_hosts.iter().flat_map(|v| v.domains.iter());
    let mut candidates: Vec<(usize, String)> = domains
        .map(|domain| (usize::MAX - likeness(domain, host), domain.clone()))
        .collect();
    candidates.sort();
    let why = if routes.virtual_hosts.is_empty() {
        format!("route configuration {} has no virtual host", routes.name)
    } else {
        format!(
            "no virtual host of route configuration {} has host {host:?}",
            routes.name
        )
    };
    Miss {
        at: Stage::VirtualHost,
        kind: MissKind::NoVirtualHost,
        why,
        candidates: candidates.into_iter().map(|(_, domain)| domain).collect(),
        status: Some(404),
    }
}

/// Characters that a domain has in common with a host, at its beginning and at its end.
fn likeness(domain: &str, host: &str) -> usize {
    let front = domain.bytes().zip(host.bytes());
    let back = domain.bytes().rev().zip(host.bytes().rev());
    front.take_while(|(a, b)| a == b).count() + back.take_while(|(a, b)| a == b).count()
}

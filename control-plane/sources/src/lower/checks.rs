//! Checks of single values: what Istio's webhook refuses, and what Envoy would refuse.

mod header;
mod regex;

use std::net::IpAddr;

use meltemi_model::routing::PerMillion;

use super::findings::Findings;

pub(super) use header::{header_name, header_value};
pub(super) use regex::regex;

/// A DNS label as Istio reads it: letters of either case, digits and inner hyphens, at most 63.
pub(super) fn dns_label(text: &str) -> Result<(), String> {
    if is_label(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a valid name; write at most 63 letters, digits and inner hyphens"
    ))
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name that Kubernetes accepts: lower case letters, digits, and inner hyphens and dots. Colons occur in names of RBAC
/// objects only.
pub(super) fn dns_subdomain(text: &str) -> Result<(), String> {
    let good = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a valid name; write at most 253 lower case letters, digits, inner hyphens and dots"
    ))
}

/// A host name without wildcard. Istio 1.31: `ValidateFQDN`.
pub(super) fn fqdn(host: &str) -> Result<(), String> {
    host_length(host)?;
    dotted(host, host)
}

/// A host name that may begin with a wildcard. Istio 1.31: `ValidateWildcardDomain`.
pub(super) fn wildcard_host(host: &str) -> Result<(), String> {
    host_length(host)?;
    let (first, rest) = host
        .split_once('.')
        .map_or((host, None), |(f, r)| (f, Some(r)));
    let plain = first
        .strip_prefix("*-")
        .or_else(|| first.strip_prefix('*'))
        .unwrap_or(first);
    if first != "*" && !is_label(plain) {
        return Err(bad_host(host, first));
    }
    rest.map_or(Ok(()), |rest| dotted(host, rest))
}

fn host_length(host: &str) -> Result<(), String> {
    match host.len() {
        0 => Err("the host is empty; write the name of a service".to_owned()),
        1..=255 => Ok(()),
        _ => Err("a host has at most 255 characters".to_owned()),
    }
}

fn dotted(host: &str, labels: &str) -> Result<(), String> {
    let last = labels.rsplit('.').next().unwrap_or(labels);
    if last.parse::<i64>().is_ok() {
        return Err(format!(
            "{host:?} is not a host name: its last part may not be a number"
        ));
    }
    let labels = labels.strip_suffix('.').unwrap_or(labels);
    match labels.split('.').find(|label| !is_label(label)) {
        Some(label) => Err(bad_host(host, label)),
        None => Ok(()),
    }
}

fn bad_host(host: &str, label: &str) -> String {
    format!(
        "{host:?} is not a host name: the part {label:?} is not made of letters, digits and inner hyphens"
    )
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not an IP address")),
    }
}

/// An IP address or a CIDR. Istio 1.31: `ValidateIPSubnet`.
pub(super) fn subnet(text: &str) -> Result<(), String> {
    if !text.contains('/') {
        return ip(text);
    }
    match text.parse::<ipnet::IpNet>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not a CIDR; write for instance 10.0.0.0/16"
        )),
    }
}

/// The path of a Unix socket. Istio 1.31: `ValidateUnixAddress`.
pub(super) fn unix_path(path: &str) -> Result<(), String> {
    if path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/')) {
        return Ok(());
    }
    Err(format!("{path:?} is not the absolute path of a socket"))
}

/// A port number.
pub(super) fn port(number: u32) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{number} is not a port; write one from 1 to 65535"))
}

/// A share of 0 to 100 %, as Istio 1.31 translates it: fractions below 0.0001 % are cut off.
pub(super) fn percent(value: f64) -> Result<PerMillion, String> {
    let good = value == 0.0 || (0.0001..=100.0).contains(&value);
    if !good {
        return Err(format!(
            "{value} is not a percentage; write 0, or a number from 0.0001 to 100"
        ));
    }
    Ok(PerMillion((value * 10_000.0) as u32))
}

/// A duration that a timer can keep. Istio 1.31: `ValidateDuration`.
pub(super) fn duration(value: meltemi_api::Duration) -> Result<std::time::Duration, String> {
    let nanos = value.as_nanos();
    if nanos < 1_000_000 {
        return Err(format!("{value} is too short; write at least 1ms"));
    }
    if nanos % 1_000_000 != 0 {
        return Err(format!("{value} is not a whole number of milliseconds"));
    }
    value.to_std().ok_or_else(|| format!("{value} is negative"))
}

impl Findings {
    /// A port; 0 after an error.
    pub(super) fn port(&mut self, path: impl Into<String>, number: u32) -> u16 {
        port(number).unwrap_or_else(|message| {
            self.error(path, message);
            0
        })
    }

    /// A port where 0 means that none is given.
    pub(super) fn optional_port(&mut self, path: impl Into<String>, number: u32) -> u16 {
        if number == 0 {
            0
        } else {
            self.port(path, number)
        }
    }

    /// A duration of at least a millisecond.
    pub(super) fn duration(
        &mut self,
        path: impl Into<String>,
        value: Option<meltemi_api::Duration>,
    ) -> Option<std::time::Duration> {
        let result = duration(value?);
        self.keep(path, result)
    }

    /// A duration that may be zero.
    pub(super) fn duration_or_zero(
        &mut self,
        path: impl Into<String>,
        value: Option<meltemi_api::Duration>,
    ) -> Option<std::time::Duration> {
        match value?.as_nanos() {
            0 => Some(std::time::Duration::ZERO),
            _ => self.duration(path, value),
        }
    }

    /// A percentage.
    pub(super) fn percent(&mut self, path: impl Into<String>, value: f64) -> PerMillion {
        let result = percent(value);
        self.keep(path, result).unwrap_or(PerMillion(0))
    }

    /// A number that must not be negative.
    pub(super) fn not_negative(&mut self, path: impl Into<String>, value: i32) -> i32 {
        if value < 0 {
            self.error(path, format!("{value} is negative; write 0 or more"));
            return 0;
        }
        value
    }

    fn keep<T>(&mut self, path: impl Into<String>, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.error(path, message)).ok()
    }
}

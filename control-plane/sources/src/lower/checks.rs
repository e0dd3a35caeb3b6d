//! Checks of single values: what Istio's webhook refuses, and what Envoy would refuse.

mod header;

use meltemi_model::routing::PerMillion;
use meltemi_validation::rules::{duration as durations, host, number, port as ports};

use super::findings::Findings;

pub(super) use header::header_value;
pub(super) use meltemi_validation::rules::cidr::{ip, subnet, unix_path};
pub(super) use meltemi_validation::rules::header::cors_name as header_name;
pub(super) use meltemi_validation::rules::host::{fqdn, wildcard as wildcard_host};

/// A DNS label as Istio reads it: letters of either case, digits and inner hyphens, at most 63.
pub(super) fn dns_label(text: &str) -> Result<(), String> {
    if host::is_dns_label(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a valid name; write at most 63 letters, digits and inner hyphens"
    ))
}

/// A regular expression that Envoy takes.
pub(super) fn regex(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("the regular expression is empty".to_owned());
    }
    meltemi_validation::rules::regex::regex(pattern)
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

/// A port number.
pub(super) fn port(number: u32) -> Result<u16, String> {
    ports::port(number)?;
    Ok(u16::try_from(number).unwrap_or_default())
}

/// A share of 0 to 100 %, as Istio 1.31 translates it: fractions below 0.0001 % are cut off.
pub(super) fn percent(value: f64) -> Result<PerMillion, String> {
    number::percentage(Some(&meltemi_api::shared::Percent { value }))?;
    Ok(PerMillion((value * 10_000.0) as u32))
}

/// A duration that a timer can keep.
pub(super) fn duration(value: meltemi_api::Duration) -> Result<std::time::Duration, String> {
    durations::duration(value)?;
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

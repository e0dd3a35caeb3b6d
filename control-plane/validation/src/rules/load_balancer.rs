//! Load balancers.

use std::collections::BTreeSet;

use meltemi_api::destination_rule::{ConsistentHash, HttpCookie, LoadBalancerSettings};

use super::{duration, locality};
use crate::Findings;

/// Envoy's largest table of Maglev, a prime itself.
const MAGLEV_LIMIT: u64 = 5_000_011;

/// `loadBalancer`; `outlier` says whether outlier detection is configured beside it.
/// Istio 1.31: `validateLoadBalancer`.
pub fn load_balancer(
    found: &mut Findings,
    at: &str,
    settings: Option<&LoadBalancerSettings>,
    outlier: bool,
) {
    let Some(settings) = settings else { return };
    if let Some(hash) = &settings.consistent_hash {
        consistent_hash(found, &format!("{at}.consistentHash"), hash);
    }
    if settings.locality_lb_setting.is_some() && settings.zone_aware_lb_setting.is_some() {
        found.error(
            at,
            "only one of localityLbSetting and zoneAwareLbSetting can be set",
        );
    }
    locality::locality(
        found,
        &format!("{at}.localityLbSetting"),
        settings.locality_lb_setting.as_ref(),
        outlier,
    );
    locality::zone_aware(
        found,
        &format!("{at}.zoneAwareLbSetting"),
        settings.zone_aware_lb_setting.as_ref(),
        outlier,
    );
    let Some(warmup) = &settings.warmup else {
        return;
    };
    let at = format!("{at}.warmup");
    match warmup.duration {
        None => found.error(format!("{at}.duration"), "duration is required"),
        Some(value) => found.check(format!("{at}.duration"), duration::duration(value)),
    }
    if warmup
        .minimum_percent
        .is_some_and(|percent| percent > 100.0)
    {
        found.error(
            format!("{at}.minimumPercent"),
            "minimumPercent value should be less than or equal to 100",
        );
    }
    if warmup
        .aggression
        .is_some_and(|aggression| aggression <= 0.0)
    {
        found.error(
            format!("{at}.aggression"),
            "aggression should be greater than 0",
        );
    }
}

fn consistent_hash(found: &mut Findings, at: &str, hash: &ConsistentHash) {
    if let Some(cookie) = &hash.http_cookie {
        http_cookie(found, &format!("{at}.httpCookie"), cookie);
    }
    if hash.minimum_ring_size != 0 {
        let at = format!("{at}.minimumRingSize");
        found.warning(
            &at,
            "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash configuration instead",
        );
        if hash.ring_hash.is_some() || hash.maglev.is_some() {
            found.error(
                at,
                "only one of MinimumRingSize or Maglev/Ringhash can be specified",
            );
        }
    }
    let Some(maglev) = &hash.maglev else { return };
    for (wrong, message) in [
        (
            maglev.table_size == 0,
            "tableSize must be set for maglev".to_owned(),
        ),
        (
            maglev.table_size >= MAGLEV_LIMIT,
            format!("tableSize must be less than {MAGLEV_LIMIT} for maglev"),
        ),
        (
            !is_prime(maglev.table_size),
            "tableSize must be a prime number for maglev".to_owned(),
        ),
    ] {
        if wrong {
            found.error(format!("{at}.maglev.tableSize"), message);
        }
    }
}

fn http_cookie(found: &mut Findings, at: &str, cookie: &HttpCookie) {
    if cookie.name.is_empty() {
        found.error(format!("{at}.name"), "name required for HttpCookie");
    }
    let mut names = BTreeSet::new();
    for (i, attribute) in cookie.attributes.iter().enumerate() {
        let at = format!("{at}.attributes[{i}].name");
        if attribute.name.is_empty() {
            found.error(at, "cookie attribute name cannot be empty");
        } else if !names.insert(&attribute.name) {
            let message = format!("duplicate cookie attribute name: {}", attribute.name);
            found.error(at, message);
        }
    }
}

/// Whether a table size is a prime. What is over the limit is refused anyway, so nobody waits for its factors.
fn is_prime(number: u64) -> bool {
    if number < 4 {
        return number != 0;
    }
    if number.is_multiple_of(2) {
        return false;
    }
    let mut factor = 3;
    while number <= MAGLEV_LIMIT && factor * factor <= number {
        if number.is_multiple_of(factor) {
            return false;
        }
        factor += 2;
    }
    true
}

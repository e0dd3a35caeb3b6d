//! Load balancing by locality.

use std::collections::BTreeMap;

use meltemi_api::destination_rule::{LocalityLoadBalancerSetting, ZoneAwareLoadBalancerSetting};

use crate::{Check, Findings};

/// Labels by which the places of the topology are known.
const TOPOLOGY: [&str; 3] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
];

const NO_OUTLIER_DETECTION: &str = "outlier detection policy must be provided for failover";

/// `localityLbSetting`; `outlier` says whether outlier detection is configured beside it.
/// Istio 1.31: `ValidateLocalityLbSetting`.
pub fn locality(
    found: &mut Findings,
    at: &str,
    setting: Option<&LocalityLoadBalancerSetting>,
    outlier: bool,
) {
    let Some(setting) = setting else { return };
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        found.error(
            at,
            "can not simultaneously specify 'distribute' and 'failover'",
        );
        return;
    }
    let mut priority = setting.failover_priority.iter();
    if !setting.failover.is_empty()
        && let Some(label) = priority.find(|label| TOPOLOGY.contains(&label.as_str()))
    {
        found.error(
            format!("{at}.failoverPriority"),
            format!(
                "can not simultaneously set 'failover' and topology label '{label}' in 'failover_priority'"
            ),
        );
        return;
    }
    for (i, distribute) in setting.distribute.iter().enumerate() {
        let at = format!("{at}.distribute[{i}].to");
        if distribute.to.values().any(|w| !(1..=100).contains(w)) {
            found.error(at, "locality weight must be in range [1, 100]");
            return;
        }
        let total: u64 = distribute.to.values().map(|w| u64::from(*w)).sum();
        if total != 100 {
            found.error(at, format!("total locality weight {total} != 100"));
            return;
        }
        let to: Vec<&str> = distribute.to.keys().map(String::as_str).collect();
        found.check(at, localities(&to));
    }
    let from: Vec<&str> = setting.distribute.iter().map(|d| &*d.from).collect();
    found.check(format!("{at}.distribute"), localities(&from));
    if (!setting.failover.is_empty() || !setting.failover_priority.is_empty()) && !outlier {
        found.warning(at, NO_OUTLIER_DETECTION);
    }
    let words = [
        "locality lb failover settings must specify different regions",
        "locality lb failover only specify region",
        "locality lb failover region should not contain '*' wildcard",
    ];
    let pairs = setting.failover.iter().map(|f| (&*f.from, &*f.to));
    failovers(found, at, pairs, words);
}

/// `zoneAwareLbSetting`. Istio 1.31: `ValidateZoneAwareLbSetting`.
pub fn zone_aware(
    found: &mut Findings,
    at: &str,
    setting: Option<&ZoneAwareLoadBalancerSetting>,
    outlier: bool,
) {
    let Some(setting) = setting else { return };
    for (i, label) in setting.failover_priority.iter().enumerate() {
        if TOPOLOGY.contains(&label.as_str()) {
            found.error(
                format!("{at}.failoverPriority[{i}]"),
                format!(
                    "'failover_priority' for zone aware lb must not use topology label '{label}'; region- and zone-level routing are handled automatically"
                ),
            );
        }
    }
    if (!setting.failover.is_empty() || !setting.failover_priority.is_empty()) && !outlier {
        found.warning(at, NO_OUTLIER_DETECTION);
    }
    let words = [
        "zone aware lb failover settings must specify different regions",
        "zone aware lb failover only specifies region; zone and subzone failover are handled automatically",
        "zone aware lb failover region should not contain '*' wildcard",
    ];
    let pairs = setting.failover.iter().map(|f| (&*f.from, &*f.to));
    failovers(found, at, pairs, words);
}

/// `failover[]` of either setting.
fn failovers<'a>(
    found: &mut Findings,
    at: &str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    words: [&str; 3],
) {
    for (i, (from, to)) in pairs.enumerate() {
        regions(found, &format!("{at}.failover[{i}]"), from, to, words);
    }
}

/// Two regions; the words are for: the same, more than a region, a wildcard.
fn regions(found: &mut Findings, at: &str, from: &str, to: &str, words: [&str; 3]) {
    let [same, narrow, wildcard] = words;
    let either = |c: char| from.contains(c) || to.contains(c);
    for (wrong, message) in [
        (from == to, same),
        (either('/'), narrow),
        (either('*'), wildcard),
    ] {
        if wrong {
            found.error(at, message);
        }
    }
}

/// Localities that do not overlap: `region/zone/subzone`, with a wildcard at the end at most.
/// Istio 1.31: `validateLocalities`.
pub fn localities(list: &[&str]) -> Check {
    // The zones of each region, the subzones of each zone; a `*` stands for all.
    let mut seen: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for locality in list {
        let overlap = || {
            Err(format!(
                "locality {locality} overlap with previous specified ones"
            ))
        };
        let wildcards = locality.matches('*').count();
        if wildcards > 1 || (wildcards == 1 && !locality.ends_with('*')) {
            return Err(format!(
                "locality {locality} wildcard '*' number can not exceed 1 and must be in the end"
            ));
        }
        if seen.contains_key("*") {
            return overlap();
        }
        let mut parts = locality.splitn(3, '/');
        if parts.clone().any(str::is_empty) {
            return Err(format!(
                "locality {locality} must not contain empty region/zone/subzone info"
            ));
        }
        let region = parts.next().unwrap_or(locality);
        let Some(zone) = parts.next() else {
            if seen.contains_key(region) {
                return overlap();
            }
            seen.insert(region, BTreeMap::from([("*", vec!["*"])]));
            continue;
        };
        let zones = seen.entry(region).or_default();
        if zones.contains_key("*") {
            return overlap();
        }
        let Some(subzone) = parts.next() else {
            if zones.contains_key(zone) {
                return overlap();
            }
            zones.insert(zone, vec!["*"]);
            continue;
        };
        let subzones = zones.entry(zone).or_default();
        if subzones.contains(&"*") || subzones.contains(&subzone) {
            return overlap();
        }
        subzones.push(subzone);
    }
    Ok(())
}

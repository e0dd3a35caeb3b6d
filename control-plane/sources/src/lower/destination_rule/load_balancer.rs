//! `loadBalancer`, and the locality settings that the mesh has too.

use meltemi_api::destination_rule as api;
use meltemi_model::Str;
use meltemi_model::traffic::{
    Algorithm, ConsistentHash, HashKey, LoadBalancer, LocalityLb, Ring, Warmup,
};

use crate::lower::checks;
use crate::lower::findings::Findings;

/// The largest maglev table that Envoy accepts.
const MAX_MAGLEV: u64 = 5_000_011;

/// The largest ring that Envoy accepts.
const MAX_RING: u64 = 8_388_608;

/// Istio 1.31: `validateLoadBalancer`.
pub(super) fn lower(
    lb: &api::LoadBalancerSettings,
    path: &str,
    findings: &mut Findings,
) -> LoadBalancer {
    if lb.backend_utilization.is_some() {
        // Istio 1.31: nothing reads it.
        let message = "nothing is done with this field, in Istio 1.31 neither; choose simple or consistentHash";
        findings.warning(format!("{path}.backendUtilization"), message);
    }
    if lb.zone_aware_lb_setting.is_some() {
        findings.not_supported_yet(format!("{path}.zoneAwareLbSetting"));
        if lb.locality_lb_setting.is_some() {
            findings.error(
                path,
                "localityLbSetting and zoneAwareLbSetting exclude each other",
            );
        }
    }
    let algorithm = match (lb.simple, &lb.consistent_hash) {
        (_, Some(hash)) => {
            let path = format!("{path}.consistentHash");
            Some(Algorithm::ConsistentHash(consistent_hash(
                hash, &path, findings,
            )))
        }
        (Some(simple), None) => Some(match simple {
            api::SimpleLb::Unspecified | api::SimpleLb::LeastConn | api::SimpleLb::LeastRequest => {
                Algorithm::LeastRequest
            }
            api::SimpleLb::Random => Algorithm::Random,
            api::SimpleLb::Passthrough => Algorithm::Passthrough,
            api::SimpleLb::RoundRobin => Algorithm::RoundRobin,
        }),
        (None, None) => None,
    };
    LoadBalancer {
        algorithm,
        locality: lb
            .locality_lb_setting
            .as_ref()
            .map(|l| locality(l, &format!("{path}.localityLbSetting"), findings)),
        warmup: warmup(lb, path, findings),
    }
}

fn consistent_hash(
    hash: &api::ConsistentHash,
    path: &str,
    findings: &mut Findings,
) -> ConsistentHash {
    let ring = match (&hash.ring_hash, &hash.maglev) {
        (_, Some(maglev)) => {
            if maglev.table_size > 0 {
                maglev_size(maglev.table_size, path, findings);
            }
            Ring::Maglev(Some(maglev.table_size).filter(|size| *size > 0))
        }
        (Some(ring), None) => Ring::RingHash(Some(ring.minimum_ring_size).filter(|size| *size > 0)),
        // Istio 1.31 sends 1024, Envoy's own default, where neither form was given.
        (None, None) => Ring::RingHash(Some(if hash.minimum_ring_size > 0 {
            hash.minimum_ring_size
        } else {
            1024
        })),
    };
    if hash.minimum_ring_size > 0 && (hash.ring_hash.is_some() || hash.maglev.is_some()) {
        let message =
            "minimumRingSize is the old form of ringHash; keep only one of ringHash and maglev";
        findings.error(format!("{path}.minimumRingSize"), message);
    }
    if let Ring::RingHash(Some(size)) = ring
        && size > MAX_RING
    {
        findings.error(
            path,
            format!("a ring of {size} entries is too large; write at most {MAX_RING}"),
        );
    }
    ConsistentHash {
        key: hash_key(hash, path, findings),
        ring,
    }
}

fn maglev_size(size: u64, path: &str, findings: &mut Findings) {
    if size >= MAX_MAGLEV || !is_prime(size) {
        findings.error(
            format!("{path}.maglev.tableSize"),
            format!("{size} is not a prime number below {MAX_MAGLEV}; write for instance 65537"),
        );
    }
}

fn is_prime(number: u64) -> bool {
    number > 1
        && (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
}

fn hash_key(hash: &api::ConsistentHash, path: &str, findings: &mut Findings) -> HashKey {
    if let Some(name) = &hash.http_header_name {
        findings.check(&format!("{path}.httpHeaderName"), checks::header_name(name));
        return HashKey::Header(name.as_str().into());
    }
    if let Some(cookie) = &hash.http_cookie {
        return cookie_key(cookie, &format!("{path}.httpCookie"), findings);
    }
    if let Some(name) = &hash.http_query_parameter_name {
        if name.is_empty() {
            findings.error(
                format!("{path}.httpQueryParameterName"),
                "the name is empty",
            );
        }
        return HashKey::QueryParameter(name.as_str().into());
    }
    match hash.use_source_ip {
        Some(true) => HashKey::SourceIp,
        _ => HashKey::None,
    }
}

fn cookie_key(cookie: &api::HttpCookie, path: &str, findings: &mut Findings) -> HashKey {
    if cookie.name.is_empty() {
        findings.error(format!("{path}.name"), "the cookie needs a name");
    }
    let mut attributes: Vec<(Str, Str)> = Vec::with_capacity(cookie.attributes.len());
    for (i, attribute) in cookie.attributes.iter().enumerate() {
        let at = format!("{path}.attributes[{i}].name");
        if attribute.name.is_empty() {
            findings.error(at, "the attribute needs a name");
        } else if attributes.iter().any(|(name, _)| **name == *attribute.name) {
            findings.error(
                at,
                format!("the attribute {:?} is there twice", attribute.name),
            );
        }
        attributes.push((
            attribute.name.as_str().into(),
            attribute.value.as_str().into(),
        ));
    }
    HashKey::Cookie {
        name: cookie.name.as_str().into(),
        path: cookie.path.as_str().into(),
        ttl: findings.duration_or_zero(format!("{path}.ttl"), cookie.ttl),
        attributes,
    }
}

fn warmup(lb: &api::LoadBalancerSettings, path: &str, findings: &mut Findings) -> Option<Warmup> {
    let Some(warmup) = &lb.warmup else {
        let duration = findings.duration(
            format!("{path}.warmupDurationSecs"),
            lb.warmup_duration_secs,
        )?;
        return Some(Warmup {
            duration,
            minimum_percent_millis: None,
            aggression_millis: None,
        });
    };
    let path = format!("{path}.warmup");
    if warmup.duration.is_none() {
        findings.error(format!("{path}.duration"), "the duration is missing");
    }
    let minimum = warmup.minimum_percent;
    if minimum.is_some_and(|p| !(0.0..=100.0).contains(&p)) {
        findings.error(
            format!("{path}.minimumPercent"),
            "write a percentage from 0 to 100",
        );
    }
    if warmup.aggression.is_some_and(|a| a.is_nan() || a <= 0.0) {
        findings.error(format!("{path}.aggression"), "write a number above 0");
    }
    Some(Warmup {
        duration: findings.duration(format!("{path}.duration"), warmup.duration)?,
        // Istio 1.31, `setWarmup`: what is not said is sent all the same.
        minimum_percent_millis: Some((minimum.unwrap_or(10.0) * 1000.0).round() as u64),
        aggression_millis: Some((warmup.aggression.unwrap_or(1.0) * 1000.0).round() as u64),
    })
}

const TOPOLOGY: &[&str] = &[
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
];

/// `localityLbSetting`.
pub(in crate::lower) fn locality(
    lb: &api::LocalityLoadBalancerSetting,
    path: &str,
    findings: &mut Findings,
) -> LocalityLb {
    check_locality(lb, path, findings);
    LocalityLb {
        enabled: lb.enabled,
        distribute: lb
            .distribute
            .iter()
            .map(|d| {
                let to =
                    d.to.iter()
                        .map(|(to, weight)| (Str::from(to.as_str()), *weight));
                (Str::from(d.from.as_str()), to.collect())
            })
            .collect(),
        failover: lb
            .failover
            .iter()
            .map(|f| (f.from.as_str().into(), f.to.as_str().into()))
            .collect(),
        failover_priority: lb
            .failover_priority
            .iter()
            .map(|l| l.as_str().into())
            .collect(),
    }
}

/// Istio 1.31: `ValidateLocalityLbSetting`.
fn check_locality(lb: &api::LocalityLoadBalancerSetting, path: &str, findings: &mut Findings) {
    if !lb.distribute.is_empty() && !lb.failover.is_empty() {
        findings.error(
            path,
            "distribute and failover exclude each other; keep only one of them",
        );
    }
    if !lb.failover.is_empty()
        && lb
            .failover_priority
            .iter()
            .any(|l| TOPOLOGY.contains(&l.as_str()))
    {
        let message = "failover and topology labels in failoverPriority exclude each other";
        findings.error(format!("{path}.failoverPriority"), message);
    }
    for (i, from) in lb.distribute.iter().enumerate() {
        let path = format!("{path}.distribute[{i}]");
        findings.check(&format!("{path}.from"), locality_name(&from.from));
        for to in from.to.keys() {
            findings.check(&format!("{path}.to[{to:?}]"), locality_name(to));
        }
        let total: u64 = from.to.values().map(|weight| u64::from(*weight)).sum();
        if from.to.values().any(|weight| *weight == 0) {
            findings.error(
                format!("{path}.to"),
                "a weight is 1 to 100; leave out a locality that gets nothing",
            );
        } else if total != 100 {
            findings.warning(
                format!("{path}.to"),
                format!("the weights make {total} together, not 100"),
            );
        }
    }
    for (i, failover) in lb.failover.iter().enumerate() {
        let path = format!("{path}.failover[{i}]");
        let regions = [&failover.from, &failover.to];
        if failover.from == failover.to || regions.iter().any(|r| r.contains(['/', '*'])) {
            findings.warning(
                path,
                "from and to are two different regions, without zones and wildcards",
            );
        }
    }
}

fn locality_name(text: &str) -> Result<(), String> {
    let wildcard = text.matches('*').count();
    let good = wildcard == 0 || (wildcard == 1 && text.ends_with('*'));
    if good && text.splitn(3, '/').all(|part| !part.is_empty()) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a locality; write region/zone/subzone, with a wildcard only at the end"
    ))
}

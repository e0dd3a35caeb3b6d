//! Localities, weights and priorities. Istio 1.31: `pilot/pkg/networking/core/loadbalancer`.

use std::collections::BTreeMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::service::{Service, TrafficDistribution};
use meltemi_model::traffic::LocalityLb;
use meltemi_model::workload::Endpoint;
use meltemi_model::{Labels, Locality, Shared, Str};

use crate::cluster::Effective;

/// How the proxy's place shapes the endpoints that it gets. Proxies of one `Balance` share one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// It does not.
    #[default]
    None,
    /// It does not shape them, but the cluster weighs localities.
    Weighted,
    /// Shares by locality: those of the first rule whose "from" is the proxy's locality.
    Distribute(Vec<(Str, u32)>),
    /// Near first: (the proxy's locality, failover from region to region).
    Failover(Locality, Vec<(Str, Str)>, bool),
    /// By labels in common with the proxy: (label, the proxy's value); then as [`Balance::Failover`] where it has rules.
    Priority(Vec<(Str, Str)>, Option<(Locality, Vec<(Str, Str)>)>),
}

impl Balance {
    /// Finds the settings that hold: the rule's, the service's, the mesh's. Istio 1.31: `GetEffectiveLbSetting`.
    /// `place` is the proxy's locality and labels; without it only the cluster's own fields are decided.
    pub fn of(
        policy: &Effective,
        service: &Service,
        mesh: &Mesh,
        place: Option<(&Locality, &Labels)>,
    ) -> Self {
        let by_rule = policy
            .port
            .load_balancer
            .as_ref()
            .and_then(|lb| lb.locality.as_ref());
        let distribution = distribution_labels(service.traffic_distribution);
        let (settings, force) = match (by_rule, &distribution) {
            (Some(settings), _) => (settings.clone(), false),
            (None, Some(labels)) => {
                let labels = labels.iter().map(|l| Str::from(*l)).collect();
                (
                    LocalityLb {
                        failover_priority: labels,
                        ..LocalityLb::default()
                    },
                    true,
                )
            }
            (None, None) => (mesh.locality_lb.clone(), false),
        };
        if settings.enabled == Some(false) {
            return Balance::None;
        }
        let failover = force || policy.port.outlier_detection.is_some();
        let Some((locality, labels)) = place else {
            let weighs = !settings.distribute.is_empty()
                || (failover
                    && (!settings.failover.is_empty() || !settings.failover_priority.is_empty()));
            return if weighs {
                Balance::Weighted
            } else {
                Balance::None
            };
        };
        decide(&settings, failover, locality, labels)
    }

    /// Whether Envoy is to weigh localities by the weights that they come with.
    pub fn weighs_localities(&self) -> bool {
        match self {
            Balance::None => false,
            Balance::Weighted | Balance::Distribute(_) | Balance::Priority(..) => true,
            Balance::Failover(_, _, configured) => *configured,
        }
    }
}

/// Whether endpoints of a service differ by where the proxy is, so that its place must be part of their key.
fn distribution_labels(distribution: TrafficDistribution) -> Option<Vec<&'static str>> {
    let near = [
        "topology.istio.io/network",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    match distribution {
        TrafficDistribution::Any => None,
        TrafficDistribution::PreferSameZone => Some(near.to_vec()),
        TrafficDistribution::PreferSameNode => Some(
            [
                &near[..],
                &["topology.istio.io/subzone", "kubernetes.io/hostname"],
            ]
            .concat(),
        ),
    }
}

fn decide(settings: &LocalityLb, failover: bool, locality: &Locality, labels: &Labels) -> Balance {
    if !settings.distribute.is_empty() {
        let from_here = settings
            .distribute
            .iter()
            .find(|(from, _)| matches(locality, from));
        return from_here.map_or(Balance::Weighted, |(_, to)| Balance::Distribute(to.clone()));
    }
    if !failover {
        return Balance::None;
    }
    if settings.failover_priority.is_empty() {
        let configured = !settings.failover.is_empty();
        return Balance::Failover(locality.clone(), settings.failover.clone(), configured);
    }
    let wanted = settings
        .failover_priority
        .iter()
        .map(|entry| match entry.split_once('=') {
            Some((label, value)) => (label.into(), value.into()),
            None => (
                entry.clone(),
                labels.get(entry).cloned().unwrap_or_else(|| "".into()),
            ),
        });
    let then =
        (!settings.failover.is_empty()).then(|| (locality.clone(), settings.failover.clone()));
    Balance::Priority(wanted.collect(), then)
}

/// Endpoints of one locality and priority.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) locality: &'a Locality,
    pub(super) priority: u32,
    pub(super) weight: u32,
    pub(super) endpoints: Vec<&'a Shared<Endpoint>>,
}

/// Endpoints by where they are.
pub(super) type ByLocality<'a> = BTreeMap<&'a Locality, Vec<&'a Shared<Endpoint>>>;

/// Sorts endpoints by where they are.
pub(super) fn by_locality<'a>(
    endpoints: impl Iterator<Item = &'a Shared<Endpoint>>,
) -> ByLocality<'a> {
    let mut by_locality = ByLocality::new();
    for endpoint in endpoints {
        by_locality
            .entry(&endpoint.locality)
            .or_default()
            .push(endpoint);
    }
    by_locality
}

/// Makes groups of them, with priorities and weights.
pub(super) fn groups<'a>(
    by_locality: impl IntoIterator<Item = (&'a Locality, Vec<&'a Shared<Endpoint>>)>,
    balance: &Balance,
) -> Vec<Group<'a>> {
    let groups: Vec<Group<'a>> = by_locality
        .into_iter()
        .map(|(locality, endpoints)| group(locality, 0, endpoints))
        .collect();
    match balance {
        Balance::None | Balance::Weighted => groups,
        Balance::Distribute(shares) => distribute(groups, shares),
        Balance::Failover(locality, regions, _) => failover(groups, locality, regions),
        Balance::Priority(labels, then) => {
            let groups = by_labels(groups, labels);
            match then {
                Some((locality, regions)) => failover(groups, locality, regions),
                None => groups,
            }
        }
    }
}

fn group<'a>(
    locality: &'a Locality,
    priority: u32,
    endpoints: Vec<&'a Shared<Endpoint>>,
) -> Group<'a> {
    let weight = endpoints
        .iter()
        .fold(0_u32, |sum, e| sum.saturating_add(e.weight));
    Group {
        locality,
        priority,
        weight,
        endpoints,
    }
}

/// Whether a locality is one that a pattern `region/zone/subzone` (with `*`) names. Istio 1.31: `LocalityMatch`.
fn matches(locality: &Locality, pattern: &str) -> bool {
    let pattern = Locality::parse(pattern);
    let same = |wanted: &str, is: &str| wanted == "*" || wanted == is;
    same(&pattern.region, &locality.region)
        && (pattern.zone.is_empty() || same(&pattern.zone, &locality.zone))
        && (pattern.subzone.is_empty() || same(&pattern.subzone, &locality.subzone))
}

/// Each share is divided among its localities by their own weights; localities without a share get nothing.
fn distribute<'a>(mut groups: Vec<Group<'a>>, shares: &[(Str, u32)]) -> Vec<Group<'a>> {
    let mut unmatched = vec![true; groups.len()];
    for (pattern, share) in shares {
        let chosen: Vec<usize> = (0..groups.len())
            .filter(|i| unmatched[*i] && matches(groups[*i].locality, pattern))
            .collect();
        let total: u64 = chosen.iter().map(|i| u64::from(groups[*i].weight)).sum();
        for index in chosen {
            unmatched[index] = false;
            let exact = u64::from(groups[index].weight) * u64::from(*share);
            if let Some(weight) = exact
                .checked_add(total.saturating_sub(1))
                .and_then(|n| n.checked_div(total))
                && weight > 0
            {
                groups[index].weight = u32::try_from(weight).unwrap_or(u32::MAX);
            }
        }
    }
    for (group, none) in groups.iter_mut().zip(unmatched) {
        if none {
            group.endpoints.clear();
        }
    }
    groups
}

/// Priority by distance: the same zone and sub-zone, zone, region, the region that follows, the rest.
fn failover<'a>(
    mut groups: Vec<Group<'a>>,
    here: &Locality,
    regions: &[(Str, Str)],
) -> Vec<Group<'a>> {
    for group in &mut groups {
        let there = group.locality;
        let distance = if here.region != there.region {
            let follows = regions.iter().find(|(from, _)| *from == here.region);
            if follows.is_some_and(|(_, to)| *to != there.region) {
                4
            } else {
                3
            }
        } else if here.zone != there.zone {
            2
        } else {
            u32::from(here.subzone != there.subzone)
        };
        group.priority = group.priority * 5 + distance;
    }
    compact(groups)
}

/// Priority by the first label that differs: the more labels in common, the earlier.
fn by_labels<'a>(groups: Vec<Group<'a>>, labels: &[(Str, Str)]) -> Vec<Group<'a>> {
    let lowest = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let network_first = labels
        .first()
        .is_some_and(|(label, _)| &**label == "topology.istio.io/network");
    let mut sorted = Vec::new();
    for Group {
        locality,
        endpoints,
        ..
    } in groups
    {
        let mut by_priority: BTreeMap<u32, Vec<&'a Shared<Endpoint>>> = BTreeMap::new();
        for endpoint in endpoints {
            let mut other_network = 0;
            let mut priority = 0;
            for (index, (label, wanted)) in (0_u32..).zip(labels) {
                let value = endpoint.labels.get(label).map_or("", |v| v);
                if *value == **wanted {
                    continue;
                }
                if index == 0 && network_first {
                    other_network = lowest; // All of another network come after all of this one.
                } else {
                    priority = lowest - index;
                    break;
                }
            }
            by_priority
                .entry(priority + other_network)
                .or_default()
                .push(endpoint);
        }
        sorted.extend(
            by_priority
                .into_iter()
                .map(|(priority, endpoints)| group(locality, priority, endpoints)),
        );
    }
    compact(sorted)
}

/// Envoy: priorities must be 0, 1, 2… without a gap.
fn compact(mut groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut used: Vec<u32> = groups.iter().map(|g| g.priority).collect();
    used.sort_unstable();
    used.dedup();
    for group in &mut groups {
        group.priority = used
            .iter()
            .position(|p| *p == group.priority)
            .map_or(0, |i| i as u32);
    }
    groups
}

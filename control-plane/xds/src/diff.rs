//! What changed between two sets of one type, worked out once for all sessions that make the same step.

use std::collections::VecDeque;
use std::sync::Arc;

use meltemi_model::{ProxySnapshot, Resource, ResourceSet, ResourceType, Str, Version};
use parking_lot::Mutex;

/// The step from one set to another.
#[derive(Debug, Default)]
pub struct SetDiff {
    /// Resources that must be sent: new, of another version, or (EDS) of a cluster that is new or of another version.
    pub changed: Vec<Arc<Resource>>,
    /// Names that the old set had not.
    pub added: Vec<Str>,
    /// Members of the old set only.
    pub removed: Vec<Arc<Resource>>,
    /// Names that are not in the new set although its referrers name them (a cluster for EDS, a listener for RDS), and
    /// whose owner or presence changed: who watches one gets an empty resource.
    pub dangling: Vec<Str>,
}

/// The type whose resources name those of `ty`: clusters name endpoints, listeners name routes and extensions.
pub fn referrer(ty: ResourceType) -> ResourceType {
    match ty {
        ResourceType::Cluster | ResourceType::Endpoint => ResourceType::Cluster,
        ResourceType::Listener | ResourceType::Route | ResourceType::Extension => {
            ResourceType::Listener
        }
        // Listeners and clusters name them; who asks for one gets it whoever names it.
        ResourceType::Secret => ResourceType::Secret,
        ResourceType::NameTable => ResourceType::NameTable,
    }
}

/// Compares two sets and their referrers.
pub fn diff(
    old: &ResourceSet,
    old_referrers: &ResourceSet,
    new: &ResourceSet,
    new_referrers: &ResourceSet,
) -> SetDiff {
    let mut out = SetDiff::default();
    for (name, resource) in &new.by_name {
        match old.by_name.get(name) {
            None => {
                out.added.push(name.clone());
                out.changed.push(resource.clone());
            }
            Some(before) if before.version != resource.version => {
                out.changed.push(resource.clone())
            }
            Some(_) if new.ty == ResourceType::Endpoint => {
                let owner = |set: &ResourceSet| set.by_name.get(name).map(|c| c.version);
                if owner(old_referrers) != owner(new_referrers) {
                    out.changed.push(resource.clone());
                }
            }
            Some(_) => {}
        }
    }
    out.removed = old
        .by_name
        .iter()
        .filter(|(n, _)| !new.by_name.contains_key(*n))
        .map(|(_, r)| r.clone())
        .collect();
    match new.ty {
        ResourceType::Endpoint => {
            let dangles = |name: &Str, cluster: &Resource| {
                !new.by_name.contains_key(name)
                    && (old.by_name.contains_key(name)
                        || old_referrers
                            .by_name
                            .get(name)
                            .is_none_or(|c| c.version != cluster.version))
            };
            out.dangling = new_referrers
                .by_name
                .iter()
                .filter(|(n, c)| dangles(n, c))
                .map(|(n, _)| n.clone())
                .collect();
        }
        ResourceType::Route => {
            let named = |r: &&Arc<Resource>| is_named(new_referrers, &r.name);
            out.dangling = out
                .removed
                .iter()
                .filter(named)
                .map(|r| r.name.clone())
                .collect();
        }
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::Extension
        | ResourceType::Secret
        | ResourceType::NameTable => {}
    }
    out
}

/// Whether something in the snapshot still refers to a resource: a cluster of that name for EDS (service name and
/// cluster name are one, dataplane-contract 8.19), a listener with that route name in its bytes for RDS.
pub fn is_referred_to(snapshot: &ProxySnapshot, ty: ResourceType, name: &str) -> bool {
    match ty {
        ResourceType::Endpoint => snapshot
            .set(ResourceType::Cluster)
            .by_name
            .contains_key(name),
        ResourceType::Route => is_named(snapshot.set(ResourceType::Listener), name),
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::Extension
        | ResourceType::Secret
        | ResourceType::NameTable => false,
    }
}

fn is_named(referrers: &ResourceSet, name: &str) -> bool {
    !name.is_empty()
        && referrers
            .by_name
            .values()
            .any(|r| r.body.windows(name.len()).any(|w| w == name.as_bytes()))
}

type Key = (ResourceType, [Version; 4]);

/// The latest differences, by the versions of the sets, which are hashes of their content. Ten thousand proxies of one
/// class make the same step; the sets are compared once.
#[derive(Debug, Default)]
pub struct Diffs {
    latest: Mutex<VecDeque<(Key, Arc<SetDiff>)>>,
}

/// Enough for the steps of some dozen classes between two revisions.
const KEPT: usize = 128;

impl Diffs {
    /// The difference between two sets, remembered or computed.
    pub fn between(
        &self,
        old: &ResourceSet,
        old_referrers: &ResourceSet,
        new: &ResourceSet,
        new_referrers: &ResourceSet,
    ) -> Arc<SetDiff> {
        let key = (
            new.ty,
            [
                old.version,
                old_referrers.version,
                new.version,
                new_referrers.version,
            ],
        );
        let known = self
            .latest
            .lock()
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, d)| d.clone());
        if let Some(known) = known {
            return known;
        }
        let computed = Arc::new(diff(old, old_referrers, new, new_referrers));
        let mut latest = self.latest.lock();
        if latest.len() == KEPT {
            latest.pop_back();
        }
        latest.push_front((key, computed.clone()));
        computed
    }
}

//! What the next response of a type holds.

use std::sync::Arc;

use bytes::Bytes;
use meltemi_model::{Resource, ResourceSet, ResourceType, Str};
use prost::Message;

use super::*;

/// The content of a response.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) resources: Vec<Delivery>,
    pub(super) removed: Vec<Str>,
    /// Send it even when it is empty.
    pub(super) always: bool,
    /// The client's set before, where it is known.
    pub(super) before: Option<Arc<ResourceSet>>,
    /// Clusters that are gone, to be removed later.
    pub(super) leaving: Vec<(Str, Option<Arc<Resource>>)>,
    /// Names that the client had not.
    pub(super) added: Vec<Str>,
}

impl Session {
    /// Brings the client's state of a type to the newest snapshot. `None` when nobody watches it.
    pub(super) fn next_step(&mut self, ty: ResourceType) -> Option<Step> {
        let target = self.target.clone();
        let set = target.set(ty);
        let referrers = target.set(referrer(ty));
        let subscription = self.subscriptions[ty.index()].as_mut()?;
        let first = subscription.first.take();
        let step = if let Some(first) = first {
            subscription.owed = Owed::default();
            subscription.review(set);
            // They are part of all that is watched.
            subscription.again.clear();
            self.answer_first(ty, &first)
        } else {
            self.answer_later(ty)
        };
        let subscription = self.subscriptions[ty.index()].as_mut()?;
        subscription.sent = set.clone();
        subscription.referrers = referrers.clone();
        Some(step)
    }

    /// The first answer on a stream: all that is watched, less what the client holds in the right version.
    fn answer_first(&self, ty: ResourceType, first: &First) -> Step {
        let Some(subscription) = self.subscription(ty) else {
            return Step::default();
        };
        // With no names there is nothing that a client of EDS or RDS could wait for.
        let mut step = Step {
            always: ty.is_wildcard(),
            ..Step::default()
        };
        let set = self.target.set(ty);
        let holds = |d: &Delivery| {
            first
                .held
                .get(&*d.resource.name)
                .is_some_and(|held| *held == d.version())
        };
        if subscription.wildcard {
            let all = set.by_name.values().map(|r| self.delivery(r));
            step.resources.extend(all.filter(|d| !holds(d)));
        } else {
            for name in subscription.names.iter() {
                let held = first.held.get(&**name);
                match self.delivery_of(set, subscription, name, held.is_some()) {
                    Some(delivery) if !holds(&delivery) => step.resources.push(delivery),
                    Some(_) => {}
                    None if self.says_missing(ty) => step.removed.push(name.clone()),
                    None => {}
                }
            }
        }
        if ty.is_wildcard() {
            let gone = first
                .held
                .keys()
                .filter(|n| !set.by_name.contains_key(n.as_str()));
            let gone = gone.filter(|n| subscription.wildcard || !subscription.names.contains(n));
            match ty {
                ResourceType::Cluster => {
                    step.leaving.extend(gone.map(|n| (n.as_str().into(), None)))
                }
                _ => step.removed.extend(gone.map(|n| Str::from(n.as_str()))),
            }
        }
        if first.returning {
            let unknown = |d: &&Delivery| !first.held.contains_key(&*d.resource.name);
            step.added = step
                .resources
                .iter()
                .filter(unknown)
                .map(|d| d.resource.name.clone())
                .collect();
        }
        step
    }

    /// What is owed to requests, and what changed since the last response.
    fn answer_later(&mut self, ty: ResourceType) -> Step {
        let target = self.target.clone();
        let (set, referrers) = (target.set(ty), target.set(referrer(ty)));
        let whole = self.protocol == Protocol::Sotw && ty.is_wildcard();
        let Some(subscription) = self.subscriptions[ty.index()].as_mut() else {
            return Step::default();
        };
        let refused_before = subscription.rejected.clone();
        subscription.review(set);
        let again = std::mem::take(&mut subscription.again);
        let moved = subscription.sent.version != set.version
            || (ty == ResourceType::Endpoint
                && subscription.referrers.version != referrers.version)
            || (ty == ResourceType::Route && subscription.referrers.version != referrers.version);
        let mut step = if subscription.owed.is_empty() {
            Step::default()
        } else {
            self.answer_owed(ty, set)
        };
        if !moved && again.is_empty() {
            return step;
        }
        let Some(subscription) = self.subscription(ty) else {
            return step;
        };
        let old = subscription.sent.clone();
        let diff = self
            .diffs
            .between(&old, &subscription.referrers, set, referrers);
        let mut fresh = Vec::new();
        for resource in diff.changed.iter().filter(|r| subscription.wants(&r.name)) {
            fresh.extend(self.substitute(subscription, &resource.name, Some(resource)));
        }
        for name in diff
            .dangling
            .iter()
            .filter(|n| subscription.names.contains(n))
        {
            fresh.extend(self.substitute(subscription, name, None));
        }
        for name in again.iter().filter(|n| subscription.wants(n)) {
            if let Some(resource) = set.by_name.get(name) {
                fresh.extend(self.substitute(subscription, name, Some(resource)));
            }
        }
        let gone: Vec<&Arc<Resource>> = diff
            .removed
            .iter()
            .filter(|r| subscription.wants(&r.name))
            .collect();
        let refused = |n: &Str| {
            let version = set.by_name.get(n).map(|r| r.version);
            subscription
                .rejected
                .get(n)
                .is_some_and(|r| Some(r.version) == version)
        };
        step.added.extend(
            diff.added
                .iter()
                .filter(|n| subscription.wants(n) && !refused(n))
                .cloned(),
        );
        match ty {
            ResourceType::Cluster => {
                let kept = |r: &Arc<Resource>| match refused_before.get(&r.name) {
                    Some(rejected) if rejected.version == r.version => rejected.good.clone(),
                    _ => Some(r.clone()),
                };
                step.leaving.extend(
                    gone.iter()
                        .map(|r| (r.name.clone(), kept(r).filter(|_| whole))),
                );
            }
            ResourceType::Listener | ResourceType::NameTable | ResourceType::Secret
                if self.says_missing(ty) =>
            {
                step.removed.extend(gone.iter().map(|r| r.name.clone()))
            }
            // Envoy drops endpoints, routes and extensions with the cluster or listener that named them, and ignores removals.
            _ => {}
        }
        if whole {
            if !fresh.is_empty() || !gone.is_empty() {
                let mut resources = self.whole(set, subscription);
                let leaving = step.leaving.iter().filter_map(|(_, r)| r.as_ref());
                resources.extend(leaving.map(|r| self.delivery(r)));
                step = Step {
                    resources,
                    always: true,
                    ..step
                };
            }
        } else {
            let known: BTreeSet<Str> = step
                .resources
                .iter()
                .map(|d| d.resource.name.clone())
                .collect();
            let mut seen = known;
            step.resources.extend(
                fresh
                    .into_iter()
                    .filter(|d| seen.insert(d.resource.name.clone())),
            );
        }
        step.before = Some(old.clone());
        if let Some(subscription) = self.subscriptions[ty.index()].as_mut() {
            subscription.names.rebase(&old, &diff, set);
        }
        step
    }

    /// Whether a name that there is not is answered as removed. Of secrets that lets Envoy finish a listener at once,
    /// which would else wait 15 seconds (`initial_fetch_timeout`); it keeps a secret that it has.
    fn says_missing(&self, ty: ResourceType) -> bool {
        self.protocol == Protocol::Delta && (ty.is_wildcard() || ty == ResourceType::Secret)
    }

    /// Answers what requests asked for, from this set, or from the newest one where that has not the name.
    pub(super) fn answer_owed(&mut self, ty: ResourceType, set: &Arc<ResourceSet>) -> Step {
        let Some(subscription) = self.subscriptions[ty.index()].as_mut() else {
            return Step::default();
        };
        let owed = std::mem::take(&mut subscription.owed);
        let Some(subscription) = self.subscription(ty) else {
            return Step::default();
        };
        let mut step = Step {
            always: ty.is_wildcard(),
            ..Step::default()
        };
        if self.protocol == Protocol::Sotw && ty.is_wildcard() {
            step.resources = self.whole(set, subscription);
            return step;
        }
        let names: BTreeSet<&Str> = match (owed.all, subscription.wildcard) {
            (true, true) => set.by_name.keys().chain(&owed.names).collect(),
            (true, false) => subscription.names.iter().collect(),
            (false, _) => owed.names.iter().collect(),
        };
        for name in names {
            let is_forced = !owed.names.contains(name);
            match self.delivery_of(set, subscription, name, is_forced) {
                Some(delivery) => step.resources.push(delivery),
                None if self.says_missing(ty) => step.removed.push(name.clone()),
                None => {}
            }
        }
        step
    }

    /// All that the client is to have of a type; clusters that are leaving included.
    pub(super) fn whole(
        &self,
        set: &Arc<ResourceSet>,
        subscription: &Subscription,
    ) -> Vec<Delivery> {
        let mut all: Vec<Delivery> = if subscription.wildcard {
            set.by_name
                .values()
                .filter_map(|r| self.substitute(subscription, &r.name, Some(r)))
                .collect()
        } else {
            subscription
                .names
                .iter()
                .filter_map(|n| self.delivery_of(set, subscription, n, false))
                .collect()
        };
        if set.ty == ResourceType::Cluster {
            all.extend(self.leaving.values().flatten().map(|r| self.delivery(r)));
        }
        all
    }

    /// What a client gets for a name. An unknown route or endpoint is answered with an empty one, since Envoy waits for
    /// an answer without a timeout (dataplane-contract 3.6), unless the client holds one that nothing refers to any
    /// more: emptying that would break what still drains.
    fn delivery_of(
        &self,
        set: &ResourceSet,
        subscription: &Subscription,
        name: &Str,
        holds_one: bool,
    ) -> Option<Delivery> {
        let resource = set
            .by_name
            .get(name)
            .or_else(|| self.target.set(set.ty).by_name.get(name));
        if resource.is_none() && holds_one && !is_referred_to(&self.target, set.ty, name) {
            return None;
        }
        self.substitute(subscription, name, resource)
    }

    /// The resource, or what takes its place when it is missing or was refused in this version.
    fn substitute(
        &self,
        subscription: &Subscription,
        name: &Str,
        resource: Option<&Arc<Resource>>,
    ) -> Option<Delivery> {
        let rejected = subscription.rejected.get(name);
        let resource = match (resource, rejected) {
            (Some(resource), Some(rejected)) if rejected.version == resource.version => {
                rejected.good.as_ref()
            }
            (resource, _) => resource,
        };
        match resource {
            Some(resource) => Some(self.delivery(resource)),
            None => empty(subscription.sent.ty, name).map(|r| self.delivery(&Arc::new(r))),
        }
    }

    fn delivery(&self, resource: &Arc<Resource>) -> Delivery {
        let cluster = (resource.ty == ResourceType::Endpoint)
            .then(|| {
                self.target
                    .set(ResourceType::Cluster)
                    .by_name
                    .get(&resource.name)
                    .map(|c| c.version)
            })
            .flatten();
        Delivery {
            resource: resource.clone(),
            cluster,
        }
    }
}

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`, as much as an empty one needs.
#[derive(Clone, PartialEq, Message)]
struct EmptyAssignment {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

/// `envoy.config.route.v3.RouteConfiguration`, as much as an empty one needs.
#[derive(Clone, PartialEq, Message)]
struct EmptyRoutes {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "7")]
    validate_clusters: Option<FalseValue>,
}

/// `google.protobuf.BoolValue` of false.
#[derive(Clone, PartialEq, Message)]
struct FalseValue {}

/// The resource that says "known, and nothing in it" (dataplane-contract 3.6).
fn empty(ty: ResourceType, name: &Str) -> Option<Resource> {
    let body = match ty {
        ResourceType::Endpoint => EmptyAssignment {
            cluster_name: name.to_string(),
        }
        .encode_to_vec(),
        ResourceType::Route => EmptyRoutes {
            name: name.to_string(),
            validate_clusters: Some(FalseValue {}),
        }
        .encode_to_vec(),
        ResourceType::Cluster
        | ResourceType::Listener
        | ResourceType::Extension
        | ResourceType::Secret
        | ResourceType::NameTable => return None,
    };
    Some(Resource::new(
        ty,
        name.clone(),
        Bytes::from(body),
        Arc::from([]),
    ))
}

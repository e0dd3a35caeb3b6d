//! Patches of EnvoyFilters: a resource that a builder made, and what users change in it.
//!
//! The Input is the finished resource, so that proxies with and without patches share what comes before, and a change
//! that does not reach the resource patches nothing again. A patch that cannot be applied (an Any of another type) is
//! skipped and said; a removed resource is no error.
//!
//! Read first: this file, then `patch/listener.rs`. Istio 1.31: `pilot/pkg/networking/core/envoyfilter`.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use meltemi_model::envoy_filter::{ApplyTo, Context, Operation, Patch};
use meltemi_model::{ObjectKey, Resource, ResourceType, Shared, Str};
use meltemi_proto::merge::{Lists, merge};
use meltemi_proto::{Canonical, Error};
use prost::Message;

mod cluster;
mod listener;
mod names;
mod route;
#[cfg(test)]
mod tests;

pub use cluster::may_touch_cluster;
pub use listener::may_touch_listener;
pub use route::may_touch_route;

/// A resource and the patches for it, in the order in which they are applied.
#[derive(Debug, Clone)]
pub struct PatchInput {
    /// What the builder made.
    pub resource: Arc<Resource>,
    /// The side of the proxy that it is for.
    pub context: Context,
    /// Of an inbound cluster: the hosts of the workload's services.
    pub hosts: Vec<Str>,
    /// Of a gateway's route configuration: the service ports that lead to its port.
    pub service_ports: Vec<u16>,
    /// The patches.
    pub patches: Shared<Vec<Shared<Patch>>>,
}

impl PartialEq for PatchInput {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.resource, &other.resource);
        self.patches == other.patches
            && self.context == other.context
            && self.hosts == other.hosts
            && self.service_ports == other.service_ports
            && (a.ty, &a.name, a.version, &a.from) == (b.ty, &b.name, b.version, &b.from)
            && a.body == b.body
    }
}

impl Eq for PatchInput {}

impl Hash for PatchInput {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The version stands for the bytes.
        (self.resource.ty, &self.resource.name, self.resource.version).hash(state);
        (
            self.context,
            &self.hosts,
            &self.service_ports,
            &self.patches,
        )
            .hash(state);
    }
}

/// What became of a resource.
#[derive(Debug, Clone)]
pub struct Patched {
    /// The resource; `None`: a patch removed it.
    pub resource: Option<Arc<Resource>>,
    /// What it fetches: the route configurations of a listener, the endpoints of a cluster.
    pub references: BTreeSet<Str>,
    /// The patches that changed it, as indexes into the Input's.
    pub applied: BTreeSet<usize>,
    /// What could not be applied.
    pub problems: Vec<Problem>,
}

/// Why a patch was not applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The EnvoyFilter.
    pub from: ObjectKey,
    /// The patch's index in it.
    pub index: usize,
    /// What is wrong.
    pub message: String,
}

impl PatchInput {
    /// Applies the patches. Cannot fail: what cannot be applied is left out.
    pub fn build(&self) -> Patched {
        let mut run = Run {
            context: self.context,
            hosts: &self.hosts,
            service_ports: &self.service_ports,
            patches: &self.patches,
            applied: BTreeSet::new(),
            problems: Vec::new(),
        };
        let body = self.resource.body.as_ref();
        // A builder's own bytes can be read; one that is added was read when it was lowered.
        let (made, references) = match self.resource.ty {
            ResourceType::Cluster => run.whole(body, cluster::patch, cluster::references),
            ResourceType::Listener => run.whole(body, listener::patch, listener::references),
            ResourceType::Route => run.whole(body, route::patch, |_| BTreeSet::new()),
            _ => (
                Some((self.resource.name.to_string(), self.resource.body.clone())),
                BTreeSet::new(),
            ),
        };
        let Run {
            applied, problems, ..
        } = run;
        let resource = made.map(|(name, body)| {
            if body == self.resource.body {
                return Arc::clone(&self.resource);
            }
            let keys = applied.iter().map(|n| &self.patches[*n].from);
            let mut from = self.resource.from.to_vec();
            for key in keys {
                if !from.contains(key) {
                    from.push(key.clone());
                }
            }
            Arc::new(Resource::new(
                self.resource.ty,
                name.into(),
                body,
                from.into(),
            ))
        });
        Patched {
            resource,
            references,
            applied,
            problems,
        }
    }
}

/// A message that has a name of its own.
trait Named: Canonical + Default {
    fn name(&self) -> &str;
}

/// One application of patches.
struct Run<'a> {
    context: Context,
    hosts: &'a [Str],
    service_ports: &'a [u16],
    patches: &'a [Shared<Patch>],
    applied: BTreeSet<usize>,
    problems: Vec<Problem>,
}

type Made = Option<(String, bytes::Bytes)>;

impl<'a> Run<'a> {
    fn whole<M: Named>(
        &mut self,
        body: &[u8],
        patch: impl FnOnce(&mut Self, &mut M) -> bool,
        references: impl FnOnce(&M) -> BTreeSet<Str>,
    ) -> (Made, BTreeSet<Str>) {
        let mut message = M::decode(body).unwrap_or_default();
        if !patch(self, &mut message) {
            return (None, BTreeSet::new());
        }
        let made = (message.name().to_owned(), meltemi_proto::encode(&message));
        (Some(made), references(&message))
    }

    /// The patches of a kind that are for this side of the proxy.
    fn of(&self, apply_to: ApplyTo) -> impl Iterator<Item = (usize, &'a Patch)> + use<'a> {
        let context = self.context;
        self.patches
            .iter()
            .enumerate()
            .filter(move |(_, p)| p.apply_to == apply_to && p.context.covers(context))
            .map(|(n, p)| (n, &**p))
    }

    fn has(&self, apply_to: ApplyTo) -> bool {
        self.of(apply_to).next().is_some()
    }

    fn note(&mut self, n: usize, applied: bool) {
        if applied {
            self.applied.insert(n);
        }
    }

    fn problem(&mut self, patch: &Patch, error: &Error) {
        let problem = Problem {
            from: patch.from.clone(),
            index: patch.index,
            message: error.to_string(),
        };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Merges a patch's value into a message.
    fn merge<M: Canonical + Default>(&mut self, n: usize, patch: &Patch, message: &mut M) {
        let lists = match patch.operation {
            Operation::MergeAndReplaceList => Lists::Replace,
            _ => Lists::Append,
        };
        match merge(message, patch.value.as_deref().unwrap_or_default(), lists) {
            Ok(()) => self.note(n, true),
            Err(error) => self.problem(patch, &error),
        }
    }
}

/// The value of a patch, which was read when it was lowered.
fn value<M: Message + Default>(patch: &Patch) -> Option<M> {
    M::decode(patch.value.clone()?).ok()
}

/// The name of what a patch adds as a whole.
pub fn name_of(patch: &Patch) -> Option<Str> {
    use meltemi_proto::envoy::config::{cluster, core, listener};
    let name = match patch.apply_to {
        ApplyTo::Cluster => value::<cluster::v3::Cluster>(patch)?.name,
        ApplyTo::Listener => value::<listener::v3::Listener>(patch)?.name,
        ApplyTo::ExtensionConfig => value::<core::v3::TypedExtensionConfig>(patch)?.name,
        _ => return None,
    };
    Some(name.into())
}

/// Adds, inserts, replaces or removes an element; says whether it did. Merges are none of this.
fn edit<T>(
    list: &mut Vec<T>,
    operation: Operation,
    value: Option<T>,
    has_match: bool,
    matches: impl Fn(&T) -> bool,
) -> bool {
    if operation == Operation::Remove {
        let before = list.len();
        if has_match {
            list.retain(|element| !matches(element));
        }
        return list.len() < before;
    }
    let Some(value) = value else {
        return false;
    };
    let place = has_match.then(|| list.iter().position(matches));
    let at = match (operation, place) {
        (Operation::Add, _) | (Operation::InsertAfter, None) => list.len(),
        (Operation::InsertFirst, _) | (Operation::InsertBefore, None) => 0,
        (Operation::InsertBefore, Some(Some(at))) => at,
        (Operation::InsertAfter, Some(Some(at))) => at + 1,
        (Operation::Replace, Some(Some(at))) => {
            list[at] = value;
            return true;
        }
        _ => return false,
    };
    list.insert(at, value);
    true
}

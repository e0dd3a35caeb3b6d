//! The state of one type on one stream: what the client wants, has, accepted and refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use meltemi_model::{Resource, ResourceSet, ResourceType, Str, Version};

use crate::message::{Delivery, Request};
use crate::names::Names;
use crate::rejection::{Rejected, TRIAL, culprits};

/// The subscription of a stream to one type.
#[derive(Debug)]
pub struct Subscription {
    /// Whether the client wants everything.
    pub wildcard: bool,
    /// The names that it asked for by name.
    pub names: Names,
    /// The set that it was last brought to.
    pub sent: Arc<ResourceSet>,
    /// The referrers at that moment (clusters for endpoints, listeners for routes).
    pub referrers: Arc<ResourceSet>,
    /// What the first request said; taken when it is answered.
    pub(crate) first: Option<First>,
    /// What must be answered whether it changed or not.
    pub(crate) owed: Owed,
    /// Number of the last response.
    pub(crate) sent_nonce: u64,
    /// Number of the last response that was accepted or refused.
    pub(crate) answered_nonce: u64,
    in_flight: VecDeque<InFlight>,
    /// What was refused, by name.
    pub(crate) rejected: BTreeMap<Str, Rejected>,
    /// Names that a refusal of a whole response took along, to be tried again.
    pub(crate) again: BTreeSet<Str>,
    /// What status pages show.
    pub report: Report,
}

/// What status pages show of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nonce of the last response; empty when none was sent.
    pub nonce_sent: String,
    /// Nonce of the last response that was accepted.
    pub nonce_acked: String,
    /// Version of the last response.
    pub version_sent: Option<Version>,
    /// Version of the last response that was accepted.
    pub version_acked: Option<Version>,
    /// The message of the last NACK, until the next ACK.
    pub error: Option<String>,
}

/// The first request of a type.
#[derive(Debug, Default)]
pub(crate) struct First {
    /// Delta: what the client still holds from an earlier stream.
    pub(crate) held: BTreeMap<String, String>,
    /// Whether it holds anything, so that it may be serving traffic with it.
    pub(crate) returning: bool,
}

/// What a request is to be answered with.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Everything that is watched.
    pub(crate) all: bool,
    /// These names.
    pub(crate) names: BTreeSet<Str>,
}

impl Owed {
    pub(crate) fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }
}

/// A response that was not answered yet.
#[derive(Debug)]
struct InFlight {
    nonce: u64,
    version: Version,
    resources: Arc<[Delivery]>,
    /// What the client had before; absent for an answer to a request, where that is not known.
    before: Option<Arc<ResourceSet>>,
}

/// More unanswered responses of one type than this are forgotten, the oldest first: then a late NACK names nobody.
const MAX_IN_FLIGHT: usize = 64;

/// Longer error messages are cut: a client's words must not fill our memory.
const MAX_ERROR: usize = 4096;

impl Subscription {
    /// A subscription to nothing.
    pub fn new(ty: ResourceType) -> Self {
        Self {
            wildcard: false,
            names: Names::none(ty),
            sent: Arc::new(ResourceSet::empty(ty)),
            referrers: Arc::new(ResourceSet::empty(crate::diff::referrer(ty))),
            first: None,
            owed: Owed::default(),
            sent_nonce: 0,
            answered_nonce: 0,
            in_flight: VecDeque::new(),
            rejected: BTreeMap::new(),
            again: BTreeSet::new(),
            report: Report::default(),
        }
    }

    /// What is left of it once the client watches nothing any more: what it refused, and what it still has to answer.
    pub(crate) fn left(self) -> Self {
        Self {
            sent_nonce: self.sent_nonce,
            answered_nonce: self.answered_nonce,
            in_flight: self.in_flight,
            rejected: self.rejected,
            report: self.report,
            ..Self::new(self.sent.ty)
        }
    }

    /// Whether the client watches this name.
    pub fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Names of what the client refused and was not offered in another version since.
    pub fn rejected(&self) -> impl Iterator<Item = &Str> {
        self.rejected.keys().filter(|name| ***name != *TRIAL)
    }

    /// What the client refused and was not offered in another version since: the resource, unless the client was
    /// brought on to a set without it.
    pub fn refused_resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rejected.iter().filter_map(|(name, rejected)| {
            let current = self.sent.by_name.get(name)?;
            (current.version == rejected.version).then_some(current)
        })
    }

    /// What the client says to the resource of this name that it was sent: whether it takes it. `None` while it owes an
    /// answer, or when it was sent nothing of the name.
    pub fn verdict(&self, name: &str) -> Option<(Version, bool)> {
        let current = self.sent.by_name.get(name).filter(|_| self.wants(name))?;
        let rejected = self.rejected.get(name);
        let refused = rejected.is_some_and(|r| r.version == current.version);
        (refused || self.is_settled()).then_some((current.version, !refused))
    }

    /// Whether every response was answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.answered_nonce == self.sent_nonce
    }

    /// Notes a response.
    pub(crate) fn sending(
        &mut self,
        nonce: (u64, &str),
        version: Version,
        resources: &Arc<[Delivery]>,
        before: Option<Arc<ResourceSet>>,
    ) {
        if self.in_flight.len() == MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(InFlight {
            nonce: nonce.0,
            version,
            resources: resources.clone(),
            before,
        });
        self.sent_nonce = nonce.0;
        nonce.1.clone_into(&mut self.report.nonce_sent);
        self.report.version_sent = Some(version);
    }

    /// Takes an ACK or NACK of the response with this number. An answer to a later response answers the earlier ones:
    /// clients answer in order. `target` is what the client is to be brought to next.
    pub(crate) fn answered(
        &mut self,
        nonce: u64,
        request: &Request,
        target: &ResourceSet,
    ) -> Vec<Str> {
        if nonce <= self.answered_nonce || nonce > self.sent_nonce {
            return Vec::new();
        }
        self.answered_nonce = nonce;
        let mut found = None;
        while self.in_flight.front().is_some_and(|r| r.nonce <= nonce) {
            found = self.in_flight.pop_front();
            if request.error.is_none() || found.as_ref().is_some_and(|r| r.nonce < nonce) {
                self.accepted(found.as_ref(), target);
            }
        }
        if let Some(message) = &request.error {
            let refused = found.map(|r| self.refused(&r, message)).unwrap_or_default();
            if !matches!(&refused[..], [only] if **only == *TRIAL) {
                self.report.error = Some(cut(message));
            }
            return refused;
        }
        self.report.error = None;
        request.nonce.clone_into(&mut self.report.nonce_acked);
        self.report.version_acked = found.map(|r| r.version).or(self.report.version_acked);
        Vec::new()
    }

    fn accepted(&mut self, response: Option<&InFlight>, target: &ResourceSet) {
        if self.rejected.is_empty() {
            return;
        }
        for delivery in response.iter().flat_map(|r| r.resources.iter()) {
            let accepted = &delivery.resource;
            let version = |set: &ResourceSet| set.by_name.get(&accepted.name).map(|r| r.version);
            // What was sent in place of a refused version does not overtake it.
            if version(&self.sent) != Some(accepted.version) {
                continue;
            }
            let Some(rejected) = self.rejected.get_mut(&accepted.name) else {
                continue;
            };
            if version(target) == Some(rejected.version) {
                // The refused version is to come again; this one stays in its place.
                if rejected.version != accepted.version {
                    rejected.good = Some(Arc::clone(accepted));
                }
            } else if rejected.version != accepted.version {
                self.rejected.remove(&accepted.name);
            }
        }
    }

    fn refused(&mut self, response: &InFlight, message: &str) -> Vec<Str> {
        let before = |name: &str| {
            response
                .before
                .as_ref()
                .and_then(|set| set.by_name.get(name))
        };
        // What the client already had in this version it had accepted.
        let is_new = |d: &&Delivery| {
            before(&d.resource.name).is_none_or(|b| b.version != d.resource.version)
        };
        let named = culprits(message, &response.resources);
        let group = named.is_empty().then_some(response.nonce);
        let guilty: Vec<&Delivery> = if group.is_some() {
            response.resources.iter().filter(is_new).collect()
        } else {
            named
        };
        let mut names = Vec::with_capacity(guilty.len());
        for delivery in guilty {
            let resource = &delivery.resource;
            let current = self.sent.by_name.get(&resource.name).map(|r| r.version);
            let is_known =
                |old: &Rejected| Some(old.version) == current && old.version != resource.version;
            if self.rejected.get(&resource.name).is_some_and(is_known) {
                continue; // An older response; that the current version is refused matters more.
            }
            let good = match (self.rejected.get(&resource.name), before(&resource.name)) {
                (Some(old), b)
                    if b.is_none_or(|b| {
                        b.version == old.version || b.version == resource.version
                    }) =>
                {
                    old.good.clone()
                }
                (_, Some(b)) if b.version != resource.version => Some(b.clone()),
                _ => None,
            };
            names.push(resource.name.clone());
            self.rejected.insert(
                resource.name.clone(),
                Rejected {
                    version: resource.version,
                    good,
                    group,
                },
            );
        }
        names
    }

    /// Forgets refusals that the new set overtakes. Of a response that was refused as a whole nobody knows which
    /// resource was at fault, so once any of them changes the others deserve another try.
    pub(crate) fn review(&mut self, set: &ResourceSet) {
        if self.rejected.is_empty() {
            return;
        }
        let version = |name: &Str| set.by_name.get(name).map(|r| r.version);
        let moved: BTreeSet<u64> = self
            .rejected
            .iter()
            .filter(|(n, r)| version(n) != Some(r.version))
            .filter_map(|(_, r)| r.group)
            .collect();
        let (again, rejected) = std::mem::take(&mut self.rejected)
            .into_iter()
            .partition(|(_, r)| r.group.is_some_and(|group| moved.contains(&group)));
        self.rejected = rejected;
        // A version in between stays noted until another is accepted, for what was good before it.
        self.rejected
            .retain(|name, r| set.by_name.get(name).is_some_and(|now| !r.is_good(now)));
        self.again.extend(BTreeMap::into_keys(again));
    }
}

fn cut(message: &str) -> String {
    let mut end = message.len().min(MAX_ERROR);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

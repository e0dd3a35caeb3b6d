//! One stream's protocol: requests and snapshots in, actions out. No sockets, no clock.
//!
//! A request only changes what is wanted and what is owed; `advance` then brings the client as far towards
//! the newest snapshot as make-before-break allows. It compares states and keeps no queue, so a slow reader skips
//! snapshots, and an event that changes nothing sends nothing. The order, for both variants:
//!
//! 1. Clusters that are new or changed (SotW: the old ones stay in the list), then endpoints, at once.
//! 2. Listeners, then routes: at once, unless step 1 brought *new* clusters to a client that is serving. Then they wait
//!    until the client subscribed to the endpoints of those clusters and answered (`session/gate.rs`); else traffic would be
//!    routed to clusters that are still warming.
//!    Configurations of filters (ECDS) follow them.
//! 3. Secrets, at once: nothing waits for them but the listeners and clusters that name them. Which there are is found
//!    out for each stream ([`Session::hold_secrets`]); they are no part of a class's snapshot.
//! 4. Removals of clusters: when every listener and route response was answered and the routes of new listeners were
//!    fetched, since until then old routes still use them.
//!
//! A client that never answers does not block itself for ever: the shell calls [`Session::release`] after a while.
//!
//! Requests are answered as pilot/pkg/xds/{server,delta}.go of Istio 1.31 do, with these differences: in delta a request
//! with a stale nonce still changes the subscription (as the protocol demands), names that are subscribed again are
//! answered again, and what a client already holds in the right version is not sent again after a reconnect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_model::{ProxySnapshot, Resource, ResourceSet, ResourceType, Str, Version};
use tonic::Code;

use crate::diff::{Diffs, is_referred_to, referrer};
use crate::message::{Action, Delivery, Interest, Protocol, Request, Response};
use crate::session::gate::Gate;
use crate::subscription::{First, Owed, Subscription};

mod answer;
mod gate;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

/// More names than this on one stream are refused: no mesh has so many, and a stranger must not fill our memory.
const MAX_NAMES: usize = 200_000;

/// The protocol state of one stream.
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    /// Makes nonces differ from those of other streams, which a proxying agent may repeat.
    stream: u64,
    nonce: u64,
    diffs: Arc<Diffs>,
    target: Arc<ProxySnapshot>,
    subscriptions: [Option<Subscription>; ResourceType::SERVED.len()],
    gate: Gate,
    /// The routes that belong to the listeners that were sent last.
    listeners_routes: Arc<ResourceSet>,
    /// Clusters that are gone but that the client must keep for now; with the resource where the list needs it.
    leaving: BTreeMap<Str, Option<Arc<Resource>>>,
    /// The client came back with clusters that are gone, and did not yet ask for its listeners.
    expects_listeners: bool,
    /// Routes that new listeners need, not fetched yet.
    routes_awaited: BTreeSet<Str>,
}

impl Session {
    /// A session that starts with a snapshot. `stream` must be unique among the streams of this and recent processes.
    pub fn new(
        protocol: Protocol,
        stream: u64,
        diffs: Arc<Diffs>,
        snapshot: Arc<ProxySnapshot>,
    ) -> Self {
        Self {
            protocol,
            stream,
            nonce: 0,
            diffs,
            listeners_routes: snapshot.set(ResourceType::Route).clone(),
            target: snapshot,
            subscriptions: [const { None }; ResourceType::SERVED.len()],
            gate: Gate::default(),
            leaving: BTreeMap::new(),
            expects_listeners: false,
            routes_awaited: BTreeSet::new(),
        }
    }

    /// The variant that the stream speaks.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The snapshot that the client is being brought to.
    pub fn snapshot(&self) -> &Arc<ProxySnapshot> {
        &self.target
    }

    /// The subscription to a type, if the client has one.
    pub fn subscription(&self, ty: ResourceType) -> Option<&Subscription> {
        self.subscriptions[ty.index()].as_ref()
    }

    /// Whether something is held back until the client answers; then the shell must see that [`Session::release`] is
    /// called some time later.
    pub fn is_waiting(&self) -> bool {
        !self.leaving.is_empty()
            || (!self.gate.is_open()
                && [
                    ResourceType::Listener,
                    ResourceType::Route,
                    ResourceType::Extension,
                ]
                .into_iter()
                .any(|ty| self.is_behind(ty)))
    }

    /// Takes a request.
    pub fn on_request(&mut self, request: &Request) -> Vec<Action> {
        let last = self
            .subscription(request.ty)
            .map(|s| s.report.nonce_sent.clone());
        // Nonces are numbered, so an answer that crossed a newer response is still worth something.
        self.take_answer(request);
        match &request.interest {
            Interest::Delta {
                subscribe,
                unsubscribe,
                initial,
            } => {
                self.take_delta(request.ty, subscribe, unsubscribe, initial);
            }
            Interest::Sotw { names, version } => {
                let is_stale =
                    last.is_some_and(|last| !request.nonce.is_empty() && request.nonce != last);
                if is_stale {
                    return self.advance();
                }
                self.take_sotw(request.ty, request.nonce.is_empty(), names, version);
            }
        }
        if self
            .subscription(request.ty)
            .is_some_and(|s| s.names.len() > MAX_NAMES)
        {
            let message = format!("more than {MAX_NAMES} resource names on one stream");
            return vec![Action::Close(Code::ResourceExhausted, message)];
        }
        self.force_endpoints(request.ty);
        self.advance()
    }

    /// Takes a newer snapshot. Snapshots in between may be skipped.
    pub fn on_snapshot(&mut self, snapshot: Arc<ProxySnapshot>) -> Vec<Action> {
        let secrets = self.target.set(ResourceType::Secret);
        self.target = if secrets.by_name.is_empty() {
            snapshot
        } else {
            Arc::new(snapshot.with_secrets(secrets.clone()))
        };
        let clusters = self.target.set(ResourceType::Cluster);
        self.leaving
            .retain(|name, _| !clusters.by_name.contains_key(name));
        // Listeners on their way may name routes that the newest snapshot has no more; the client will ask for them.
        let routes = self.target.set(ResourceType::Route);
        let sent = &self.listeners_routes;
        self.routes_awaited
            .retain(|name| routes.by_name.contains_key(name) || sent.by_name.contains_key(name));
        self.gate.retain(self.target.set(ResourceType::Endpoint));
        self.advance()
    }

    /// The secrets that a client would be subscribed to with this request; `None` when it says nothing about secrets
    /// that was not known before it.
    pub fn secrets_asked(&self, request: &Request) -> Option<BTreeSet<Str>> {
        if request.ty != ResourceType::Secret {
            return None;
        }
        let asked: Vec<&String> = match &request.interest {
            Interest::Delta {
                subscribe, initial, ..
            } => subscribe.iter().chain(initial.keys()).collect(),
            Interest::Sotw { names, .. } => names.iter().collect(),
        };
        let known = self.subscription(ResourceType::Secret);
        let is_new = |name: &&String| !known.is_some_and(|s| s.names.contains(name));
        if !asked.iter().any(is_new) {
            return None;
        }
        let mut all = self.secrets_watched();
        all.extend(asked.into_iter().map(|name| Str::from(name.as_str())));
        // What is too much is refused with the request; nobody looks it up.
        (all.len() <= MAX_NAMES).then_some(all)
    }

    /// The secrets that the client watches.
    pub fn secrets_watched(&self) -> BTreeSet<Str> {
        self.subscription(ResourceType::Secret)
            .map(|s| s.names.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// From now on these are the secrets that the client may have, of those that it watches or is about to.
    pub fn hold_secrets(&mut self, secrets: Arc<ResourceSet>) {
        self.target = Arc::new(self.target.with_secrets(secrets));
    }

    /// The same, and says what is new.
    pub fn on_secrets(&mut self, secrets: Arc<ResourceSet>) -> Vec<Action> {
        self.hold_secrets(secrets);
        self.advance()
    }

    /// Stops waiting for answers that do not come: does the next step that was held back.
    pub fn release(&mut self) -> Vec<Action> {
        if self.gate.is_open() {
            let mut out = Vec::new();
            self.routes_awaited.clear();
            self.expects_listeners = false;
            self.send_removals(&mut out);
            return out;
        }
        self.gate = Gate::default();
        self.advance()
    }

    fn take_answer(&mut self, request: &Request) {
        let Some(nonce) = self.number_of(&request.nonce) else {
            return;
        };
        let Some(subscription) = self.subscriptions[request.ty.index()].as_mut() else {
            return;
        };
        let refused = subscription.answered(nonce, request);
        match request.ty {
            ResourceType::Cluster => self.gate.clusters_answered(nonce, &refused),
            ResourceType::Endpoint => self.gate.endpoints_answered(nonce),
            // A listener that was refused fetches no routes.
            ResourceType::Listener if request.error.is_some() => self.routes_awaited.clear(),
            ResourceType::Listener
            | ResourceType::Route
            | ResourceType::Extension
            | ResourceType::Secret
            | ResourceType::NameTable => {}
        }
    }

    fn take_delta(
        &mut self,
        ty: ResourceType,
        subscribe: &[String],
        unsubscribe: &[String],
        initial: &BTreeMap<String, String>,
    ) {
        let set = self.target.set(ty).clone();
        let slot = &mut self.subscriptions[ty.index()];
        let is_first = slot.is_none();
        let subscription = slot.get_or_insert_with(|| Subscription::new(ty));
        if is_first {
            subscription.wildcard = ty.is_wildcard() && subscribe.is_empty();
            subscription.first = Some(First {
                held: initial.clone(),
                returning: !initial.is_empty(),
            });
            if !ty.is_wildcard() {
                // What the client holds it is subscribed to (dataplane-contract 8.4).
                for name in initial.keys().filter(|n| *n != "*") {
                    subscription.names.insert(&shared_name(&set, name));
                }
            }
        }
        for name in subscribe {
            if name == "*" {
                if ty.is_wildcard() {
                    subscription.wildcard = true;
                    subscription.owed.all = true;
                }
                continue;
            }
            let name = shared_name(&set, name);
            subscription.names.insert(&name);
            // Also when it was subscribed before: a client that dropped and added a name between two requests sends
            // only the addition, and waits for an answer.
            subscription.owed.names.insert(name);
        }
        for name in unsubscribe {
            if name == "*" {
                subscription.wildcard = false;
                subscription.owed.all = false;
            } else {
                subscription.names.remove(name);
                subscription.owed.names.remove(name.as_str());
            }
        }
        if !subscribe.is_empty() || !unsubscribe.is_empty() || is_first {
            subscription.names.compact(&set);
        }
    }

    fn take_sotw(&mut self, ty: ResourceType, restart: bool, names: &[String], version: &str) {
        let set = self.target.set(ty).clone();
        let slot = &mut self.subscriptions[ty.index()];
        if !ty.is_wildcard() && names.is_empty() {
            *slot = None;
            return;
        }
        let is_first = slot.is_none();
        let subscription = slot.get_or_insert_with(|| Subscription::new(ty));
        let wanted: BTreeSet<Str> = names
            .iter()
            .filter(|n| *n != "*")
            .map(|n| shared_name(&set, n))
            .collect();
        let everything = ty.is_wildcard()
            && (names.iter().any(|n| n == "*")
                || names.is_empty() && (is_first || subscription.wildcard));
        if is_first {
            subscription.first = Some(First {
                held: BTreeMap::new(),
                returning: !version.is_empty(),
            });
        } else if restart || (everything && !subscription.wildcard) {
            subscription.owed.all = true;
            subscription.owed.names.extend(wanted.iter().cloned());
        }
        let dropped: Vec<Str> = subscription
            .names
            .iter()
            .filter(|n| !wanted.contains(*n))
            .cloned()
            .collect();
        for name in dropped {
            subscription.names.remove(&name);
            subscription.owed.names.remove(&name);
        }
        for name in wanted {
            if subscription.names.insert(&name) {
                subscription.owed.names.insert(name);
            }
        }
        subscription.wildcard = everything;
        subscription.names.compact(&set);
    }

    /// Envoy may wait for endpoints after any answer to a cluster request (Istio 1.31: forceEDSPush, AlwaysRespond).
    fn force_endpoints(&mut self, ty: ResourceType) {
        let answers = |s: &Subscription| s.first.is_some() || !s.owed.is_empty();
        if ty != ResourceType::Cluster || !self.subscription(ty).is_some_and(answers) {
            return;
        }
        if let Some(endpoints) = &mut self.subscriptions[ResourceType::Endpoint.index()] {
            endpoints.owed.all = true;
        }
    }

    /// Sends what may be sent now.
    fn advance(&mut self) -> Vec<Action> {
        let mut out = Vec::new();
        self.send_clusters(&mut out);
        self.send(ResourceType::Endpoint, &mut out);
        if let Some(endpoints) = &self.subscriptions[ResourceType::Endpoint.index()] {
            self.gate.endpoints_sent(endpoints);
        }
        self.send_listeners_and_routes(&mut out);
        self.send(ResourceType::Secret, &mut out);
        self.send_extensions(&mut out);
        // It refers to nothing, and nothing to it.
        self.send(ResourceType::NameTable, &mut out);
        if !self.leaving.is_empty() && self.is_quiet() {
            self.send_removals(&mut out);
        }
        out
    }

    fn send_clusters(&mut self, out: &mut Vec<Action>) {
        let returning = |s: &Subscription| s.first.as_ref().is_some_and(|f| f.returning);
        let returning = self
            .subscription(ResourceType::Cluster)
            .is_some_and(returning);
        self.expects_listeners |= returning;
        let quiet = self.is_quiet();
        let serving = returning
            || self.subscription(ResourceType::Listener).is_some()
            || self.subscription(ResourceType::Route).is_some();
        let Some(step) = self.next_step(ResourceType::Cluster) else {
            return;
        };
        self.leaving.extend(step.leaving.iter().cloned());
        let endpoints = self.target.set(ResourceType::Endpoint).clone();
        if serving && !step.added.is_empty() && !step.resources.is_empty() {
            self.gate.close(
                step.added
                    .iter()
                    .filter(|n| endpoints.by_name.contains_key(*n)),
                self.nonce + 1,
            );
        }
        let sends = step.always || !step.resources.is_empty() || !step.removed.is_empty();
        if quiet && sends && !self.leaving.is_empty() {
            // Nothing uses them any more; one response says it all.
            self.send_removals_with(step, out);
        } else {
            self.emit(ResourceType::Cluster, step, out);
        }
    }

    fn send(&mut self, ty: ResourceType, out: &mut Vec<Action>) {
        if let Some(step) = self.next_step(ty) {
            self.emit(ty, step, out);
        }
    }

    fn send_listeners_and_routes(&mut self, out: &mut Vec<Action>) {
        let open = self.gate.is_open();
        let listeners = self.subscription(ResourceType::Listener);
        let expects_listeners = listeners.map_or(self.expects_listeners, |s| s.first.is_some());
        for ty in [ResourceType::Listener, ResourceType::Route] {
            let Some(subscription) = &mut self.subscriptions[ty.index()] else {
                continue;
            };
            let is_new = subscription.first.as_ref().is_some_and(|f| !f.returning);
            if open || (is_new && ty == ResourceType::Listener) {
                self.note_new_routes(ty);
                self.send(ty, out);
                continue;
            }
            if is_new {
                if expects_listeners {
                    // Nobody knows which routes the listeners that the client came back with expect.
                    continue;
                }
                subscription.first = None;
                subscription.owed.names = subscription.names.iter().cloned().collect();
                subscription.sent = self.listeners_routes.clone();
            }
            if subscription.first.is_none() && !subscription.owed.is_empty() {
                // A new listener of an earlier push may wait for these. It gets what belongs to that push: a newer
                // route could use the clusters that are not warm yet.
                let sent = subscription.sent.clone();
                let step = self.answer_owed(ty, &sent);
                self.emit(ty, step, out);
            }
        }
        let fetched = self.subscription(ResourceType::Route);
        let wanted: Vec<Str> = self
            .routes_awaited
            .iter()
            .filter(|n| fetched.is_some_and(|s| s.names.contains(n)))
            .cloned()
            .collect();
        for name in wanted {
            self.routes_awaited.remove(&name);
        }
    }

    /// Configurations of filters in listeners. A changed one may use a new cluster, so it waits as routes do; one that the
    /// client asks for does not: its listener waits for it.
    fn send_extensions(&mut self, out: &mut Vec<Action>) {
        let asked = |s: &Subscription| s.first.is_some() || !s.owed.is_empty();
        let subscription = self.subscription(ResourceType::Extension);
        if self.gate.is_open() || subscription.is_some_and(asked) {
            self.send(ResourceType::Extension, out);
        }
    }

    /// Before listeners change: the routes that are new with them, which the client will ask for.
    fn note_new_routes(&mut self, ty: ResourceType) {
        if ty == ResourceType::Listener {
            self.listeners_routes = self.target.set(ResourceType::Route).clone();
            let sent = &self.listeners_routes;
            self.routes_awaited
                .retain(|name| sent.by_name.contains_key(name));
        }
        let Some(listeners) = self.subscription(ResourceType::Listener) else {
            return;
        };
        let is_returning = listeners.first.as_ref().is_some_and(|f| f.returning);
        let changed = listeners.first.is_none()
            && listeners.sent.version != self.target.set(ResourceType::Listener).version;
        if ty != ResourceType::Listener || !(is_returning || changed) {
            return;
        }
        let routes = self.subscription(ResourceType::Route);
        let is_new = |n: &Str| {
            routes.is_none_or(|s| {
                !s.names.contains(n) && (is_returning || !s.sent.by_name.contains_key(n))
            })
        };
        let new = self
            .target
            .set(ResourceType::Route)
            .by_name
            .keys()
            .filter(|n| is_new(n))
            .cloned();
        let new: Vec<Str> = new.collect();
        self.routes_awaited.extend(new);
    }

    /// Whether this type has still to be brought to the newest snapshot.
    fn is_behind(&self, ty: ResourceType) -> bool {
        self.subscription(ty).is_some_and(|s| {
            s.first.is_some() || !s.owed.is_empty() || s.sent.version != self.target.set(ty).version
        })
    }

    /// Whether the client's listeners and routes are those of the newest snapshot, so that no cluster is in use that is
    /// not in it.
    fn is_quiet(&self) -> bool {
        let settled =
            |ty| !self.is_behind(ty) && self.subscription(ty).is_none_or(Subscription::is_settled);
        let listeners_known =
            !self.expects_listeners || self.subscription(ResourceType::Listener).is_some();
        self.routes_awaited.is_empty()
            && listeners_known
            && settled(ResourceType::Listener)
            && settled(ResourceType::Route)
    }

    fn send_removals(&mut self, out: &mut Vec<Action>) {
        if self.leaving.is_empty() {
            return;
        }
        let mut step = answer::Step::default();
        if self.protocol == Protocol::Sotw {
            self.take_leaving();
            let Some(subscription) = self.subscription(ResourceType::Cluster) else {
                return;
            };
            step.resources = self.whole(self.target.set(ResourceType::Cluster), subscription);
            step.always = true;
            step.before = Some(self.target.set(ResourceType::Cluster).clone());
            self.emit(ResourceType::Cluster, step, out);
            return;
        }
        self.send_removals_with(step, out);
    }

    /// The clusters whose removal goes out now. The client will drop their endpoints with them; counting on that at once
    /// means that if one comes back, routes wait until the client has asked for its endpoints again.
    fn take_leaving(&mut self) -> BTreeMap<Str, Option<Arc<Resource>>> {
        if let Some(endpoints) = &mut self.subscriptions[ResourceType::Endpoint.index()] {
            for name in self.leaving.keys() {
                endpoints.names.remove(name);
                endpoints.owed.names.remove(name);
            }
        }
        std::mem::take(&mut self.leaving)
    }

    fn send_removals_with(&mut self, mut step: answer::Step, out: &mut Vec<Action>) {
        let gone = self.take_leaving();
        if self.protocol == Protocol::Delta {
            step.removed.extend(gone.into_keys());
        } else {
            step.resources
                .retain(|d| !gone.contains_key(&d.resource.name));
        }
        self.emit(ResourceType::Cluster, step, out);
    }

    /// Turns a step into a response.
    fn emit(&mut self, ty: ResourceType, step: answer::Step, out: &mut Vec<Action>) {
        if step.resources.is_empty() && step.removed.is_empty() && !step.always {
            return;
        }
        let version = self.version_of(ty, &step);
        self.nonce += 1;
        let nonce = format!("{:x}-{:x}", self.stream, self.nonce);
        let resources: Arc<[Delivery]> = step.resources.into();
        if let Some(subscription) = &mut self.subscriptions[ty.index()] {
            subscription.sending((self.nonce, &nonce), version, &resources, step.before);
        }
        out.push(Action::Send(Response {
            ty,
            version,
            nonce,
            resources,
            removed: step.removed,
        }));
    }

    fn version_of(&self, ty: ResourceType, step: &answer::Step) -> Version {
        let set = self.target.set(ty);
        let same = |(d, (_, r)): (&Delivery, (&Str, &Arc<Resource>))| {
            Arc::ptr_eq(&d.resource, r)
                || (d.resource.name == r.name && d.resource.version == r.version)
        };
        let is_set = step.resources.len() == set.by_name.len()
            && step.resources.iter().zip(&set.by_name).all(same);
        if self.protocol == Protocol::Delta || (is_set && ty != ResourceType::Endpoint) {
            return set.version;
        }
        let mut all = Vec::with_capacity(step.resources.len() * 64);
        for delivery in &step.resources {
            all.extend_from_slice(delivery.resource.name.as_bytes());
            all.push(0);
            all.extend_from_slice(delivery.version().as_bytes());
        }
        Version::of(&all)
    }

    /// The number in a nonce of this stream.
    fn number_of(&self, nonce: &str) -> Option<u64> {
        let (stream, number) = nonce.split_once('-')?;
        (u64::from_str_radix(stream, 16).ok()? == self.stream)
            .then(|| u64::from_str_radix(number, 16).ok())?
    }
}

/// The set's own copy of a name, if it has one.
fn shared_name(set: &ResourceSet, name: &str) -> Str {
    set.by_name
        .get_key_value(name)
        .map_or_else(|| name.into(), |(shared, _)| shared.clone())
}

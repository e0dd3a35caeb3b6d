//! Sessions against a model of Envoy, over random orders of events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::fixture::{Bodies, references, snapshot_of};

/// What the model client holds of one type.
#[derive(Debug, Default, Clone)]
struct Held {
    names: BTreeSet<String>,
    requested: bool,
    resources: BTreeMap<String, (String, String)>,
    accepted: String,
    /// Nonce of the last response that was processed on this stream.
    nonce: String,
}

/// A client that behaves as Envoy does: clusters warm, listeners wait for their routes.
#[derive(Debug)]
struct Client {
    session: Session,
    stream: u64,
    snapshot: Arc<ProxySnapshot>,
    types: [Held; ResourceType::SERVED.len()],
    pending: VecDeque<Response>,
    /// Clusters and listeners that are in use: name → body.
    usable: BTreeSet<String>,
    active: BTreeMap<String, String>,
    nonces: BTreeSet<String>,
    /// (type, name, version) that were refused by name and are still current.
    refused: BTreeSet<(ResourceType, Str, Version)>,
    /// Whether errors name the resource.
    names_culprits: bool,
    sends: usize,
}

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Endpoint;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::Route;

impl Client {
    fn connect(protocol: Protocol, snapshot: &Arc<ProxySnapshot>, names_culprits: bool) -> Self {
        let mut client = Self {
            session: Session::new(protocol, 0, Arc::default(), snapshot.clone()),
            stream: 0,
            snapshot: snapshot.clone(),
            types: Default::default(),
            pending: VecDeque::new(),
            usable: BTreeSet::new(),
            active: BTreeMap::new(),
            nonces: BTreeSet::new(),
            refused: BTreeSet::new(),
            names_culprits,
            sends: 0,
        };
        client.open();
        client
    }

    fn open(&mut self) {
        for ty in [CDS, LDS] {
            self.first(ty);
        }
    }

    fn reconnect(&mut self) {
        self.stream += 1;
        self.session = Session::new(
            self.session.protocol(),
            self.stream,
            Arc::default(),
            self.snapshot.clone(),
        );
        self.pending.clear();
        self.refused.clear();
        for held in &mut self.types {
            held.nonce.clear();
        }
        let requested: Vec<ResourceType> = ResourceType::ALL
            .into_iter()
            .filter(|ty| self.types[ty.index()].requested)
            .collect();
        for ty in requested {
            if ty.is_wildcard() || !self.types[ty.index()].names.is_empty() {
                self.first(ty);
            } else {
                self.types[ty.index()].requested = false;
            }
        }
    }

    fn first(&mut self, ty: ResourceType) {
        let held = &mut self.types[ty.index()];
        held.requested = true;
        let names: Vec<String> = held.names.iter().cloned().collect();
        let interest = match self.session.protocol() {
            Protocol::Delta => Interest::Delta {
                subscribe: names,
                unsubscribe: vec![],
                initial: held
                    .resources
                    .iter()
                    .map(|(n, (v, _))| (n.clone(), v.clone()))
                    .collect(),
            },
            Protocol::Sotw => Interest::Sotw {
                names,
                version: held.accepted.clone(),
            },
        };
        self.request(ty, String::new(), None, interest);
    }

    fn request(
        &mut self,
        ty: ResourceType,
        nonce: String,
        error: Option<String>,
        interest: Interest,
    ) {
        let actions = self.session.on_request(&Request {
            ty,
            nonce,
            error,
            interest,
        });
        self.take(actions);
    }

    fn snapshot(&mut self, snapshot: &Arc<ProxySnapshot>) {
        self.snapshot = snapshot.clone();
        let current = |(ty, name, version): &(ResourceType, Str, Version)| {
            snapshot
                .set(*ty)
                .by_name
                .get(name)
                .is_some_and(|r| r.version == *version)
        };
        self.refused.retain(current);
        let actions = self.session.on_snapshot(snapshot.clone());
        self.take(actions);
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::Send(response) = action else {
                panic!("closed")
            };
            assert!(
                self.nonces.insert(response.nonce.clone()),
                "nonce {} twice",
                response.nonce
            );
            for delivery in response.resources.iter() {
                let r = &delivery.resource;
                let key = (response.ty, r.name.clone(), r.version);
                assert!(
                    !self.refused.contains(&key),
                    "{key:?} was refused and is sent again"
                );
            }
            self.sends += 1;
            self.pending.push_back(response);
        }
    }

    /// Processes the oldest response, answers it, and asks for what it needs next.
    fn deliver(&mut self) -> bool {
        let Some(response) = self.pending.pop_front() else {
            return false;
        };
        let ty = response.ty;
        self.types[ty.index()].nonce.clone_from(&response.nonce);
        // Envoy hands a resource to those who watch it; what nobody watches any more is never looked at.
        let names = &self.types[ty.index()].names;
        let is_watched = |d: &Delivery| ty.is_wildcard() || names.contains(&*d.resource.name);
        let is_bad = |d: &&Delivery| d.resource.body.starts_with(b"bad") && is_watched(d);
        let bad: Vec<Delivery> = response.resources.iter().filter(is_bad).cloned().collect();
        let apply_good = bad.is_empty() || self.names_culprits;
        if apply_good {
            self.apply(&response, &bad);
        }
        let error = (!bad.is_empty()).then(|| {
            if !self.names_culprits {
                return "cannot decode".to_owned();
            }
            let list: Vec<String> = bad
                .iter()
                .map(|d| format!("{}: no", d.resource.name))
                .collect();
            let now = self.snapshot.set(ty).clone();
            let is_current = |d: &&Delivery| {
                now.by_name
                    .get(&d.resource.name)
                    .is_some_and(|r| r.version == d.resource.version)
            };
            let current = bad.iter().filter(is_current);
            self.refused
                .extend(current.map(|d| (ty, d.resource.name.clone(), d.resource.version)));
            format!("Error adding/updating: {}", list.join(", "))
        });
        if error.is_none() {
            self.types[ty.index()].accepted = response.version.to_string();
        }
        let interest = match self.session.protocol() {
            Protocol::Delta => Interest::Delta {
                subscribe: vec![],
                unsubscribe: vec![],
                initial: BTreeMap::new(),
            },
            Protocol::Sotw => Interest::Sotw {
                names: self.types[ty.index()].names.iter().cloned().collect(),
                version: self.types[ty.index()].accepted.clone(),
            },
        };
        self.request(ty, response.nonce.clone(), error, interest);
        match ty {
            CDS => self.resubscribe(EDS),
            LDS | RDS => self.resubscribe(RDS),
            EDS | ResourceType::Extension | ResourceType::NameTable | ResourceType::Secret => {}
        }
        true
    }

    fn apply(&mut self, response: &Response, bad: &[Delivery]) {
        let ty = response.ty;
        let is_whole = self.session.protocol() == Protocol::Sotw && ty.is_wildcard();
        let sent: BTreeSet<&str> = response
            .resources
            .iter()
            .map(|d| &*d.resource.name)
            .collect();
        let held = &mut self.types[ty.index()];
        let gone: Vec<String> = if is_whole {
            held.resources
                .keys()
                .filter(|n| !sent.contains(n.as_str()))
                .cloned()
                .collect()
        } else {
            response.removed.iter().map(|n| n.to_string()).collect()
        };
        for name in gone {
            held.resources.remove(&name);
            self.usable.remove(&name);
            if ty == LDS {
                self.active.remove(&name);
            }
        }
        for delivery in response.resources.iter() {
            if bad
                .iter()
                .any(|b| b.resource.name == delivery.resource.name)
            {
                continue;
            }
            let name = delivery.resource.name.to_string();
            if !ty.is_wildcard() && !self.types[ty.index()].names.contains(&name) {
                continue;
            }
            let body = String::from_utf8(delivery.resource.body.to_vec()).unwrap();
            self.types[ty.index()]
                .resources
                .insert(name.clone(), (delivery.version(), body.clone()));
            if ty == EDS {
                self.usable.insert(name);
            }
        }
        self.activate();
    }

    /// Listeners whose routes all came take over from their older versions.
    fn activate(&mut self) {
        for (name, (_, body)) in &self.types[LDS.index()].resources {
            let ready = |route: &str| self.types[RDS.index()].resources.contains_key(route);
            if references(body, "route").into_iter().all(ready) {
                self.active.insert(name.clone(), body.clone());
            }
        }
    }

    /// Endpoints of all clusters; routes of all listeners, those that are still in use included.
    fn resubscribe(&mut self, ty: ResourceType) {
        let wanted: BTreeSet<String> = if ty == EDS {
            self.types[CDS.index()].resources.keys().cloned().collect()
        } else {
            let bodies = self.types[LDS.index()]
                .resources
                .values()
                .map(|(_, b)| b)
                .chain(self.active.values());
            bodies
                .flat_map(|b| references(b, "route"))
                .map(str::to_owned)
                .collect()
        };
        let held = &mut self.types[ty.index()];
        held.resources.retain(|name, _| wanted.contains(name));
        let added: Vec<String> = wanted.difference(&held.names).cloned().collect();
        let dropped: Vec<String> = held.names.difference(&wanted).cloned().collect();
        held.names.clone_from(&wanted);
        if !held.requested {
            if !wanted.is_empty() {
                self.first(ty);
            }
            return;
        }
        if added.is_empty() && dropped.is_empty() {
            return;
        }
        match self.session.protocol() {
            Protocol::Delta => {
                let interest = Interest::Delta {
                    subscribe: added,
                    unsubscribe: dropped,
                    initial: BTreeMap::new(),
                };
                self.request(ty, String::new(), None, interest);
            }
            Protocol::Sotw => {
                // A request that crosses a response is stale; the next ACK repeats the names.
                let last = self.types[ty.index()].nonce.clone();
                let interest = Interest::Sotw {
                    names: wanted.iter().cloned().collect(),
                    version: self.types[ty.index()].accepted.clone(),
                };
                if wanted.is_empty() {
                    self.types[ty.index()].requested = false;
                }
                self.request(ty, last, None, interest);
            }
        }
    }

    /// Lets everything happen that can.
    fn settle(&mut self, may_release: bool) {
        for _ in 0..500 {
            if self.deliver() {
                continue;
            }
            if !self.session.is_waiting() {
                return;
            }
            assert!(may_release, "held back for ever: {:#?}", self.session);
            let actions = self.session.release();
            self.take(actions);
        }
        panic!("does not come to rest");
    }

    /// The client has exactly what the snapshot says, except for what it refuses.
    fn assert_converged(&self) {
        for ty in [CDS, LDS] {
            let held = &self.types[ty.index()].resources;
            for resource in self.snapshot.set(ty).by_name.values() {
                let got = held.get(&*resource.name).map(|(_, body)| body.as_bytes());
                if !resource.body.starts_with(b"bad") && self.names_culprits {
                    assert_eq!(got, Some(&*resource.body), "{ty:?} {}", resource.name);
                }
                assert!(got.is_none_or(|b| !b.starts_with(b"bad")));
            }
            if self.names_culprits {
                for name in held.keys() {
                    assert!(
                        self.snapshot.set(ty).by_name.contains_key(name.as_str()),
                        "{ty:?} {name} lives on"
                    );
                }
            }
        }
        for ty in [EDS, RDS] {
            for name in &self.types[ty.index()].names {
                let got = self.types[ty.index()]
                    .resources
                    .get(name)
                    .map(|(_, body)| body.as_bytes());
                match self.snapshot.set(ty).by_name.get(name.as_str()) {
                    Some(r) if !r.body.starts_with(b"bad") && self.names_culprits => {
                        assert_eq!(got, Some(&*r.body), "{ty:?} {name}");
                    }
                    Some(_) => {}
                    None => assert!(
                        got.is_some() || !self.names_culprits,
                        "{ty:?} {name} was never answered"
                    ),
                }
            }
        }
    }

    /// Whatever is in use leads to clusters that can take requests.
    fn assert_serving(&self) {
        for (listener, body) in &self.active {
            for route in references(body, "route") {
                let Some((_, body)) = self.types[RDS.index()].resources.get(route) else {
                    panic!("listener {listener} lost its route {route}");
                };
                for cluster in references(body, "cluster") {
                    let known = self.types[CDS.index()].resources.contains_key(cluster);
                    assert!(
                        known && self.usable.contains(cluster),
                        "{listener}: {route}: {cluster} cannot serve"
                    );
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Snapshot([Bodies; 5]),
    Deliver(u8),
    Reconnect,
    Stale,
    Release,
}

/// A consistent world: routes use clusters, listeners use routes, every cluster has endpoints.
fn consistent(allow_bad: bool) -> impl Strategy<Value = [Bodies; 5]> {
    let content = if allow_bad { 0u8..5 } else { 0u8..3 };
    let text = |n: u8| {
        if n >= 3 {
            format!("bad{n}")
        } else {
            format!("v{n}")
        }
    };
    let routes =
        prop::collection::btree_map(0u8..5, prop::collection::btree_set(0u8..6, 1..3), 0..5);
    let listeners = prop::collection::btree_map(
        0u8..4,
        (any::<prop::sample::Index>(), content.clone()),
        0..4,
    );
    let contents = prop::collection::vec((content.clone(), content), 6);
    let extra = prop::collection::btree_set(0u8..6, 0..4);
    (routes, listeners, contents, extra).prop_map(move |(routes, listeners, contents, extra)| {
        let mut sets: [Bodies; 5] = Default::default();
        let routes: Vec<(u8, BTreeSet<u8>)> = routes.into_iter().collect();
        let mut used = extra;
        for (listener, (index, content)) in listeners {
            if routes.is_empty() {
                continue;
            }
            let (route, clusters) = index.get(&routes);
            used.extend(clusters);
            let list: Vec<String> = clusters.iter().map(|c| format!("cluster:c{c}")).collect();
            sets[3].insert(format!("r{route}"), list.join(","));
            sets[2].insert(
                format!("l{listener}"),
                format!("{},route:r{route}", text(content)),
            );
        }
        for cluster in used {
            let (of_cluster, of_endpoints) = contents[usize::from(cluster)];
            sets[0].insert(format!("c{cluster}"), text(of_cluster));
            sets[1].insert(format!("c{cluster}"), text(of_endpoints));
        }
        sets
    })
}

fn event(allow_bad: bool, may_reconnect: bool) -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => consistent(allow_bad).prop_map(Event::Snapshot),
        8 => (1u8..6).prop_map(Event::Deliver),
        u32::from(may_reconnect) => Just(Event::Reconnect),
        1 => Just(Event::Stale),
        u32::from(allow_bad) => Just(Event::Release),
    ]
}

fn run(client: &mut Client, events: &[Event], mut check: impl FnMut(&Client)) {
    for (revision, event) in events.iter().enumerate() {
        match event {
            Event::Snapshot(sets) => client.snapshot(&snapshot_of(revision as u64 + 2, sets)),
            Event::Deliver(n) => {
                for _ in 0..*n {
                    client.deliver();
                    check(client);
                }
            }
            Event::Reconnect => client.reconnect(),
            Event::Stale => {
                let before = client.sends;
                let interest = match client.session.protocol() {
                    Protocol::Delta => Interest::Delta {
                        subscribe: vec![],
                        unsubscribe: vec![],
                        initial: BTreeMap::new(),
                    },
                    Protocol::Sotw => Interest::Sotw {
                        names: vec!["nonsense".into()],
                        version: String::new(),
                    },
                };
                client.request(CDS, "dead-beef".into(), None, interest);
                assert_eq!(client.sends, before, "a stale nonce was answered");
            }
            Event::Release => {
                let actions = client.session.release();
                client.take(actions);
            }
        }
        check(client);
    }
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Delta), Just(Protocol::Sotw)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the order of events, in the end the client has what the snapshot says; and then nothing more is sent.
    #[test]
    fn the_client_converges(
        protocol in protocols(),
        named in any::<bool>(),
        start in consistent(true),
        events in prop::collection::vec(event(true, true), 0..25),
    ) {
        let mut client = Client::connect(protocol, &snapshot_of(1, &start), named);
        run(&mut client, &events, |_| {});
        client.settle(true);
        client.assert_converged();
        let sends = client.sends;
        let same = Arc::new(ProxySnapshot::new(99, ResourceType::ALL.map(|t| client.snapshot.set(t).clone())));
        client.snapshot(&same);
        prop_assert_eq!(client.sends, sends, "a no-op snapshot was sent");
    }

    /// Delta and SotW leave a client with the same resources.
    #[test]
    fn both_protocols_agree(
        start in consistent(false),
        events in prop::collection::vec(event(false, true), 0..20),
    ) {
        let mut held = [Protocol::Delta, Protocol::Sotw].map(|protocol| {
            let mut client = Client::connect(protocol, &snapshot_of(1, &start), true);
            run(&mut client, &events, |_| {});
            client.settle(true);
            client.types.map(|t| t.resources.into_iter().map(|(n, (_, b))| (n, b)).collect::<Vec<_>>())
        });
        let [delta, sotw] = &mut held;
        prop_assert_eq!(delta, sotw);
    }

    /// While the world changes, every active listener leads to clusters that are warm, and nothing waits for ever.
    #[test]
    fn no_request_is_lost(
        protocol in protocols(),
        start in consistent(false),
        events in prop::collection::vec(event(false, false), 0..30),
    ) {
        let mut client = Client::connect(protocol, &snapshot_of(1, &start), true);
        client.settle(false);
        run(&mut client, &events, Client::assert_serving);
        client.settle(false);
        client.assert_serving();
        client.assert_converged();
    }

    /// The same when delta streams break in between.
    #[test]
    fn no_request_is_lost_over_a_reconnect(
        start in consistent(false),
        events in prop::collection::vec(event(false, true), 0..30),
    ) {
        let mut client = Client::connect(Protocol::Delta, &snapshot_of(1, &start), true);
        client.settle(false);
        run(&mut client, &events, Client::assert_serving);
        client.settle(true);
        client.assert_serving();
        client.assert_converged();
    }
}

/// What a stranger may send.
fn any_request() -> impl Strategy<Value = Request> {
    let ty = prop::sample::select(ResourceType::ALL.to_vec());
    let name = || {
        prop_oneof![
            Just("*".to_owned()),
            Just(String::new()),
            (0u8..6).prop_map(|n| format!("c{n}"))
        ]
    };
    let names = move || prop::collection::vec(name(), 0..4);
    let held = prop::collection::btree_map(name(), "[0-9a-f]{0,4}", 0..3);
    let nonce = prop_oneof![2 => Just(String::new()), 5 => (0u8..20).prop_map(|n| format!("0-{n:x}")), 1 => ".{0,4}"];
    let error = prop::option::of(prop_oneof![
        Just(String::new()),
        Just("c1: no".to_owned()),
        Just("no".to_owned())
    ]);
    (ty, nonce, error, names(), names(), held).prop_map(
        |(ty, nonce, error, subscribe, unsubscribe, initial)| Request {
            ty,
            nonce,
            error,
            interest: Interest::Delta {
                subscribe,
                unsubscribe,
                initial,
            },
        },
    )
}

proptest! {
    /// Whatever is sent, the session lives on, and every name that is subscribed to is answered.
    #[test]
    fn a_stranger_does_no_harm(
        protocol in protocols(),
        world in consistent(true),
        events in prop::collection::vec((any_request(), prop::option::of(consistent(true))), 0..40),
    ) {
        let mut session = Session::new(protocol, 0, Arc::default(), snapshot_of(1, &world));
        for (mut request, next) in events {
            let Interest::Delta { subscribe, unsubscribe, .. } = request.interest.clone() else { unreachable!() };
            if protocol == Protocol::Sotw {
                request.interest = Interest::Sotw { names: subscribe.clone(), version: String::new() };
            }
            let actions = session.on_request(&request);
            if protocol == Protocol::Delta && request.ty == EDS {
                let sent = |name: &str| actions.iter().any(|a| match a {
                    Action::Send(r) => r.ty == EDS && r.resources.iter().any(|d| &*d.resource.name == name),
                    Action::Close(..) => false,
                });
                let Interest::Delta { initial, .. } = &request.interest else { unreachable!() };
                for name in subscribe.iter().filter(|n| *n != "*" && !unsubscribe.contains(n) && !initial.contains_key(*n)) {
                    prop_assert!(sent(name), "{name} was not answered");
                }
            }
            if let Some(next) = next {
                session.on_snapshot(snapshot_of(2, &next));
            }
            for _ in 0..3 {
                session.release();
            }
        }
    }
}

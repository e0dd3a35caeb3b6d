//! From changes to snapshots: one writer, many readers.
//!
//! A batch of changes makes a World; the World is compiled once for each class that has a connected proxy; each proxy
//! then finds the newest snapshot of its class in a `watch` channel. A reader that is slow skips what it missed and
//! holds up nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use meltemi_builders::secret::SecretInput;
use meltemi_compile::secrets::{self, Reader};
use meltemi_compile::{Compiled, Compiler, Counts, Patches, Scopes, classify};
use meltemi_model::mesh::{Mesh, ProxyConfig};
use meltemi_model::proxy::{Proxy, ProxyClass};
use meltemi_model::{
    Diagnostics, Object, ObjectKey, ProxySnapshot, Resource, ResourceSet, ResourceType, Shared, Str,
};
use meltemi_sources::lower::lower_proxy_config;
use meltemi_world::{Change, Store, World};
use parking_lot::Mutex;
use tokio::sync::watch;

mod held;

pub use held::{Held, Refusal, suspects};

/// The engine.
#[derive(Debug)]
pub struct Engine {
    compiler: Compiler,
    world: ArcSwap<World>,
    /// The mesh configuration while no source has one.
    mesh: Shared<Mesh>,
    state: Mutex<State>,
    /// What a proxy has whose class is still being compiled.
    pending: Arc<ProxySnapshot>,
    synced: watch::Sender<bool>,
    /// Says that findings may be others than before.
    told: watch::Sender<()>,
    /// Counts the worlds whose secrets, or who may have them, are others than before.
    secrets: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    proxies: Vec<Connected>,
    classes: HashMap<ProxyClass, Arc<ProxySnapshot>>,
    /// Classes that somebody is compiling for those that wait for them.
    compiling: HashSet<ProxyClass>,
    found: Diagnostics,
    compiled: Diagnostics,
    /// What became of the patches of EnvoyFilters, for any class.
    patches: Patches,
    /// Objects that are held back from classes that refuse them.
    held: Vec<Held>,
    /// How objects that can be held back were before their last change.
    before: BTreeMap<ObjectKey, Object>,
    /// What proxies are asked whether they take it, by node id.
    trials: HashMap<Str, Arc<Resource>>,
    /// The number of proxies at which those that left are forgotten, so that reconnects alone cannot pile up.
    crowded: usize,
}

/// A proxy for which snapshots are kept.
#[derive(Debug)]
struct Connected {
    proxy: Proxy,
    config: Option<ProxyConfig>,
    latest: watch::Sender<Arc<ProxySnapshot>>,
    /// The class that it waits for.
    waits_for: Option<ProxyClass>,
}

/// A class that is to be compiled for the proxies that wait for it. Whoever holds it must hand it to
/// [`Engine::compile`].
#[derive(Debug)]
#[must_use = "proxies wait for it"]
pub struct Job {
    world: Arc<World>,
    class: ProxyClass,
    proxy: Proxy,
    config: Option<ProxyConfig>,
}

/// A proxy's place among those for which snapshots are kept; it is forgotten when this is dropped.
#[derive(Debug)]
pub struct Subscription {
    receiver: watch::Receiver<Arc<ProxySnapshot>>,
    pending: Arc<ProxySnapshot>,
}

impl Subscription {
    /// The snapshots, once there is one. `None`: the engine is gone.
    pub async fn filled(mut self) -> Option<watch::Receiver<Arc<ProxySnapshot>>> {
        let pending = self.pending;
        let filled = self
            .receiver
            .wait_for(|latest| !Arc::ptr_eq(latest, &pending));
        filled.await.ok()?;
        Some(self.receiver)
    }
}

/// What one batch did, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// The world's revision.
    pub revision: u64,
    /// Whether any object changed.
    pub changed: bool,
    /// Classes with a connected proxy.
    pub classes: usize,
    /// Connected proxies.
    pub proxies: usize,
    /// Proxies whose snapshot is another one than before.
    pub woken: usize,
}

impl Engine {
    /// An engine that has read nothing.
    pub fn new(mesh: Mesh) -> Self {
        let mesh = Shared::new(mesh);
        Self {
            compiler: Compiler::default(),
            world: ArcSwap::from_pointee(World::empty(mesh.clone())),
            mesh,
            state: Mutex::default(),
            pending: Arc::new(ProxySnapshot::empty()),
            synced: watch::Sender::new(false),
            told: watch::Sender::new(()),
            secrets: watch::Sender::new(0),
        }
    }

    /// Applies a batch of changes as one moment. `found` is the complete current list of the source's findings.
    pub fn apply(&self, changes: Vec<Change>, found: Diagnostics) -> Applied {
        let applied = self.applied(changes, found);
        self.told.send_replace(());
        applied
    }

    fn applied(&self, changes: Vec<Change>, found: Diagnostics) -> Applied {
        let mut state = self.state.lock();
        state.found = found;
        for change in &changes {
            state.note(change);
        }
        let changed = state.store.apply(changes);
        let world = self.world.load_full();
        if !changed && world.revision > 0 {
            return Applied {
                revision: world.revision,
                proxies: state.proxies.len(),
                ..Applied::default()
            };
        }
        let next = Arc::new(world.next(&state.store, &self.mesh));
        self.world.store(Arc::clone(&next));
        let woken = self.refresh(&next, &mut state);
        // After the snapshots: what newly names a secret comes first.
        if !same_secrets(&world, &next) {
            self.secrets.send_modify(|count| *count += 1);
        }
        Applied {
            revision: next.revision,
            changed,
            classes: state.classes.len(),
            proxies: state.proxies.len(),
            woken,
        }
    }

    /// Compiles every class that somebody needs and hands out what is new.
    fn refresh(&self, world: &World, state: &mut State) -> usize {
        let before = std::mem::take(&mut state.classes);
        state.compiling.clear(); // Their world is gone; who waits for them is served here.
        let store = &state.store;
        state.held.retain(|held| held.is_current(store));
        let mut diagnostics = Diagnostics::new();
        let mut patches = Patches::new();
        let mut scopes = Scopes::default();
        let mut woken = 0;
        state
            .proxies
            .retain(|connected| !connected.latest.is_closed());
        for connected in &mut state.proxies {
            connected.waits_for = None;
            let class = classify(world, &connected.proxy, connected.config.as_ref());
            let snapshot = match state.classes.get(&class) {
                Some(snapshot) => Arc::clone(snapshot),
                None => {
                    // A class that is new because one of its parts changed starts from what its proxy had.
                    let old = before
                        .get(&class)
                        .cloned()
                        .unwrap_or_else(|| connected.latest.borrow().clone());
                    let compiled = self.compiled(
                        world,
                        &mut scopes,
                        (&class, &connected.proxy, connected.config.as_ref()),
                        &state.held,
                        Some(&old),
                    );
                    diagnostics.extend(compiled.diagnostics);
                    add(&mut patches, compiled.patches);
                    state.classes.insert(class, Arc::clone(&compiled.snapshot));
                    compiled.snapshot
                }
            };
            let snapshot = match state.trials.get(&connected.proxy.node_id) {
                Some(trial) => Arc::new(with(&snapshot, trial)),
                None => snapshot,
            };
            woken += usize::from(connected.latest.send_if_modified(|latest| {
                let changed = Arc::ptr_eq(latest, &self.pending) || !same(latest, &snapshot);
                *latest = snapshot;
                changed
            }));
        }
        // Of a class that nobody is of nothing is known any more.
        let classes = &state.classes;
        state.held.retain(|held| classes.contains_key(&held.class));
        diagnostics.extend(state.held.iter().map(Held::diagnostic));
        diagnostics.sort();
        diagnostics.dedup();
        state.compiled = diagnostics;
        state.patches = patches;
        self.compiler.sweep();
        woken
    }

    /// Compiles a class as its proxies see the world; what is held back from it is not there, so that it may be of
    /// another class there.
    fn compiled(
        &self,
        world: &World,
        scopes: &mut Scopes,
        (class, proxy, config): (&ProxyClass, &Proxy, Option<&ProxyConfig>),
        held: &[Held],
        old: Option<&ProxySnapshot>,
    ) -> Compiled {
        let Some(other) = self.without(world, class, held) else {
            return self.compiler.compile_among(world, scopes, class, old);
        };
        let class = classify(&other, proxy, config);
        self.compiler.compile(&other, &class, old)
    }

    /// The world as a class from which objects are held back sees it; `None`: nothing is.
    fn without(&self, world: &World, class: &ProxyClass, held: &[Held]) -> Option<World> {
        let mut of_class = held.iter().filter(|held| held.class == *class).peekable();
        of_class.peek()?;
        Some(self.changed(world, of_class.map(Held::change)))
    }

    /// The same moment with some objects changed.
    fn changed(&self, world: &World, changes: impl IntoIterator<Item = Change>) -> World {
        let mut store = world.discovery.all.clone();
        store.apply(changes);
        World {
            revision: world.revision,
            ..world.next(&store, &self.mesh)
        }
    }

    /// The snapshots of a proxy from now on; it is forgotten when the receiver is dropped. A new class is compiled here
    /// and now, so servers use [`Engine::open`].
    pub fn subscribe(&self, proxy: &Proxy) -> watch::Receiver<Arc<ProxySnapshot>> {
        let (subscription, job) = self.open(proxy);
        let job = job.or_else(|| {
            // Another thread may be at it; who must not wait does it again.
            let is_pending = Arc::ptr_eq(&subscription.receiver.borrow(), &self.pending);
            is_pending.then(|| self.job_of(proxy))
        });
        if let Some(job) = job {
            self.compile(job);
        }
        let mut receiver = subscription.receiver;
        receiver.mark_unchanged();
        receiver
    }

    fn job_of(&self, proxy: &Proxy) -> Job {
        let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
        let world = self.world.load_full();
        let class = classify(&world, proxy, config.as_ref());
        let proxy = proxy.clone();
        Job {
            world,
            class,
            proxy,
            config,
        }
    }

    /// Keeps snapshots of a proxy from now on. Where its class is new and nobody is compiling it, the caller has to,
    /// at once and wherever it harms nobody: thousands of proxies that come at the same time wait for one compilation.
    pub fn open(&self, proxy: &Proxy) -> (Subscription, Option<Job>) {
        let mut job = self.job_of(proxy);
        let mut state = self.state.lock();
        let current = self.world.load_full();
        if !Arc::ptr_eq(&job.world, &current) {
            job.class = classify(&current, proxy, job.config.as_ref());
            job.world = current;
        }
        let class = &job.class;
        let ready = state.classes.get(class).map(Arc::clone);
        let waits = ready.is_none();
        let (latest, receiver) = watch::channel(ready.unwrap_or_else(|| Arc::clone(&self.pending)));
        if state.proxies.len() >= state.crowded {
            state
                .proxies
                .retain(|connected| !connected.latest.is_closed());
            state.crowded = 2 * state.proxies.len() + 16;
        }
        state.proxies.push(Connected {
            proxy: proxy.clone(),
            config: job.config.clone(),
            latest,
            waits_for: waits.then(|| class.clone()),
        });
        let is_mine = waits && state.compiling.insert(class.clone());
        let subscription = Subscription {
            receiver,
            pending: Arc::clone(&self.pending),
        };
        (subscription, is_mine.then_some(job))
    }

    /// Compiles a class without holding anybody up, and hands it to those that wait for it. If the world became another
    /// one meanwhile they have theirs from [`Engine::apply`].
    pub fn compile(&self, job: Job) {
        let held = self.state.lock().held.clone();
        let compiled = self.compiled(
            &job.world,
            &mut Scopes::default(),
            (&job.class, &job.proxy, job.config.as_ref()),
            &held,
            None,
        );
        let mut state = self.state.lock();
        if !Arc::ptr_eq(&job.world, &self.world.load()) {
            return;
        }
        state.compiling.remove(&job.class);
        for connected in &mut state.proxies {
            if connected.waits_for.as_ref() == Some(&job.class) {
                connected.waits_for = None;
                connected
                    .latest
                    .send_replace(Arc::clone(&compiled.snapshot));
            }
        }
        add(&mut state.patches, compiled.patches);
        // Other classes may have found the same.
        state.compiled.extend(compiled.diagnostics);
        state.compiled.sort();
        state.compiled.dedup();
        state.classes.insert(job.class, compiled.snapshot);
        drop(state);
        self.told.send_replace(());
    }

    /// What a proxy is served now.
    pub fn served_to(&self, node_id: &str) -> Option<Arc<ProxySnapshot>> {
        let state = self.state.lock();
        let connected = state.proxies.iter().rev();
        let mut of_node = connected.filter(|c| *c.proxy.node_id == *node_id);
        of_node.next().map(|c| c.latest.borrow().clone())
    }

    /// What a proxy would be served without some objects; or, where `back` says so, with those of them that were
    /// another before as they were before.
    pub fn served_without(
        &self,
        proxy: &Proxy,
        out: &BTreeSet<ObjectKey>,
        back: bool,
    ) -> Arc<ProxySnapshot> {
        let Job {
            world,
            class,
            config,
            ..
        } = self.job_of(proxy);
        let state = self.state.lock();
        let before = |key: &ObjectKey| state.before.get(key).filter(|_| back);
        let mut changes: Vec<Change> = state
            .held
            .iter()
            .filter(|held| held.class == class)
            .map(Held::change)
            .collect();
        changes.extend(out.iter().map(|key| held::change(key, before(key))));
        drop(state);
        let other = self.changed(&world, changes);
        let class = classify(&other, proxy, config.as_ref());
        self.compiler.compile(&other, &class, None).snapshot
    }

    /// Whether one of these objects was another before its last change.
    pub fn was_another(&self, keys: &BTreeSet<ObjectKey>) -> bool {
        let state = self.state.lock();
        keys.iter().any(|key| state.before.contains_key(key))
    }

    /// Serves a proxy one resource more, to see whether it takes it, or no longer.
    pub fn try_on(&self, node_id: &str, trial: Option<Arc<Resource>>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        match trial {
            Some(trial) => state.trials.insert(node_id.into(), trial),
            None => state.trials.remove(node_id),
        };
        let trial = state.trials.get(node_id);
        for connected in &state.proxies {
            if *connected.proxy.node_id != *node_id || connected.waits_for.is_some() {
                continue;
            }
            let world = self.world.load();
            let class = classify(&world, &connected.proxy, connected.config.as_ref());
            if let Some(snapshot) = state.classes.get(&class) {
                let snapshot = match trial {
                    Some(trial) => Arc::new(with(snapshot, trial)),
                    None => Arc::clone(snapshot),
                };
                connected.latest.send_replace(snapshot);
            }
        }
    }

    /// Holds objects back from a proxy and those that are equal to it, until they change.
    pub fn hold(&self, proxy: &Proxy, keys: &BTreeSet<ObjectKey>, back: bool, refusal: &Refusal) {
        let Job { world, class, .. } = self.job_of(proxy);
        let mut state = self.state.lock();
        for key in keys {
            let Some(object) = state.store.object(key) else {
                continue;
            };
            let before = state.before.get(key).filter(|_| back).cloned();
            state
                .held
                .retain(|held| held.class != class || held.key() != key);
            state.held.push(Held {
                class: class.clone(),
                object,
                instead: before,
                refusal: refusal.clone(),
            });
        }
        if Arc::ptr_eq(&world, &self.world.load()) {
            self.refresh(&world, &mut state);
        }
        drop(state);
        self.told.send_replace(());
    }

    /// What is held back.
    pub fn held(&self) -> Vec<Held> {
        self.state.lock().held.clone()
    }

    /// The objects that are held back from a proxy.
    pub fn held_from(&self, proxy: &Proxy) -> Vec<ObjectKey> {
        if self.state.lock().held.is_empty() {
            return Vec::new();
        }
        let class = self.job_of(proxy).class;
        let state = self.state.lock();
        let of_class = state.held.iter().filter(|held| held.class == class);
        of_class.map(|held| held.key().clone()).collect()
    }

    /// Says that every source has delivered everything it has (I10).
    pub fn set_synced(&self) {
        self.synced.send_replace(true);
    }

    /// Whether every source has, now and when it changes.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Whether every source has.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// The newest world.
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Changes whenever a secret may be another one, or may be for others.
    pub fn secrets_changed(&self) -> watch::Receiver<u64> {
        self.secrets.subscribe()
    }

    /// The secrets of these names for a reader, each with the reason where there is none.
    pub fn secrets(
        &self,
        proxy: &Proxy,
        reader: &Reader,
        names: &BTreeSet<Str>,
    ) -> Vec<(Str, Result<SecretInput, secrets::Refusal>)> {
        let world = self.world.load_full();
        let labels = std::cell::LazyCell::new(|| {
            let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
            classify(&world, proxy, config.as_ref()).labels
        });
        names
            .iter()
            .map(|name| {
                let found = secrets::secret(&world, reader, name, || labels.clone());
                (name.clone(), found)
            })
            .collect()
    }

    /// Changes with every batch, so whenever [`Engine::diagnostics`] or [`Engine::world`] may have.
    pub fn told(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Findings about single objects, and about what they become together.
    pub fn diagnostics(&self) -> Diagnostics {
        let state = self.state.lock();
        state.found.iter().chain(&state.compiled).cloned().collect()
    }

    /// Lookups and misses of the memos.
    pub fn counts(&self) -> BTreeMap<ResourceType, Counts> {
        self.compiler.counts()
    }

    /// For each EnvoyFilter that a connected proxy is selected by, and each kind of its patches, whether one of them changes
    /// anything.
    pub fn patches(&self) -> Patches {
        self.state.lock().patches.clone()
    }

    /// Connected proxies and their classes.
    pub fn connected(&self) -> (usize, usize) {
        let state = self.state.lock();
        let connected = state
            .proxies
            .iter()
            .filter(|c| !c.latest.is_closed())
            .count();
        (connected, state.classes.len())
    }
}

/// Whether everything that decides which secrets there are, and who may have them, is the same.
fn same_secrets(a: &World, b: &World) -> bool {
    a.store.secrets.same(&b.store.secrets)
        && a.store.ca_config_maps.same(&b.store.ca_config_maps)
        && Arc::ptr_eq(&a.gateways, &b.gateways)
}

impl State {
    /// Remembers how an object was that is about to change. One that proxies refuse is no better than what comes.
    fn note(&mut self, change: &Change) {
        match change {
            Change::Delete(key) => {
                self.before.remove(key);
            }
            Change::Apply(object) => {
                let key = object.key();
                if !held::can_be_held(key.kind) {
                    return;
                }
                let is_held = self.held.iter().any(|held| held.key() == key);
                if let Some(old) = self.store.object(key)
                    && old != *object
                    && !is_held
                {
                    self.before.insert(key.clone(), old);
                }
            }
        }
    }
}

/// A snapshot with one resource more.
fn with(snapshot: &ProxySnapshot, more: &Arc<Resource>) -> ProxySnapshot {
    let sets = ResourceType::ALL.map(|ty| {
        let set = snapshot.set(ty);
        if ty != more.ty {
            return Arc::clone(set);
        }
        let resources = set.by_name.values().cloned();
        Arc::new(ResourceSet::new(
            ty,
            resources.chain(std::iter::once(Arc::clone(more))),
        ))
    });
    ProxySnapshot::new(snapshot.revision, sets)
}

/// Whether two snapshots hold the same resources, whatever revision they are of.
fn same(a: &ProxySnapshot, b: &ProxySnapshot) -> bool {
    ResourceType::ALL
        .iter()
        .all(|ty| a.set(*ty).version == b.set(*ty).version)
}

/// What one class adds to what others had.
fn add(all: &mut Patches, more: Patches) {
    for (patch, applied) in more {
        *all.entry(patch).or_default() |= applied;
    }
}

#[cfg(test)]
mod tests;

//! From changes to snapshots: one writer, many readers.
//!
//! A batch of changes makes a World; the World is compiled once for each class that has a connected proxy; each proxy
//! then finds the newest snapshot of its class in a `watch` channel. A reader that is slow skips what it missed and
//! holds up nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use meltemi_compile::{Compiler, Counts, Scopes, classify};
use meltemi_model::mesh::{Mesh, ProxyConfig};
use meltemi_model::proxy::{Proxy, ProxyClass};
use meltemi_model::{Diagnostics, ProxySnapshot, ResourceType, Shared};
use meltemi_sources::lower::lower_proxy_config;
use meltemi_world::{Change, Store, World};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    compiler: Compiler,
    world: ArcSwap<World>,
    /// The mesh configuration while no source has one.
    mesh: Shared<Mesh>,
    state: Mutex<State>,
    synced: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    proxies: Vec<Connected>,
    classes: HashMap<ProxyClass, Arc<ProxySnapshot>>,
    found: Diagnostics,
    compiled: Diagnostics,
    /// The number of proxies at which those that left are forgotten, so that reconnects alone cannot pile up.
    crowded: usize,
}

/// A proxy for which snapshots are kept.
#[derive(Debug)]
struct Connected {
    proxy: Proxy,
    config: Option<ProxyConfig>,
    latest: watch::Sender<Arc<ProxySnapshot>>,
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
            synced: watch::Sender::new(false),
        }
    }

    /// Applies a batch of changes as one moment. `found` is the complete current list of the source's findings.
    pub fn apply(&self, changes: Vec<Change>, found: Diagnostics) -> Applied {
        let mut state = self.state.lock();
        state.found = found;
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
        let mut diagnostics = Diagnostics::new();
        let mut scopes = Scopes::default();
        let mut woken = 0;
        state
            .proxies
            .retain(|connected| !connected.latest.is_closed());
        for connected in &state.proxies {
            let class = classify(world, &connected.proxy, connected.config.as_ref());
            let snapshot = match state.classes.get(&class) {
                Some(snapshot) => Arc::clone(snapshot),
                None => {
                    // A class that is new because one of its parts changed starts from what its proxy had.
                    let old = before
                        .get(&class)
                        .cloned()
                        .unwrap_or_else(|| connected.latest.borrow().clone());
                    let compiled =
                        self.compiler
                            .compile_among(world, &mut scopes, &class, Some(&old));
                    diagnostics.extend(compiled.diagnostics);
                    state.classes.insert(class, Arc::clone(&compiled.snapshot));
                    compiled.snapshot
                }
            };
            woken += usize::from(connected.latest.send_if_modified(|latest| {
                let changed = !same(latest, &snapshot);
                *latest = snapshot;
                changed
            }));
        }
        diagnostics.sort();
        diagnostics.dedup();
        state.compiled = diagnostics;
        self.compiler.sweep();
        woken
    }

    /// The snapshots of a proxy from now on; it is forgotten when the receiver is dropped.
    pub fn subscribe(&self, proxy: &Proxy) -> watch::Receiver<Arc<ProxySnapshot>> {
        let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
        let mut state = self.state.lock();
        let world = self.world.load_full();
        let class = classify(&world, proxy, config.as_ref());
        let snapshot = match state.classes.get(&class) {
            Some(snapshot) => Arc::clone(snapshot),
            None => {
                let compiled = self.compiler.compile(&world, &class, None);
                // Other classes may have found the same.
                state.compiled.extend(compiled.diagnostics);
                state.compiled.sort();
                state.compiled.dedup();
                state.classes.insert(class, Arc::clone(&compiled.snapshot));
                compiled.snapshot
            }
        };
        let (latest, receiver) = watch::channel(snapshot);
        if state.proxies.len() >= state.crowded {
            state
                .proxies
                .retain(|connected| !connected.latest.is_closed());
            state.crowded = 2 * state.proxies.len() + 16;
        }
        state.proxies.push(Connected {
            proxy: proxy.clone(),
            config,
            latest,
        });
        receiver
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

    /// Findings about single objects, and about what they become together.
    pub fn diagnostics(&self) -> Diagnostics {
        let state = self.state.lock();
        state.found.iter().chain(&state.compiled).cloned().collect()
    }

    /// Lookups and misses of the memos.
    pub fn counts(&self) -> BTreeMap<ResourceType, Counts> {
        self.compiler.counts()
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

/// Whether two snapshots hold the same resources, whatever revision they are of.
fn same(a: &ProxySnapshot, b: &ProxySnapshot) -> bool {
    ResourceType::ALL
        .iter()
        .all(|ty| a.set(*ty).version == b.set(*ty).version)
}

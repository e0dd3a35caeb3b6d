//! Input → Resource, each built at most once.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use meltemi_builders::Input;
use meltemi_model::{Resource, Shared};

/// How often a memo was asked and had to build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs that were looked up.
    pub lookups: u64,
    /// Inputs that were built.
    pub misses: u64,
}

/// Resources by the Input that they were built from. The key is the builder's argument, so an entry cannot be stale.
#[derive(Debug)]
pub struct Memo<I: Input> {
    built: DashMap<I, Entry, RandomState>,
    /// Parts of aggregates that are in use; each knows its encoding.
    parts: DashMap<Shared<I::Part>, (), RandomState>,
    lookups: AtomicU64,
    misses: AtomicU64,
    /// The number of sweeps so far.
    generation: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    resource: Arc<Resource>,
    /// The generation in which it was asked for last.
    asked: AtomicU64,
}

impl<I: Input> Default for Memo<I> {
    fn default() -> Self {
        Self {
            built: DashMap::default(),
            parts: DashMap::default(),
            lookups: AtomicU64::default(),
            misses: AtomicU64::default(),
            generation: AtomicU64::default(),
        }
    }
}

impl<I: Input> Memo<I> {
    /// The resource of an Input.
    pub fn get(&self, mut input: I) -> Arc<Resource> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        if let Some(entry) = self.built.get(&input) {
            entry.asked.store(generation, Ordering::Relaxed);
            return Arc::clone(&entry.resource);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        for part in input.parts() {
            *part = self.parts.entry(part.clone()).or_insert(()).key().clone();
        }
        let built = input.build();
        let resource = Arc::new(Resource::new(
            I::TYPE,
            built.name,
            built.body,
            built.from.into(),
        ));
        let entry = Entry {
            resource: Arc::clone(&resource),
            asked: AtomicU64::new(generation),
        };
        self.built.insert(input, entry);
        resource
    }

    /// Begins the next generation and drops what nobody asked for in the last two. Every class asks for everything it has
    /// at every revision, so that is garbage. Who holds the resource says nothing: a snapshot may keep an older one with
    /// the same bytes, and the newer must not be built again for that.
    pub fn sweep(&self) {
        let now = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.built
            .retain(|_, entry| entry.asked.load(Ordering::Relaxed) + 2 > now);
        self.parts.retain(|part, ()| !part.is_alone());
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.built.is_empty()
    }

    /// Lookups and misses since the start.
    pub fn counts(&self) -> Counts {
        Counts {
            lookups: self.lookups.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;

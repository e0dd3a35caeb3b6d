//! Input → Resource, each built at most once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use dashmap::DashMap;
use meltemi_builders::{Built, Input, Stencil};
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
    built: DashMap<Key<I>, Entry, RandomState>,
    /// Stencils of the shapes that were built in this generation.
    stencils: DashMap<I::Shape, Option<Arc<Stencil>>, RandomState>,
    /// Parts of aggregates that are in use; each knows its encoding.
    parts: DashMap<Shared<I::Part>, (), RandomState>,
    lookups: AtomicU64,
    misses: AtomicU64,
    /// The number of sweeps so far.
    generation: AtomicU64,
}

/// An Input and its hash, which is taken once: a lookup, the insertion and each growth of the table ask for it.
#[derive(Debug)]
struct Key<I> {
    hash: u64,
    input: I,
}

impl<I: Eq> PartialEq for Key<I> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.input == other.input
    }
}

impl<I: Eq> Eq for Key<I> {}

impl<I> Hash for Key<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
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
            stencils: DashMap::default(),
            parts: DashMap::default(),
            lookups: AtomicU64::default(),
            misses: AtomicU64::default(),
            generation: AtomicU64::default(),
        }
    }
}

impl<I: Input> Memo<I> {
    /// The resource of an Input.
    pub fn get(&self, input: I) -> Arc<Resource> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        let hash = self.built.hasher().hash_one(&input);
        let mut key = Key { hash, input };
        if let Some(entry) = self.built.get(&key) {
            entry.asked.store(generation, Ordering::Relaxed);
            return Arc::clone(&entry.resource);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        for part in key.input.parts() {
            // A part that is the same row takes its place, so the hash stays.
            *part = self.parts.entry(part.clone()).or_insert(()).key().clone();
        }
        let built = self.build(&key.input);
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
        self.built.insert(key, entry);
        resource
    }

    /// By the stencil of the input's shape, where it has one: cutting one costs as much as building once.
    fn build(&self, input: &I) -> Built {
        let Some(shape) = input.shape() else {
            return input.build();
        };
        let known = self.stencils.get(&shape).map(|found| found.clone());
        let stencil = known.unwrap_or_else(|| {
            let stencil = I::stencil(&shape).map(Arc::new);
            self.stencils.insert(shape, stencil.clone());
            stencil
        });
        let Some(stencil) = stencil else {
            return input.build();
        };
        let built = input.fill(&stencil);
        debug_assert!(
            {
                let oracle = input.build();
                (&built.name, &built.body, &built.from)
                    == (&oracle.name, &oracle.body, &oracle.from)
            },
            "a stencil writes what the builder builds: {input:?}"
        );
        built
    }

    /// Begins the next generation and drops what nobody asked for in the last two. Every class asks for everything it has
    /// at every revision, so that is garbage. Who holds the resource says nothing: a snapshot may keep an older one with
    /// the same bytes, and the newer must not be built again for that.
    pub fn sweep(&self) {
        let now = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.built
            .retain(|_, entry| entry.asked.load(Ordering::Relaxed) + 2 > now);
        self.stencils.clear();
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

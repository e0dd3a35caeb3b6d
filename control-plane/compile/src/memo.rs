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
}

#[derive(Debug)]
struct Entry {
    resource: Arc<Resource>,
    /// The sweep that last found it in use.
    generation: u64,
}

impl<I: Input> Default for Memo<I> {
    fn default() -> Self {
        Self {
            built: DashMap::default(),
            parts: DashMap::default(),
            lookups: AtomicU64::default(),
            misses: AtomicU64::default(),
        }
    }
}

impl<I: Input> Memo<I> {
    /// The resource of an Input.
    pub fn get(&self, mut input: I) -> Arc<Resource> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = self.built.get(&input) {
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
            generation: 0,
        };
        self.built.insert(input, entry);
        resource
    }

    /// Drops what only the memo has held since the sweep before: two sweeps apart, so that a resource that is being
    /// handed from one snapshot to the next survives.
    pub fn sweep(&self, generation: u64) {
        self.built.retain(|_, entry| {
            if Arc::strong_count(&entry.resource) > 1 {
                entry.generation = generation;
            }
            generation.saturating_sub(entry.generation) < 2
        });
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

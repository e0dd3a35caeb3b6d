//! Maps and sets that answer as fast as hash maps do and iterate in the order of insertion, so that nothing random shows
//! in what is made from them (I1). The hash is keyed at random in each process: nobody can choose names that collide.

use ahash::RandomState;

/// A map in the order of insertion.
pub type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;

/// A set in the order of insertion.
pub type IndexSet<K> = indexmap::IndexSet<K, RandomState>;

//! Labs in a real cluster.

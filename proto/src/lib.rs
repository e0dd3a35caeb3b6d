//! meltemi-proto

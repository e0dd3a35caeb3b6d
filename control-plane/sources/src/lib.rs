//! meltemi-sources

//! meltemi-xds

//! meltemi-compile

//! meltemi-demo

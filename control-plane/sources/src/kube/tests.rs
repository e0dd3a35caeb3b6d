//! The source against an API server that does everything wrong once.

mod faults;
mod first;
mod fixtures;
mod random;

//! Validation against recorded truth: the tables of Istio 1.31's own tests (`../shared/corpus/validation`).

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod cases;
mod crd;
mod mutations;
mod objects;
mod parts;

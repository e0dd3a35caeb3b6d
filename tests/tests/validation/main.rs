//! Validation against recorded truth: the tables of Istio 1.31's own tests (`../shared/corpus/validation`).

mod cases;
mod crd;
mod mutations;
mod objects;
mod parts;

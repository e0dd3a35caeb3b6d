//! The rules of this repository, as tests. A rule that only stands in a document is a wish.

mod arrows;
mod books;
mod invariants;
mod licences;
mod metadata;
mod modules;
mod pure;
mod settings;
mod sources;
mod text;

//! The charts, rendered by the real helm: each file below `tests/charts` is values and what they must come to.
//!
//! helm comes from PATH or from the lab's folder in the user's cache; without it the tests are skipped.

mod cases;
mod helm;
mod invariants;
mod rights;

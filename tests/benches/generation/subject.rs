//! Meltemi as the benches see it.

use meltemi_tests::bench::Subject;

/// What is measured; `None` while there is nothing.
pub(crate) fn subject() -> Option<Box<dyn Subject>> {
    None
}

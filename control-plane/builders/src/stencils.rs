//! Stencils of parts, kept beside the row that the parts have in common.

use std::fmt::Debug;
use std::sync::Arc;

use meltemi_proto::canonical::Stencil;
use parking_lot::RwLock;

/// More shapes than this are not kept: parts that all differ would only be compared.
const MOST: usize = 32;

/// Stencils by the shape of a part: the part with stand-ins for its names.
#[derive(Debug)]
pub(crate) struct Stencils<K>(RwLock<Vec<(K, Arc<Stencil>)>>);

impl<K> Default for Stencils<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: PartialEq + Debug> Stencils<K> {
    /// The stencil of a shape, cut when it is asked for first. `None` where there are too many, or `cut` has none.
    pub(crate) fn get(
        &self,
        shape: K,
        cut: impl FnOnce(&K) -> Option<Stencil>,
    ) -> Option<Arc<Stencil>> {
        let found = |all: &[(K, Arc<Stencil>)]| {
            let found = all.iter().find(|(of, _)| *of == shape);
            found.map(|(_, stencil)| Arc::clone(stencil))
        };
        if let Some(stencil) = found(&self.0.read()) {
            return Some(stencil);
        }
        let mut all = self.0.write();
        if let Some(stencil) = found(&all) {
            return Some(stencil);
        }
        if all.len() >= MOST {
            return None;
        }
        let stencil = Arc::new(cut(&shape)?);
        all.push((shape, Arc::clone(&stencil)));
        Some(stencil)
    }
}

//! Equal messages become equal bytes. Versions of resources are hashes of these bytes, so this is the only way in which a resource
//! may be encoded.
//!
//! The canonical form: fields in the order of their numbers, entries of a map in the order of their keys, unknown fields behind
//! the known ones; shortest varints, numbers packed where the proto says so, defaults absent (also as values of a map); the same inside nested messages and
//! inside every Any whose type is known.
//!
//! There are three ways to it:
//! - [`encode`] starts from a message in memory. prost writes it, and then only what prost leaves open is put in order: it writes
//!   maps in the order of a `HashMap`, and a oneof where its lowest number belongs. Both are permutations of bytes inside a
//!   message of fixed length, done in place; parts of a type that can hold neither are skipped without being read.
//! - [`Stencil`] starts from the bytes of one message and gives those of others that differ in names only.
//! - [`canonicalize`] starts from bytes which anyone may have written. They are decoded by reflection, merged as protobuf
//!   prescribes, and written anew. It is slow, and the oracle of the others.

mod settle;
mod stencil;
mod strict;
mod tables;
mod wire;

use bytes::Bytes;

use settle::{Source, settle};

pub use stencil::Stencil;
pub use strict::canonicalize;
pub(crate) use strict::canonicalize_dynamic;

/// A message that has a name: all of Envoy's and all of ours.
pub trait Canonical: prost::Message + prost::Name {}

impl<M: prost::Message + prost::Name> Canonical for M {}

/// The canonical bytes of a message. A message whose type is not in the pool (only [`crate::ads`] has such) is written as prost
/// writes it; so are the parts of a message that is nested deeper than any Envoy reads (it stops at a hundred levels).
pub fn encode<M: Canonical>(message: &M) -> Bytes {
    let mut bytes = message.encode_to_vec();
    if let Some(ty) = tables::by_name(&M::full_name()) {
        // What prost writes is well-formed, so only a nesting too deep can end this early.
        let _ = settle(ty, &mut bytes, Source::Prost, 0);
    }
    bytes.into()
}

#[cfg(test)]
mod tests;

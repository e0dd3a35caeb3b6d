//! Builders: an `Input` in, the encoded message out.
//!
//! A builder's only argument is its Input, which is also the key of the memo above it: what a builder does not
//! receive, it cannot depend on, so a stale cache cannot be written (I2). This crate knows nothing of worlds, classes
//! or streams.
//!
//! Read first: this file, `cluster.rs`, `route.rs`.

use std::fmt::Debug;
use std::hash::Hash;

use bytes::Bytes;
use meltemi_model::{ObjectKey, ResourceType, Shared, Str};

pub use meltemi_proto::canonical::Stencil;

pub mod cluster;
pub mod endpoint;
pub mod listener;
pub mod name_table;
pub mod patch;
pub mod route;
pub mod sds;
pub mod secret;
mod stencils;

/// What a builder made.
#[derive(Debug, Clone)]
pub struct Built {
    /// The resource's name.
    pub name: Str,
    /// Its canonical bytes.
    pub body: Bytes,
    /// The objects that decided it, for `explain`.
    pub from: Vec<ObjectKey>,
}

/// Everything that one resource is made from.
pub trait Input: Debug + Hash + Eq + Send + Sync + 'static {
    /// The type of the resource.
    const TYPE: ResourceType;

    /// The rows that the resource is an aggregate of, each with an encoding of its own ([`Shared::encoded`]). An equal
    /// row that was written before takes its place, so that a changed aggregate writes only what changed.
    fn parts(&mut self) -> &mut [Shared<Self::Part>] {
        &mut []
    }

    /// What [`Input::parts`] holds; `()` for a resource that is written as a whole.
    type Part: Send + Sync + 'static;

    /// What inputs have in common whose resources differ in names only; `()` where that is not used.
    type Shape: Hash + Eq + Debug + Send + Sync + 'static;

    /// The shape, where there is one. All that [`Input::build`] looks at must be part of it, or of the names.
    fn shape(&self) -> Option<Self::Shape> {
        None
    }

    /// The stencil of a shape; `None`: inputs of the shape are built one by one.
    fn stencil(_shape: &Self::Shape) -> Option<Stencil> {
        None
    }

    /// What [`Input::build`] makes, by the stencil of the shape.
    fn fill(&self, _stencil: &Stencil) -> Built {
        self.build()
    }

    /// Builds it. Cannot fail: what could be wrong was found when the objects were lowered (I3).
    fn build(&self) -> Built;
}

/// A duration as Envoy's messages hold it.
pub(crate) fn duration(value: std::time::Duration) -> meltemi_proto::google::protobuf::Duration {
    meltemi_proto::google::protobuf::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or_default(),
    }
}

/// A wrapped number.
pub(crate) fn uint32(value: u32) -> meltemi_proto::google::protobuf::UInt32Value {
    meltemi_proto::google::protobuf::UInt32Value { value }
}

/// A wrapped number.
pub(crate) fn uint64(value: u64) -> meltemi_proto::google::protobuf::UInt64Value {
    meltemi_proto::google::protobuf::UInt64Value { value }
}

//! What the types look like from outside: the fields of each message and what they hold, for whoever writes schemas.

use std::collections::BTreeMap;

use crate::bytes::Bytes;
use crate::duration::Duration;
use crate::shared::Struct;

/// What a field can hold.
#[derive(Debug, Clone)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// Bytes as base64.
    Bytes,
    /// A time span such as `1.5s`.
    Duration,
    /// A number of 32 bits with a sign.
    Int32,
    /// A number of 32 bits.
    Uint32,
    /// A number of 64 bits with a sign.
    Int64,
    /// A number of 64 bits.
    Uint64,
    /// A number with a fraction.
    Double,
    /// A free-form object.
    Object,
    /// One of these names, in the order of the proto.
    Enum(&'static [&'static str]),
    /// A message. It is a function because messages contain themselves.
    Message(fn() -> Message),
    /// Several.
    List(Box<Shape>),
    /// Several by name, or by a number that is written as a name.
    Map(Box<Shape>),
    /// One that can be told apart from an absent one.
    Optional(Box<Shape>),
}

/// A message and its fields.
#[derive(Debug, Clone)]
pub struct Message {
    /// The name of the Rust type, such as `HttpRoute`.
    pub name: &'static str,
    /// The fields in the order of the proto, each by its JSON name.
    pub fields: Vec<(String, Shape)>,
    /// The fields, by JSON name, of which at most one is set; an entry for each oneof.
    pub oneofs: Vec<Vec<String>>,
}

/// A type whose shape is known.
pub trait Shaped {
    /// The shape of every value of the type.
    fn shape() -> Shape;
}

macro_rules! shapes {
    ($($type:ty => $shape:expr,)*) => {$(
        impl Shaped for $type {
            fn shape() -> Shape {
                $shape
            }
        }
    )*};
}

shapes! {
    bool => Shape::Bool,
    String => Shape::Text,
    Bytes => Shape::Bytes,
    Duration => Shape::Duration,
    i32 => Shape::Int32,
    u32 => Shape::Uint32,
    i64 => Shape::Int64,
    u64 => Shape::Uint64,
    f64 => Shape::Double,
    Struct => Shape::Object,
}

impl<T: Shaped> Shaped for Option<T> {
    fn shape() -> Shape {
        Shape::Optional(Box::new(T::shape()))
    }
}

impl<T: Shaped> Shaped for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

impl<K, T: Shaped> Shaped for BTreeMap<K, T> {
    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }
}

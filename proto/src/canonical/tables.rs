//! What the encoder must know of each message type, prepared by the build script from the descriptors.

/// A message type.
pub(super) struct Type {
    /// Its full name; the table is sorted by it.
    pub(super) name: &'static str,
    /// Whether prost may write a message of this type in other than canonical order, here or further inside.
    pub(super) walk: bool,
    /// Whether it is `google.protobuf.Any`.
    pub(super) any: bool,
    /// Its fields in the order of their numbers.
    pub(super) fields: &'static [Field],
}

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) shape: Shape,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Scalar,
    /// Messages of the type with this index.
    Message(u16),
    /// Map entries of the type with this index.
    Map(u16, Key),
}

/// How the keys of a map are ordered.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Text,
    Signed,
    Unsigned,
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// The type of that full name.
pub(super) fn by_name(name: &str) -> Option<&'static Type> {
    TYPES
        .binary_search_by(|ty| ty.name.cmp(name))
        .ok()
        .map(|index| &TYPES[index])
}

/// The type of that index, as fields name it.
pub(super) fn by_index(index: u16) -> &'static Type {
    &TYPES[usize::from(index)]
}

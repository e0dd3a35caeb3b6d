//! Puts the fields of an encoded message into canonical order, in place. No length changes, so nothing is written anew.

use std::ops::Range;

use super::tables::{Field, Key, Shape, Type, by_index, by_name};
use super::wire::{Malformed, record, varint};
use crate::any::type_name;

/// Who wrote the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// prost, from a message of Rust: what prost always writes in order need not be read. Contents of an Any are put in order.
    Prost,
    /// Reflection: unknown fields stand anywhere. Contents of an Any are in order already.
    Reflection,
}

/// Messages in messages. prost decodes a hundred; what is deeper was never a message of Envoy's.
const MAX_DEPTH: u32 = 400;

/// Where unknown fields stand: behind all others.
const UNKNOWN: u32 = u32::MAX;

/// The key of a map's entry; all other fields have none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyValue<'a> {
    None,
    Number(i128),
    Text(&'a [u8]),
}

/// Puts the message of type `ty` into canonical order. If it fails, the bytes may be partly in order.
pub(super) fn settle(
    ty: &'static Type,
    bytes: &mut [u8],
    source: Source,
    depth: u32,
) -> Result<(), Malformed> {
    if source == Source::Prost && !ty.walk {
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Err(Malformed);
    }
    if ty.any && source == Source::Prost {
        return settle_any(bytes, depth);
    }
    let mut fields = Fields::new(ty);
    let (mut at, mut ordered) = (0, true);
    let mut last: (u32, Range<usize>) = (0, 0..0);
    while at < bytes.len() {
        let record = record(bytes, at)?;
        let (rank, shape) = fields.find(record.number);
        if record.delimited {
            match shape {
                Shape::Message(index) | Shape::Map(index, _) => {
                    settle(
                        by_index(index),
                        &mut bytes[record.body.clone()],
                        source,
                        depth + 1,
                    )?;
                }
                Shape::Scalar => {}
            }
        }
        ordered = ordered
            && match shape {
                Shape::Map(_, key) if rank == last.0 => {
                    key_of(&bytes[last.1.clone()], key)?
                        <= key_of(&bytes[record.body.clone()], key)?
                }
                _ => last.0 <= rank,
            };
        last = (rank, record.body);
        at = record.end;
    }
    if ordered { Ok(()) } else { reorder(ty, bytes) }
}

fn reorder(ty: &'static Type, bytes: &mut [u8]) -> Result<(), Malformed> {
    let before = bytes.to_vec();
    let mut fields = Fields::new(ty);
    let mut parts = Vec::new();
    let mut at = 0;
    while at < before.len() {
        let record = record(&before, at)?;
        let (rank, shape) = fields.find(record.number);
        let key = match shape {
            Shape::Map(_, key) => key_of(&before[record.body], key)?,
            Shape::Scalar | Shape::Message(_) => KeyValue::None,
        };
        parts.push((rank, key, &before[at..record.end]));
        at = record.end;
    }
    // Elements of a list, unknown fields and equal keys keep their order: the sort is stable.
    parts.sort_by_key(|(rank, key, _)| (*rank, *key));
    let mut at = 0;
    for (_, _, part) in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    Ok(())
}

/// An Any holds bytes of whatever origin: if they are no message of the type that they claim, they stay as they are.
fn settle_any(bytes: &mut [u8], depth: u32) -> Result<(), Malformed> {
    let (mut url, mut value, mut at) = (0..0, 0..0, 0);
    while at < bytes.len() {
        let record = record(bytes, at)?;
        match record.number {
            1 => url = record.body,
            2 => value = record.body,
            _ => {}
        }
        at = record.end;
    }
    let ty = std::str::from_utf8(&bytes[url])
        .ok()
        .and_then(|url| by_name(type_name(url)));
    if let Some(ty) = ty.filter(|ty| ty.walk) {
        let value = &mut bytes[value];
        let before = value.to_vec();
        if settle(ty, value, Source::Prost, depth + 1).is_err() {
            value.copy_from_slice(&before);
        }
    }
    Ok(())
}

/// The key in an encoded map entry; an absent key is the default.
fn key_of(entry: &[u8], key: Key) -> Result<KeyValue<'_>, Malformed> {
    let mut found = match key {
        Key::Text => KeyValue::Text(&[]),
        Key::Signed | Key::Unsigned => KeyValue::Number(0),
    };
    let mut at = 0;
    while at < entry.len() {
        let record = record(entry, at)?;
        if record.number == 1 {
            found = match key {
                Key::Text => KeyValue::Text(&entry[record.body]),
                Key::Signed => KeyValue::Number(i128::from(varint(entry, at + 1)?.0.cast_signed())),
                Key::Unsigned => KeyValue::Number(i128::from(varint(entry, at + 1)?.0)),
            };
        }
        at = record.end;
    }
    Ok(found)
}

/// Finds fields by number. They mostly come in order, so the next one is mostly the one found last or one behind it.
struct Fields {
    all: &'static [Field],
    next: usize,
}

impl Fields {
    fn new(ty: &'static Type) -> Self {
        Self {
            all: ty.fields,
            next: 0,
        }
    }

    fn find(&mut self, number: u32) -> (u32, Shape) {
        if self
            .all
            .get(self.next)
            .is_none_or(|field| field.number != number)
        {
            match self.all.binary_search_by_key(&number, |field| field.number) {
                Ok(index) => self.next = index,
                Err(_) => return (UNKNOWN, Shape::Scalar),
            }
        }
        (number, self.all[self.next].shape)
    }
}

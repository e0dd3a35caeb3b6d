//! The canonical form of bytes that anyone may have written, by way of reflection.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::encode_varint;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::settle::{Source, settle};
use super::tables::{self, Shape, Type};
use super::wire::{Malformed, record};
use crate::any::type_name;
use crate::pool::{self, Error};

/// An Any in an Any, and so on; what is deeper stays as it is.
const MAX_NESTED: u32 = 16;

/// The canonical bytes of the message that `bytes` encode.
pub fn canonicalize(type_name: &str, bytes: &[u8]) -> Result<Bytes, Error> {
    canonical(pool::decode(type_name, bytes)?, 0).map(Bytes::from)
}

/// The canonical bytes of a message held by reflection.
pub(crate) fn canonicalize_dynamic(message: DynamicMessage) -> Result<Bytes, Error> {
    canonical(message, 0).map(Bytes::from)
}

fn canonical(mut message: DynamicMessage, nested: u32) -> Result<Vec<u8>, Error> {
    pack_again(&mut message, nested);
    let descriptor = message.descriptor();
    let name = descriptor.full_name();
    let ty = tables::by_name(name).ok_or_else(|| Error::UnknownType(name.to_owned()))?;
    let written = message.encode_to_vec();
    let mut bytes = Vec::with_capacity(written.len());
    drop_empty_values(ty, false, &written, &mut bytes)
        .and_then(|()| settle(ty, &mut bytes, Source::Reflection, 0))
        .map_err(|_| Error::Malformed {
            type_name: name.to_owned(),
            reason: "nested too deeply".to_owned(),
        })?;
    Ok(bytes)
}

/// Copies a message without the empty messages that are values of map entries: reflection writes them, prost leaves them out, and
/// to whoever reads them both are the same.
fn drop_empty_values(
    ty: &'static Type,
    entry: bool,
    from: &[u8],
    into: &mut Vec<u8>,
) -> Result<(), Malformed> {
    if !ty.walk && !entry {
        into.extend_from_slice(from);
        return Ok(());
    }
    let mut at = 0;
    while at < from.len() {
        let record = record(from, at)?;
        let field = ty
            .fields
            .binary_search_by_key(&record.number, |field| field.number);
        match field.map(|index| ty.fields[index].shape) {
            Ok(shape @ (Shape::Message(index) | Shape::Map(index, _))) if record.delimited => {
                let mut inner = Vec::new();
                let is_entry = matches!(shape, Shape::Map(..));
                drop_empty_values(
                    tables::by_index(index),
                    is_entry,
                    &from[record.body],
                    &mut inner,
                )?;
                if !(entry && inner.is_empty()) {
                    encode_varint(u64::from(record.number) << 3 | 2, into);
                    encode_varint(inner.len() as u64, into);
                    into.extend_from_slice(&inner);
                }
            }
            _ => into.extend_from_slice(&from[at..record.end]),
        }
        at = record.end;
    }
    Ok(())
}

/// Gives every Any in the message canonical contents, where its type is known and its contents are of that type.
fn pack_again(message: &mut DynamicMessage, nested: u32) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        if nested < MAX_NESTED
            && let Some(bytes) = canonical_contents(message, nested + 1)
        {
            message.set_field_by_name("value", Value::Bytes(bytes.into()));
        }
        return;
    }
    for (_, value) in message.fields_mut() {
        match value {
            Value::Message(inner) => pack_again(inner, nested),
            Value::List(items) => items
                .iter_mut()
                .filter_map(Value::as_message_mut)
                .for_each(|inner| pack_again(inner, nested)),
            Value::Map(entries) => {
                entries
                    .values_mut()
                    .filter_map(Value::as_message_mut)
                    .for_each(|inner| pack_again(inner, nested));
            }
            _ => {}
        }
    }
}

fn canonical_contents(any: &DynamicMessage, nested: u32) -> Option<Vec<u8>> {
    let (url, contents) = (
        any.get_field_by_name("type_url")?,
        any.get_field_by_name("value")?,
    );
    let inner = pool::decode(type_name(url.as_str()?), contents.as_bytes()?).ok()?;
    canonical(inner, nested).ok()
}

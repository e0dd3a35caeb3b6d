//! Merging one message into another as Istio merges the patches of EnvoyFilters.
//!
//! It is protobuf's merge but for two things: a `Duration` is replaced as a whole, and lists may be replaced rather than appended
//! to. What protobuf cannot tell from absent (false, 0, "") changes nothing, even inside a wrapper (Istio 1.31: `merge.Merge`).

use prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};

use crate::any::type_name;
use crate::canonical::{Canonical, canonicalize_dynamic};
use crate::google::protobuf::Any;
use crate::pool::{self, Error};

/// What becomes of a list of which the source has elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// They are appended.
    Append,
    /// They are all that is left.
    Replace,
}

/// Merges the message that `source` encodes into one of the same type.
pub fn merge<M: Canonical + Default>(
    target: &mut M,
    source: &[u8],
    lists: Lists,
) -> Result<(), Error> {
    let name = M::full_name();
    let mut merged = pool::decode(&name, &target.encode_to_vec())?;
    merge_dynamic(&mut merged, &pool::decode(&name, source)?, lists);
    *target = M::decode(merged.encode_to_vec().as_slice()).map_err(|e| Error::Malformed {
        type_name: name,
        reason: e.to_string(),
    })?;
    Ok(())
}

/// Merges the contents of an Any into those of another. Only equal types merge.
pub fn merge_any(target: &mut Any, source: &Any) -> Result<(), Error> {
    let (name, other) = (type_name(&target.type_url), type_name(&source.type_url));
    if name != other {
        return Err(Error::Mismatch {
            target: name.to_owned(),
            source_type: other.to_owned(),
        });
    }
    let mut merged = pool::decode(name, &target.value)?;
    merge_dynamic(
        &mut merged,
        &pool::decode(name, &source.value)?,
        Lists::Append,
    );
    target.value = canonicalize_dynamic(merged)?.into();
    Ok(())
}

fn merge_dynamic(target: &mut DynamicMessage, source: &DynamicMessage, lists: Lists) {
    for (field, value) in source.fields() {
        match value {
            Value::List(items) => {
                let Some(list) = target.get_field_mut(&field).as_list_mut() else {
                    continue;
                };
                if lists == Lists::Replace {
                    list.clear();
                }
                list.extend(items.iter().cloned());
            }
            Value::Map(entries) => {
                if let Some(map) = target.get_field_mut(&field).as_map_mut() {
                    let copies = entries.iter().map(|(k, v)| (MapKey::clone(k), v.clone()));
                    map.extend(copies);
                }
            }
            Value::Message(inner) => {
                let whole = inner.descriptor().full_name() == "google.protobuf.Duration";
                match target.get_field_mut(&field).as_message_mut() {
                    Some(into) if !whole => merge_dynamic(into, inner, lists),
                    _ => target.set_field(&field, value.clone()),
                }
            }
            scalar => target.set_field(&field, scalar.clone()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Strategic merge patches as the API server applies them (k8s.io/apimachinery, strategicpatch, with MergeParallelList and
//! IgnoreUnmatchedNulls): lists of maps merge by key, all directives hold, and the order of merged lists is the patch's where it can be.

use serde_json::{Map, Value};

use crate::json;
use crate::types::{Field, Kind, Types};

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey { map: String, key: String },
    #[error("unknown patch type: {directive} found in: {map}")]
    PatchType { directive: String, map: String },
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("list element types are not identical")]
    MixedList,
    #[error("{0}")]
    Other(&'static str),
}

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// The original with the patch applied.
///
/// # Errors
/// A patch whose form is wrong.
pub(crate) fn merged(
    types: &Types,
    kind: &Kind,
    original: &Value,
    patch: &Value,
) -> Result<Value, MergeError> {
    let schema = Schema {
        types,
        kind: Some(kind),
    };
    let original = match original {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    let patch = match patch {
        Value::Object(map) => map.clone(),
        Value::Null => Map::new(),
        _ => return Err(MergeError::Other("Invalid JSON document")),
    };
    merge_map(original, patch, schema).map(Value::Object)
}

/// What is known about the place that is merged.
#[derive(Clone, Copy)]
struct Schema<'a> {
    types: &'a Types,
    kind: Option<&'a Kind>,
}

impl<'a> Schema<'a> {
    /// The field of a struct; maps and unknown places have none.
    fn field(self, name: &str) -> Option<&'a Field> {
        match innermost(self.kind?) {
            Kind::Struct(id) => self.types.get(*id).json(name),
            _ => None,
        }
    }

    fn below(self, name: &str) -> Schema<'a> {
        let kind = match self.kind.map(innermost) {
            Some(Kind::Struct(id)) => self.types.get(*id).json(name).map(|field| &field.kind),
            Some(Kind::Map(inner)) => Some(&**inner),
            _ => None,
        };
        Schema { kind, ..self }
    }
}

fn innermost(kind: &Kind) -> &Kind {
    match kind {
        Kind::Pointer(inner) | Kind::List(inner) => innermost(inner),
        other => other,
    }
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Schema<'_>,
) -> Result<Map<String, Value>, MergeError> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => Err(patch_type(&directive, &Value::Object(patch))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    element_orders(&mut original, &mut patch, schema)?;

    for (key, mut value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM) {
            let Some(items) = value.as_array() else {
                return Err(MergeError::PrimitiveList);
            };
            if let Some(Value::Array(list)) = original.get_mut(name) {
                list.retain(|item| !items.iter().any(|gone| json::same(gone, item)));
            }
            continue;
        }
        if value.is_null() {
            remove(&mut original, &key);
            continue;
        }
        let Some(current) = original.get_mut(&key) else {
            discard_nulls(&mut value);
            if let Some(value) = without_directives(value) {
                original.insert(key, value);
            }
            continue;
        };
        match (&mut *current, value) {
            (Value::Object(current), Value::Object(patch)) => {
                let replace = schema.field(&key).is_some_and(|field| field.replace);
                *current = if replace {
                    patch
                } else {
                    merge_map(std::mem::take(current), patch, schema.below(&key))?
                };
            }
            (Value::Array(current), Value::Array(patch)) => {
                let field = schema.field(&key);
                *current = if field.is_some_and(|field| field.merge) {
                    let merge_key = field.and_then(|field| field.key.as_deref());
                    merge_list(
                        std::mem::take(current),
                        patch,
                        merge_key,
                        schema.below(&key),
                    )?
                } else {
                    patch
                };
            }
            (current, mut value) => {
                discard_nulls(&mut value);
                match without_directives(value) {
                    Some(value) => *current = value,
                    None => remove(&mut original, &key),
                }
            }
        }
    }
    Ok(original)
}

/// Removes a key and keeps the order of the others.
fn remove(map: &mut Map<String, Value>, key: &str) {
    map.shift_remove(key);
}

fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), MergeError> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keys) = keys else {
        return Err(MergeError::RetainKeys);
    };
    let kept = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let unlisted = patch.iter().any(|(key, value)| {
        let directive = key.starts_with(DELETE_FROM) || key.starts_with(ELEMENT_ORDER);
        !value.is_null() && !directive && !kept(key)
    });
    if unlisted {
        return Err(MergeError::RetainKeys);
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

fn element_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Schema<'_>,
) -> Result<(), MergeError> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(ELEMENT_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let Some(Value::Array(order)) = patch.shift_remove(&directive) else {
            return Err(MergeError::ElementOrder);
        };
        let name = &directive[ELEMENT_ORDER.len()..];
        let field = schema.field(name);
        let key = field.and_then(|field| field.key.as_deref());
        let list = |value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(MergeError::ElementOrder),
        };
        let before = list(original.get(name).cloned())?;
        let added = list(patch.shift_remove(name))?;
        if let Some(added) = &added {
            ordered_as(added, &order, key)?;
        }
        let merged = match (before.clone(), added) {
            (None, None) => continue,
            (Some(before), None) => before,
            (None, Some(added)) => added.into_iter().filter_map(without_directives).collect(),
            (Some(before), Some(added)) if field.is_some_and(|field| field.merge) => {
                merge_list(before, added, key, schema.below(name))?
            }
            (Some(_), Some(added)) => added,
        };
        let (listed, others) = partitioned(merged, &order, key);
        let before = before.unwrap_or_default();
        original.insert(
            name.to_owned(),
            Value::Array(normal_order(listed, others, &order, &before, key)?),
        );
    }
    Ok(())
}

/// The items of the patch must be in the order list, in its order.
fn ordered_as(items: &[Value], order: &[Value], key: Option<&str>) -> Result<(), MergeError> {
    let mut rest = order.iter();
    for item in items {
        if item.get(PATCH).is_some() {
            continue;
        }
        if !rest.any(|listed| same_item(listed, item, key)) {
            return Err(MergeError::ElementOrder);
        }
    }
    Ok(())
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: Option<&str>,
    schema: Schema<'_>,
) -> Result<Vec<Value>, MergeError> {
    let Some(first) = original.first().or(patch.first()) else {
        return Ok(original);
    };
    let maps = first.is_object();
    if original
        .iter()
        .chain(&patch)
        .any(|item| item.is_object() != maps || item.is_array())
    {
        return Err(MergeError::MixedList);
    }
    if !maps {
        let mut both: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
        for item in original.iter().chain(&patch) {
            if !both.iter().any(|known| json::same(known, item)) {
                both.push(item.clone());
            }
        }
        let (listed, others) = partitioned(both, &patch, None);
        return normal_order(listed, others, &patch, &original, None);
    }
    let Some(key) = key else {
        return Err(MergeError::Other("cannot merge lists without merge key"));
    };
    let (original, patch) = special_elements(original, patch, key)?;
    let mut merged = original.clone();
    for item in &patch {
        let value = item.get(key).ok_or_else(|| no_key(item, key))?;
        let found = merged
            .iter()
            .position(|known| known.get(key).is_some_and(|known| json::same(known, value)));
        match found {
            Some(i) => {
                let (Value::Object(known), Value::Object(item)) = (merged[i].take(), item.clone())
                else {
                    return Err(MergeError::MixedList);
                };
                merged[i] = Value::Object(merge_map(known, item, schema)?);
            }
            None => merged.push(item.clone()),
        }
    }
    let (listed, others) = partitioned(merged, &patch, Some(key));
    normal_order(listed, others, &patch, &original, Some(key))
}

/// Takes the elements with a directive out of the patch and does what they say.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), MergeError> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(PATCH) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let value = item.get(key).ok_or_else(|| no_key(&item, key))?;
                original
                    .retain(|known| !known.get(key).is_some_and(|known| json::same(known, value)));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(MergeError::Other(
                    "merging lists cannot yet be specified in the patch",
                ));
            }
            _ => return Err(patch_type(directive, &item)),
        }
    }
    Ok(if replace {
        (plain, Vec::new())
    } else {
        (original, plain)
    })
}

fn same_item(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        None => json::same(a, b),
        Some(key) => match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) => json::same(a, b),
            _ => false,
        },
    }
}

fn partitioned(items: Vec<Value>, listed: &[Value], key: Option<&str>) -> (Vec<Value>, Vec<Value>) {
    items
        .into_iter()
        .partition(|item| listed.iter().any(|known| same_item(known, item, key)))
}

/// Items of the patch in the patch's order, the others in the original's, then both interleaved: an item that only the original has comes
/// before one of the patch only if both were in the original, in that order.
fn normal_order(
    mut listed: Vec<Value>,
    mut others: Vec<Value>,
    order: &[Value],
    original: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, MergeError> {
    if let Some(key) = key {
        let all = listed.iter().chain(&others).chain(original);
        if let Some(item) = all.into_iter().find(|item| item.get(key).is_none()) {
            return Err(no_key(item, key));
        }
    }
    let place = |items: &[Value], item: &Value| {
        items
            .iter()
            .position(|known| same_item(known, item, key))
            .unwrap_or(usize::MAX)
    };
    listed.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(original, item));

    let mut out = Vec::with_capacity(listed.len() + others.len());
    let mut listed = listed.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    loop {
        let other_first = match (others.peek(), listed.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(item)) => {
                let (other, item) = (place(original, other), place(original, item));
                other != usize::MAX && item != usize::MAX && other < item
            }
        };
        out.extend(if other_first {
            others.next()
        } else {
            listed.next()
        });
    }
}

/// Removes nulls from maps, as deep as maps go.
fn discard_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(discard_nulls);
    }
}

/// The value without the maps that hold a directive.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter_map(|(key, value)| Some((key, without_directives(value)?)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(
            items.into_iter().filter_map(without_directives).collect(),
        )),
        other => Some(other),
    }
}

fn no_key(item: &Value, key: &str) -> MergeError {
    // Only the names of the fields are told: values may be secrets.
    let names: Vec<&str> = item
        .as_object()
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default();
    MergeError::NoMergeKey {
        map: format!("{{{}}}", names.join(", ")),
        key: key.to_owned(),
    }
}

fn patch_type(directive: &Value, item: &Value) -> MergeError {
    let names: Vec<&str> = item
        .as_object()
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default();
    MergeError::PatchType {
        directive: directive.to_string(),
        map: format!("{{{}}}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;

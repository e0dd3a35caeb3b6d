//! Dictionaries.

use std::sync::Arc;

use super::{stringified, text};
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::{Entries, List, MAX_NESTING, Map, Value};

pub(super) fn add(functions: &mut Functions) {
    let keyed = Signature::of(&[Param::Map, Param::String]);
    functions.add_typed("dict", Signature::and_more(&[], Param::Any), |args| {
        let mut entries = Entries::new();
        for pair in args.chunks(2) {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::from(""));
            let _ = entries.insert(stringified(&pair[0])?, value);
        }
        Ok(Value::Map(Map::any(entries)))
    });
    functions.add_typed("get", keyed, |args| {
        Ok(entry(&args[0], text(args, 1)).unwrap_or_else(|| Value::from("")))
    });
    functions.add_typed("hasKey", keyed, |args| {
        Ok(Value::Bool(entry(&args[0], text(args, 1)).is_some()))
    });
    functions.add_typed(
        "set",
        Signature::of(&[Param::Map, Param::String, Param::Any]),
        |args| {
            let Value::Map(map) = &args[0] else {
                return Err("assignment to entry in nil map".to_owned());
            };
            map.insert(text(args, 1).into(), args[2].clone())?;
            Ok(args[0].clone())
        },
    );
    functions.add_typed("unset", keyed, |args| {
        if let Value::Map(map) = &args[0] {
            map.remove(text(args, 1));
        }
        Ok(args[0].clone())
    });
    functions.add_typed(
        "pluck",
        Signature::and_more(&[Param::String], Param::Map),
        |args| {
            let found = args[1..].iter().filter_map(|map| entry(map, text(args, 0)));
            Ok(Value::List(List::any(found.collect())))
        },
    );
    functions.add_typed("keys", Signature::and_more(&[], Param::Map), |args| {
        let mut keys: Vec<Arc<str>> = Vec::new();
        for map in args {
            keys.extend(entries(map).keys().cloned());
        }
        Ok(Value::List(List::strings(keys)))
    });
    functions.add_typed("values", Signature::of(&[Param::Map]), |args| {
        Ok(Value::List(List::any(
            entries(&args[0]).values().cloned().collect(),
        )))
    });
    let picking = Signature::and_more(&[Param::Map], Param::String);
    functions.add_typed("pick", picking, |args| Ok(chosen(args, true)));
    functions.add_typed("omit", picking, |args| Ok(chosen(args, false)));
    let merging = Signature::and_more(&[Param::Map], Param::Map);
    for (name, overwrite) in [
        ("merge", false),
        ("mustMerge", false),
        ("mergeOverwrite", true),
        ("mustMergeOverwrite", true),
    ] {
        functions.add_typed(name, merging, move |args| {
            for source in &args[1..] {
                if let (Value::Map(into), Value::Map(from)) = (&args[0], source) {
                    merge(into, from, overwrite, 0)?;
                }
            }
            Ok(args[0].clone())
        });
    }
    for name in ["deepCopy", "mustDeepCopy"] {
        functions.add_typed(name, Signature::of(&[Param::Any]), |args| {
            args[0].try_deep_copy()
        });
    }
    functions.add_typed("dig", Signature::and_more(&[], Param::Any), dig);
}

fn entries(map: &Value) -> Arc<Entries> {
    match map {
        Value::Map(map) => map.entries(),
        _ => Arc::default(),
    }
}

fn entry(map: &Value, key: &str) -> Option<Value> {
    match map {
        Value::Map(map) => map.get(key),
        _ => None,
    }
}

/// The entries whose keys follow the map, or all others.
fn chosen(args: &[Value], named: bool) -> Value {
    let entries = entries(&args[0]);
    let is_named = |key: &str| args[1..].iter().any(|arg| arg.as_str() == Some(key));
    let chosen = entries.iter().filter(|(key, _)| is_named(key) == named);
    Value::Map(Map::any(
        chosen
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    ))
}

/// Puts the entries of one map into another, maps in maps as well. Without `overwrite` only what is missing or empty.
fn merge(into: &Map, from: &Map, overwrite: bool, depth: usize) -> Result<(), String> {
    if depth > MAX_NESTING {
        return Err("the maps are nested too deeply".to_owned());
    }
    for (key, value) in from.entries().iter() {
        let held = into.get(key);
        if value.is_nil() {
            if overwrite {
                into.insert(key.clone(), value.clone())?;
            }
            continue;
        }
        if let (Some(Value::Map(held)), Value::Map(value)) = (&held, value) {
            if !held.same(value) {
                merge(held, value, overwrite, depth + 1)?;
            }
            if !held.entries().is_empty() {
                continue;
            }
        }
        if overwrite || !held.is_some_and(|held| held.is_truthy()) {
            into.insert(key.clone(), value.clone())?;
        }
    }
    Ok(())
}

fn dig(args: &[Value]) -> Result<Value, String> {
    let [path @ .., default, map] = args else {
        return Err("dig needs at least three arguments".to_owned());
    };
    if path.is_empty() {
        return Err("dig needs at least three arguments".to_owned());
    }
    let mut found = map.clone();
    for key in path {
        let Value::Map(map) = &found else {
            let got = if found.is_nil() {
                "nil".to_owned()
            } else {
                found.type_name()
            };
            return Err(format!(
                "interface conversion: interface {{}} is {got}, not map[string]interface {{}}"
            ));
        };
        let Some(key) = key.as_str() else {
            return Err(format!(
                "interface conversion: interface {{}} is {}, not string",
                key.type_name()
            ));
        };
        match map.get(key) {
            Some(value) => found = value,
            None => return Ok(default.clone()),
        }
    }
    Ok(found)
}

//! Lists.

use super::{kind, stringified};
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::{Elem, List, MAX_NESTING, Value};

/// What Go says when it asks nothing for its type.
const NIL: &str = "runtime error: invalid memory address or nil pointer dereference";

pub(super) fn add(functions: &mut Functions) {
    let one = Signature::of(&[Param::Any]);
    let two = Signature::of(&[Param::Any, Param::Any]);
    let any = Signature::and_more(&[], Param::Any);
    let some = Signature::and_more(&[Param::Any], Param::Any);
    for name in ["list", "tuple"] {
        functions.add_typed(name, any, |args| Ok(anys(args.to_vec())));
    }
    for name in ["append", "push", "mustAppend", "mustPush"] {
        functions.add_typed(name, two, |args| {
            let mut items = items(&args[0], "Cannot push on type ")?.to_vec();
            items.push(args[1].clone());
            Ok(anys(items))
        });
    }
    both(functions, "prepend", two, |args| {
        let mut all = vec![args[1].clone()];
        all.extend_from_slice(items(&args[0], "Cannot prepend on type ")?);
        Ok(anys(all))
    });
    both(functions, "first", one, |args| {
        let items = items(&args[0], "Cannot find first on type ")?;
        Ok(items.first().cloned().unwrap_or(Value::Nil))
    });
    both(functions, "last", one, |args| {
        let items = items(&args[0], "Cannot find last on type ")?;
        Ok(items.last().cloned().unwrap_or(Value::Nil))
    });
    both(functions, "rest", one, |args| {
        let items = items(&args[0], "Cannot find rest on type ")?;
        Ok(anys(items.get(1..).unwrap_or_default().to_vec()))
    });
    both(functions, "initial", one, |args| {
        let items = items(&args[0], "Cannot find initial on type ")?;
        Ok(anys(items[..items.len().saturating_sub(1)].to_vec()))
    });
    both(functions, "reverse", one, |args| {
        let items = items(&args[0], "Cannot find reverse on type ")?;
        Ok(anys(items.iter().rev().cloned().collect()))
    });
    both(functions, "compact", one, |args| {
        let items = items(&args[0], "Cannot compact on type ")?.iter();
        Ok(anys(
            items.filter(|item| item.is_truthy()).cloned().collect(),
        ))
    });
    both(functions, "uniq", one, |args| {
        let mut kept: Vec<Value> = Vec::new();
        let mut budget = Budget::default();
        for item in items(&args[0], "Cannot find uniq on type ")? {
            if !budget.has(&kept, item)? {
                kept.push(item.clone());
            }
        }
        Ok(anys(kept))
    });
    both(functions, "without", some, |args| {
        let mut kept = Vec::new();
        let mut budget = Budget::default();
        for item in items(&args[0], "Cannot find without on type ")? {
            if !budget.has(&args[1..], item)? {
                kept.push(item.clone());
            }
        }
        Ok(anys(kept))
    });
    both(functions, "has", two, |args| {
        if args[1].is_nil() {
            return Ok(Value::Bool(false));
        }
        let items = items(&args[1], "Cannot find has on type ")?;
        Ok(Value::Bool(Budget::default().has(items, &args[0])?))
    });
    both(functions, "slice", some, sliced);
    functions.add_typed("concat", any, |args| {
        let mut all = Vec::new();
        for arg in args {
            let Value::List(list) = arg else {
                if arg.is_nil() {
                    return Err(NIL.to_owned());
                }
                return Err(format!("Cannot concat type {} as list", kind(arg)));
            };
            all.extend_from_slice(list.items());
        }
        Ok(anys(all))
    });
    both(
        functions,
        "chunk",
        Signature::of(&[Param::Int, Param::Any]),
        |args| {
            let items = items(&args[1], "Cannot chunk type ")?;
            let Some(size) = usize::try_from(super::int(args, 0))
                .ok()
                .filter(|size| *size > 0)
            else {
                return Err("runtime error: makeslice: len out of range".to_owned());
            };
            let chunks = items.chunks(size).map(|chunk| anys(chunk.to_vec()));
            let elem = Elem::Named("[]interface {}".into());
            Ok(Value::List(List::new(elem, chunks.collect())))
        },
    );
    functions.add_typed("sortAlpha", one, |args| {
        let mut texts = match &args[0] {
            value @ Value::List(_) => super::strings::strings_of(value)?,
            value => vec![stringified(value)?],
        };
        texts.sort();
        Ok(Value::List(List::strings(texts)))
    });
}

/// Adds a function and its `must` form, which differs only in how it fails in Go.
fn both<F>(functions: &mut Functions, name: &str, signature: Signature, call: F)
where
    F: Fn(&[Value]) -> Result<Value, String> + Send + Sync + Copy + 'static,
{
    functions.add_typed(name, signature, call);
    let mut must = "must".to_owned();
    must.push_str(&name[..1].to_uppercase());
    must.push_str(&name[1..]);
    functions.add_typed(&must, signature, call);
}

fn anys(items: Vec<Value>) -> Value {
    Value::List(List::any(items))
}

/// The items of a list; otherwise an error that ends in what there is instead.
fn items<'v>(value: &'v Value, problem: &str) -> Result<&'v [Value], String> {
    match value {
        Value::List(list) => Ok(list.items()),
        Value::Absent | Value::Nil => Err(NIL.to_owned()),
        value => Err(format!("{problem}{}", kind(value))),
    }
}

fn sliced(args: &[Value]) -> Result<Value, String> {
    let items = items(&args[0], "list should be type of slice or array but ")?;
    let Value::List(list) = &args[0] else {
        return Err(NIL.to_owned());
    };
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |i: usize, default: usize| match args.get(i) {
        Some(Value::Float(n)) => Some(*n as i64).and_then(|n| usize::try_from(n).ok()),
        Some(value) => usize::try_from(value.as_int().unwrap_or(0)).ok(),
        None => Some(default),
    };
    match (bound(1, 0), bound(2, items.len())) {
        (Some(from), Some(to)) if from <= to && to <= items.len() => Ok(Value::List(List::new(
            list.elem().clone(),
            items[from..to].to_vec(),
        ))),
        _ => Err("reflect.Value.Slice: slice index out of bounds".to_owned()),
    }
}

/// Go's `reflect.DeepEqual`: types count, so that the `int` 1 and the `float64` 1 differ.
///
/// # Errors
/// If there is too much to compare.
pub(super) fn deep_equal(left: &Value, right: &Value) -> Result<bool, String> {
    Budget::default().equal(left, right, 0)
}

/// How much more may be compared.
struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl Budget {
    fn has(&mut self, items: &[Value], wanted: &Value) -> Result<bool, String> {
        for item in items {
            if self.equal(item, wanted, 0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn equal(&mut self, left: &Value, right: &Value, depth: usize) -> Result<bool, String> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 || depth > MAX_NESTING {
            return Err("the values are too large to compare".to_owned());
        }
        Ok(match (left, right) {
            (Value::Absent | Value::Nil, Value::Absent | Value::Nil) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => {
                left == right
            }
            (Value::Uint(left), Value::Uint(right)) => left == right,
            (Value::Byte(left), Value::Byte(right)) => left == right,
            (Value::Float(left), Value::Float(right)) => left == right,
            (Value::String(left), Value::String(right)) => left == right,
            (Value::List(left), Value::List(right)) => {
                let (lefts, rights) = (left.items(), right.items());
                if left.elem() != right.elem() || lefts.len() != rights.len() {
                    return Ok(false);
                }
                for (left, right) in lefts.iter().zip(rights) {
                    if !self.equal(left, right, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(left), Value::Map(right)) => {
                let (lefts, rights) = (left.entries(), right.entries());
                if left.elem() != right.elem() || lefts.len() != rights.len() {
                    return Ok(false);
                }
                for ((left_key, left), (right_key, right)) in lefts.iter().zip(rights.iter()) {
                    if left_key != right_key || !self.equal(left, right, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(left), Value::Object(right)) => {
                std::sync::Arc::ptr_eq(left, right)
                    || left.type_name() == right.type_name() && left.json() == right.json()
            }
            _ => false,
        })
    }
}

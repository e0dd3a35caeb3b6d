//! Go's own functions.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::functions::{Functions, Param, Signature, Way};
use super::print::{self, LIMIT};
use super::value::{List, Value};

const RAW: Param = Param::Raw;

pub(super) fn add(functions: &mut Functions) {
    let one = Signature::of(&[RAW]);
    let two = Signature::of(&[RAW, RAW]);
    let some = Signature::and_more(&[RAW], RAW);
    let any = Signature::and_more(&[], Param::Any);
    functions.add_as("and", some, Way::And, |_| Ok(Value::Absent));
    functions.add_as("or", some, Way::Or, |_| Ok(Value::Absent));
    functions.add_typed("not", one, |args| Ok(Value::Bool(!args[0].is_truthy())));
    functions.add_typed("len", one, |args| length(&args[0]));
    functions.add_typed("index", some, |args| index(&args[0], &args[1..]));
    functions.add_typed("slice", some, |args| slice(&args[0], &args[1..]));
    functions.add_as("call", some, Way::Call, |args| call(&args[0]));
    functions.add_typed("eq", some, |args| {
        equal_to_any(&args[0], &args[1..]).map(Value::Bool)
    });
    functions.add_typed("ne", two, |args| {
        Ok(Value::Bool(!equal_to_any(&args[0], &args[1..])?))
    });
    functions.add_typed("lt", two, |args| Ok(Value::Bool(less(&args[0], &args[1])?)));
    functions.add_typed("le", two, |args| {
        Ok(Value::Bool(less_or_equal(&args[0], &args[1])?))
    });
    functions.add_typed("gt", two, |args| {
        Ok(Value::Bool(!less_or_equal(&args[0], &args[1])?))
    });
    functions.add_typed("ge", two, |args| {
        Ok(Value::Bool(!less(&args[0], &args[1])?))
    });
    functions.add_typed("print", any, |args| print::sprint(args).map(Value::from));
    functions.add_typed("println", any, |args| {
        print::sprintln(args).map(Value::from)
    });
    let format = Signature::and_more(&[Param::String], Param::Any);
    functions.add_typed("printf", format, |args| {
        let format = args[0].as_str().unwrap_or_default();
        print::sprintf(format, &args[1..]).map(Value::from)
    });
    functions.add_typed("html", any, |args| Ok(Value::from(html(&joined(args)?))));
    functions.add_typed("js", any, |args| Ok(Value::from(js(&joined(args)?))));
    functions.add_typed("urlquery", any, |args| {
        Ok(Value::from(query_escaped(&joined(args)?)))
    });
}

/// What `html`, `js` and `urlquery` escape.
fn joined(args: &[Value]) -> Result<String, String> {
    let args: Vec<Value> = args
        .iter()
        .map(|arg| match arg {
            Value::Absent | Value::Nil => Value::from("<no value>"),
            arg => arg.clone(),
        })
        .collect();
    print::sprint(&args)
}

/// No value of a template is a function. The error lacks the part of the template that was called.
fn call(function: &Value) -> Result<Value, String> {
    match function {
        Value::Absent | Value::Nil => Err("call of nil".to_owned()),
        value => Err(format!("of type {}", value.type_name())),
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value.plain() {
        Value::Absent => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        Value::Object(object) if object.is_nil() => return Err("len of nil pointer".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.entries().len(),
        _ => return Err(format!("len of type {}", value.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// The index into something of this length.
fn position(index: &Value, length: usize) -> Result<usize, String> {
    let index = index.plain();
    let Some(position) = index.as_int() else {
        return Err(match index {
            Value::Absent | Value::Nil => "cannot index slice/array with nil".to_owned(),
            index => format!("cannot index slice/array with type {}", index.type_name()),
        });
    };
    match usize::try_from(position) {
        Ok(at) if at <= length => Ok(at),
        _ => Err(format!("index out of range: {position}")),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    if let Value::Absent | Value::Nil = item {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = item.clone();
    for index in indexes {
        item = match item.plain() {
            Value::List(list) => {
                let at = position(index, list.items().len())?;
                let Some(found) = list.items().get(at) else {
                    return Err("reflect: slice index out of range".to_owned());
                };
                found.clone()
            }
            Value::String(text) => {
                let at = position(index, text.len())?;
                let Some(byte) = text.as_bytes().get(at) else {
                    return Err("reflect: string index out of range".to_owned());
                };
                Value::Byte(*byte)
            }
            Value::Map(map) => match index {
                Value::String(key) => map.get(key).unwrap_or_else(|| map.elem().zero()),
                Value::Absent | Value::Nil => {
                    return Err("value is nil; should be of type string".to_owned());
                }
                index => {
                    return Err(format!(
                        "value has type {}; should be string",
                        index.type_name()
                    ));
                }
            },
            value if value.is_nil() => return Err("index of nil pointer".to_owned()),
            value => return Err(format!("can't index item of type {}", value.type_name())),
        };
    }
    Ok(item)
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let item = item.plain();
    if let Value::Absent | Value::Nil = item {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match &item {
        Value::String(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        value if value.is_nil() => return Err("slice of nil pointer".to_owned()),
        value => return Err(format!("can't slice item of type {}", value.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, cap] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > cap {
        return Err(format!("invalid slice index: {to} > {cap}"));
    }
    Ok(match &item {
        Value::String(text) => {
            Value::from(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned())
        }
        Value::List(list) => Value::List(List::new(
            list.elem().clone(),
            list.items()[from..to].to_vec(),
        )),
        _ => item,
    })
}

fn bad_types(left: &Value, right: &Value) -> String {
    let (left, right) = (left.type_name(), right.type_name());
    format!("incompatible types for comparison: {left} and {right}")
}

/// What Go's comparisons tell apart. Integers of all sizes are one kind.
fn is_basic(value: &Value) -> bool {
    !matches!(
        value,
        Value::Absent | Value::Nil | Value::List(_) | Value::Map(_) | Value::Object(_)
    )
}

/// The order of two values of the same kind, signed and unsigned integers being alike; nothing if they are not.
fn order(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(Some(left.cmp(right))),
        (Value::Float(left), Value::Float(right)) => Some(left.partial_cmp(right)),
        (Value::String(left), Value::String(right)) => Some(Some(left.cmp(right))),
        _ => Some(Some(wide(left)?.cmp(&wide(right)?))),
    }
}

fn wide(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) | Value::Int64(n) => Some(i128::from(*n)),
        Value::Uint(n) => Some(i128::from(*n)),
        Value::Byte(n) => Some(i128::from(*n)),
        _ => None,
    }
}

fn equal_to_any(value: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    let left = value.plain();
    for other in others {
        let right = other.plain();
        let equal = if is_basic(&left) || is_basic(&right) {
            match order(&left, &right) {
                Some(order) => order == Some(Ordering::Equal),
                None if is_missing(&left) || is_missing(&right) => false,
                None => return Err(bad_types(value, other)),
            }
        } else {
            equal_compound(&left, &right)?
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_missing(value: &Value) -> bool {
    matches!(value, Value::Absent | Value::Nil)
}

fn equal_compound(left: &Value, right: &Value) -> Result<bool, String> {
    let alike = matches!(
        (left, right),
        (Value::Absent | Value::Nil, _)
            | (_, Value::Absent | Value::Nil)
            | (Value::List(_), Value::List(_))
            | (Value::Map(_), Value::Map(_))
            | (Value::Object(_), Value::Object(_))
    );
    if !alike {
        let (left_type, right_type) = (left.type_name(), right.type_name());
        let left = print::sprintf("%s", std::slice::from_ref(left))?;
        return Err(format!(
            "non-comparable types {left}: {left_type}, {right_type}: {right}"
        ));
    }
    if left.is_nil() || right.is_nil() {
        return Ok(left.is_nil() == right.is_nil());
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => Ok(std::sync::Arc::ptr_eq(left, right)),
        (_, right) => {
            let text = print::sprintf("%s", std::slice::from_ref(right))?;
            Err(format!("non-comparable type {text}: {}", right.type_name()))
        }
    }
}

fn less(left: &Value, right: &Value) -> Result<bool, String> {
    let (left_plain, right_plain) = (left.plain(), right.plain());
    if !is_basic(&left_plain) || !is_basic(&right_plain) {
        return Err("invalid type for comparison".to_owned());
    }
    match order(&left_plain, &right_plain) {
        None => Err(bad_types(left, right)),
        Some(_) if matches!(left_plain, Value::Bool(_)) => {
            Err("invalid type for comparison".to_owned())
        }
        Some(order) => Ok(order == Some(Ordering::Less)),
    }
}

fn less_or_equal(left: &Value, right: &Value) -> Result<bool, String> {
    Ok(less(left, right)? || equal_to_any(left, std::slice::from_ref(right))?)
}

pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..'\u{20}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c if c.is_ascii() || print::is_print(c) => out.push(c),
            c => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
        }
    }
    out
}

/// `url.QueryEscape`.
pub(super) fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Refuses a text that a function must not make.
pub(super) fn check_length(length: Option<usize>) -> Result<usize, String> {
    match length {
        Some(length) if length <= LIMIT => Ok(length),
        _ => Err(format!("the text exceeds {LIMIT} bytes")),
    }
}

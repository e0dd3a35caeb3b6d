//! JSON as Go's `encoding/json` writes it.

use std::fmt::Write as _;

use super::text;
use crate::template::functions::{Functions, Param, Signature};
use crate::template::print::{self, LIMIT};
use crate::template::value::{MAX_NESTING, Value};

pub(super) fn add(functions: &mut Functions) {
    let one = Signature::of(&[Param::Any]);
    for (name, indent, escape) in [
        ("toJson", false, true),
        ("mustToJson", false, true),
        ("toPrettyJson", true, true),
        ("mustToPrettyJson", true, true),
        ("toRawJson", false, false),
        ("mustToRawJson", false, false),
    ] {
        functions.add_typed(name, one, move |args| {
            let mut writer = Writer {
                out: String::new(),
                indent,
                escape,
            };
            match writer.value(&args[0], 0) {
                Ok(()) => Ok(Value::from(writer.out)),
                // What Go cannot encode is no text at all, unless the function must.
                Err(Problem::NoJson(_)) if !name.starts_with("must") && escape => {
                    Ok(Value::from(""))
                }
                Err(Problem::NoJson(problem) | Problem::TooLong(problem)) => Err(problem),
            }
        });
    }
    functions.add_typed("fromJson", Signature::of(&[Param::String]), |args| {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(text(args, 0));
        Ok(parsed.map_or(Value::Nil, Value::from))
    });
    functions.add_typed("mustFromJson", Signature::of(&[Param::String]), |args| {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(text(args, 0));
        parsed
            .map(Value::from)
            .map_err(|problem| problem.to_string())
    });
}

enum Problem {
    NoJson(String),
    TooLong(String),
}

struct Writer {
    out: String,
    indent: bool,
    /// Whether `<`, `>` and `&` are escaped.
    escape: bool,
}

impl Writer {
    fn line(&mut self, depth: usize) {
        if self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Problem> {
        if self.out.len() > LIMIT || depth > MAX_NESTING {
            return Err(Problem::TooLong(
                "the value is too large for JSON".to_owned(),
            ));
        }
        match value {
            Value::Absent | Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) | Value::Int64(n) => {
                let _ = write!(self.out, "{n}");
            }
            Value::Uint(n) => {
                let _ = write!(self.out, "{n}");
            }
            Value::Byte(n) => {
                let _ = write!(self.out, "{n}");
            }
            Value::Float(n) => match number(*n) {
                Some(text) => self.out.push_str(&text),
                None => return Err(Problem::NoJson(format!("json: unsupported value: {value}"))),
            },
            Value::String(text) => self.string(text),
            Value::List(list) => {
                let items = list.items().iter().map(|item| (None, item));
                self.sequence('[', ']', items, depth)?;
            }
            Value::Map(map) => {
                let entries = map.entries();
                let items = entries.iter().map(|(key, item)| (Some(&**key), item));
                self.sequence('{', '}', items, depth)?;
            }
            Value::Object(object) => {
                let plain = from_json(object.json());
                self.value(&plain, depth)?;
            }
        }
        Ok(())
    }

    fn sequence<'v>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value)>,
        depth: usize,
    ) -> Result<(), Problem> {
        self.out.push(open);
        let empty = items.len() == 0;
        for (i, (key, item)) in items.enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.line(depth + 1);
            if let Some(key) = key {
                self.string(key);
                self.out.push_str(if self.indent { ": " } else { ":" });
            }
            self.value(item, depth + 1)?;
        }
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '<' | '>' | '&' if !self.escape => self.out.push(c),
                '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// Whole numbers stay whole, unlike those that templates read from JSON.
fn from_json(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Number(n) if n.is_i64() => Value::Int64(n.as_i64().unwrap_or_default()),
        Json::Number(n) if n.is_u64() => Value::Uint(n.as_u64().unwrap_or_default()),
        Json::Array(items) => {
            let items = items.into_iter().map(from_json).collect();
            Value::List(crate::template::List::any(items))
        }
        Json::Object(entries) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| (key.into(), from_json(value)));
            Value::Map(crate::template::Map::any(entries.collect()))
        }
        json => Value::from(json),
    }
}

/// A number with an exponent only if it is very small or large; nothing if it is none.
fn number(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let size = number.abs();
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = print::format_float(size, 'e', None);
        return Some(format!("{sign}{}", text.replace("e-0", "e-")));
    }
    Some(format!("{sign}{}", print::format_float(size, 'f', None)))
}

//! YAML as the Kubernetes tools of Go read it (goyaml.v2): the scalars of YAML 1.1 (`yes` is true, `0644` is octal), later keys win,
//! merge keys and aliases hold. Templates and resources come from strangers, so that depth and expansion are bounded.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

const MAX_DEPTH: usize = 100;
const MAX_NODES: usize = 1_000_000;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct YamlError {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// The first document of a text; null if there is none.
pub(crate) fn read(text: &str) -> Result<Value, YamlError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            line: error.marker().line(),
            message: error.info().to_owned(),
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event).map_err(|message| YamlError {
            line: span.start.line(),
            message,
        })?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Value, usize)>,
    nodes: usize,
    root: Option<Value>,
}

enum Open {
    List {
        anchor: usize,
        items: Vec<Value>,
    },
    Map {
        anchor: usize,
        map: Map<String, Value>,
        merged: Vec<Value>,
        key: Option<Key>,
    },
}

enum Key {
    Name(String),
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.as_ref().map(|tag| tag.suffix.as_str());
                let value = if style == ScalarStyle::Plain && tagged != Some("str") {
                    if self.awaits_key() && text == "<<" {
                        return self.key(Key::Merge);
                    }
                    plain(&text)
                } else {
                    Value::String(text.into_owned())
                };
                self.add(value, anchor)
            }
            Event::SequenceStart(anchor, _) => self.push(Open::List {
                anchor,
                items: Vec::new(),
            }),
            Event::MappingStart(anchor, _) => self.push(Open::Map {
                anchor,
                map: Map::new(),
                merged: Vec::new(),
                key: None,
            }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { anchor, items }) => self.add(Value::Array(items), anchor),
                Some(Open::Map {
                    anchor,
                    mut map,
                    merged,
                    ..
                }) => {
                    for other in merged {
                        if let Value::Object(other) = other {
                            for (key, value) in other {
                                map.entry(key).or_insert(value);
                            }
                        }
                    }
                    self.add(Value::Object(map), anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some((value, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err("an alias names no anchor".to_owned());
                };
                self.count(nodes)?;
                self.add(value, 0)
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.awaits_key() {
            return Err("a key must be a scalar".to_owned());
        }
        self.open.push(open);
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err("aliases expand to too much".to_owned());
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn key(&mut self, new: Key) -> Result<(), String> {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
        Ok(())
    }

    fn add(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        self.count(1)?;
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), size(&value)));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map {
                map, merged, key, ..
            }) => match key.take() {
                None => {
                    *key = Some(Key::Name(match value {
                        Value::String(text) => text,
                        Value::Array(_) | Value::Object(_) => {
                            return Err("a key must be a scalar".to_owned());
                        }
                        other => other.to_string(),
                    }));
                }
                Some(Key::Merge) => match value {
                    Value::Array(items) => merged.extend(items),
                    other => merged.push(other),
                },
                Some(Key::Name(name)) => {
                    map.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// A plain scalar by the rules of goyaml.v2.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Value::String(text.to_owned());
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let digits = text.replace('_', "");
    let (sign, unsigned) = match digits.strip_prefix(['+', '-']) {
        Some(rest) => (if digits.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, digits.as_str()),
    };
    let radix = |prefix: &str, radix: u32| {
        let rest = unsigned.strip_prefix(prefix)?;
        i64::from_str_radix(rest, radix)
            .ok()
            .filter(|_| !rest.starts_with(['+', '-']))
    };
    let integer = radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| {
            let octal = unsigned.len() > 1 && unsigned.starts_with('0');
            octal.then(|| radix("0", 8)).flatten()
        });
    if let Some(integer) = integer {
        return Some(Number::from(sign * integer));
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) && !unsigned.is_empty() {
        let octal_like = unsigned.len() > 1 && unsigned.starts_with('0');
        if !octal_like {
            if let Ok(integer) = digits.trim_start_matches('+').parse::<i64>() {
                return Some(Number::from(integer));
            }
            if let Ok(integer) = unsigned.parse::<u64>()
                && sign == 1
            {
                return Some(Number::from(integer));
            }
        }
    }
    let float = |c: char| c.is_ascii_digit() || ".eE+-".contains(c);
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if starts && unsigned.chars().all(float) && unsigned.contains(|c: char| c.is_ascii_digit()) {
        return digits.parse::<f64>().ok().and_then(Number::from_f64);
    }
    None
}

/// A value as YAML, the keys of maps in order, as Kubernetes' tools write it.
pub(crate) fn write(value: &Value) -> Result<String, String> {
    serde_yaml::to_string(&crate::json::sorted(value)).map_err(|error| error.to_string())
}

/// A document of a text of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    /// The line at which it begins, from 1.
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// The documents between lines that begin with `---`.
pub(crate) fn documents(text: &str) -> Vec<Chunk<'_>> {
    let mut out = Vec::new();
    let (mut start, mut line, mut at) = (0, 1, 0);
    for (i, l) in text.split_inclusive('\n').enumerate() {
        let end = at + l.len();
        if let Some(rest) = l.strip_prefix("---") {
            out.push(Chunk {
                line,
                text: &text[start..at],
            });
            // What follows the dashes on their line belongs to the new document, unless it is a comment.
            let rest = rest.trim_start();
            (start, line) = if rest.is_empty() || rest.starts_with('#') {
                (end, i + 2)
            } else {
                (at + 3, i + 1)
            };
        }
        at = end;
    }
    out.push(Chunk {
        line,
        text: &text[start..],
    });
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Value) {
        assert_eq!(read(text), Ok(expected), "{text}");
    }

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        check(
            "a: yes\nb: 'yes'\nc: 0644\nd: 1.5\ne: 1e3\nf: 0x10",
            json!({"a": true, "b": "yes", "c": 420, "d": 1.5, "e": 1000.0, "f": 16}),
        );
        check(
            "a: 10.1.2.3\nb: 2000m\nc: 09\ne: .\nf: \"\"",
            json!({"a": "10.1.2.3", "b": "2000m", "c": 9.0, "e": ".", "f": ""}),
        );
        check("emptyDir:", json!({"emptyDir": null}));
        check("80: a", json!({"80": "a"}));
    }

    #[test]
    fn anchors_and_merge_keys_hold() {
        check(
            "base: &b {k: 1, l: 2}\nuse:\n  <<: *b\n  l: 3",
            json!({"base": {"k": 1, "l": 2}, "use": {"l": 3, "k": 1}}),
        );
        check("a: 1\na: 2", json!({"a": 2}));
    }

    #[test]
    fn bad_texts_have_a_line() {
        let error = read("a: 1\nb: [").unwrap_err();
        assert!(error.line >= 2, "{error}");
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]";
        assert_eq!(
            read(bomb).unwrap_err().message,
            "aliases expand to too much"
        );
        assert!(read(&"[".repeat(500)).is_err());
    }

    #[test]
    fn documents_are_split_at_dashes() {
        let found = documents("a: 1\n---\n# c\nb: 2\n--- # x\nc: 3\n");
        let lines: Vec<_> = found.iter().map(|d| (d.line, d.text)).collect();
        assert_eq!(lines, [(1, "a: 1\n"), (3, "# c\nb: 2\n"), (6, "c: 3\n")]);
    }
}

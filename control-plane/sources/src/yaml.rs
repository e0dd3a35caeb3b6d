//! A file's bytes → documents, each with the line it begins at; what cannot be read → problems with a line.
//!
//! The only place that knows a YAML library. Reading is stricter than YAML (no duplicate keys, no tags) and bounded
//! (size, nesting, expansion of aliases), since a file may be written by a stranger or half written. Documents are
//! split at lines that begin with `---` before anything is parsed, as kubectl does, so that one that does not parse
//! hides no other.

mod build;
mod place;
mod split;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::de::DeserializeSeed;
use serde_json::Value;

use build::{Budget, Node};

pub use place::line_of;

/// The largest file that is read. An object may not exceed 1.5 MB in Kubernetes (etcd's limit), so this is plenty.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// The deepest nesting that is read; deeper is refused before a parser sees it.
const MAX_DEPTH: usize = 100;

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Where in the text its document stands, for [`line_of`].
    pub range: Range<usize>,
    /// The line at which that document begins.
    pub line: u32,
    /// Where the object stands in its document: empty, or `items[3]` for an element of a List.
    pub root: String,
}

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, or 0 for the whole file.
    pub line: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// Its objects, in order. Lists are expanded; empty documents are left out.
    pub documents: Vec<Document>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// YAML documents between `---` lines.
    Yaml,
    /// JSON values, one after the other.
    Json,
}

/// Checks size and encoding.
pub fn decode(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes, more than the {MAX_FILE_BYTES} that are read; split it into several files",
            bytes.len()
        );
        return Err(Problem { line: 0, message });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = 1 + good.iter().filter(|b| **b == b'\n').count();
        let message = format!(
            "invalid UTF-8 (byte 0x{:02x}); save the file as UTF-8",
            bytes[good.len()]
        );
        Problem {
            line: line as u32,
            message,
        }
    })
}

/// Reads all documents of a text.
pub fn read(text: &str, syntax: Syntax) -> Contents {
    let chunks = match syntax {
        Syntax::Yaml => split::yaml(text),
        Syntax::Json => split::json(text),
    };
    let mut contents = Contents::default();
    for chunk in chunks {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(problem) => {
                contents.problems.push(problem);
                continue;
            }
        };
        match parse(&text[chunk.range.clone()], chunk.line, syntax) {
            Ok(Value::Null) => {}
            Ok(value) => expand(value, text, &chunk, &mut contents),
            Err(problem) => contents.problems.push(problem),
        }
    }
    contents
}

/// Reads a text that is one value, such as the mesh configuration inside a ConfigMap. `Null` when it is empty.
pub fn read_one(text: &str) -> Result<Value, Problem> {
    let mut contents = read(text, Syntax::Yaml);
    if let Some(problem) = contents.problems.into_iter().next() {
        return Err(problem);
    }
    match contents.documents.len() {
        0 => Ok(Value::Null),
        1 => Ok(contents.documents.remove(0).value),
        _ => Err(Problem {
            line: contents.documents[1].line,
            message: "a second document; write only one".to_owned(),
        }),
    }
}

/// Writes a value as YAML.
pub fn write(value: &Value) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(value)
}

fn parse(text: &str, line: u32, syntax: Syntax) -> Result<Value, Problem> {
    split::check_depth(text, line, MAX_DEPTH)?;
    let budget = Budget::for_text(text);
    let node = Node::new(&budget);
    let mut value = match syntax {
        Syntax::Yaml => node
            .deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| yaml_problem(&error, text, line))?,
        Syntax::Json => node
            .deserialize(&mut serde_json::Deserializer::from_str(text))
            .map_err(|error| json_problem(&error, line))?,
    };
    if syntax == Syntax::Yaml && text.contains("<<") {
        build::merge_keys(&mut value, &budget).map_err(|message| Problem { line, message })?;
    }
    Ok(value)
}

/// The parser counts lines from the beginning of the document; users count from the beginning of the file. What is
/// missing at the end is missing after the last line that says something.
fn yaml_problem(error: &serde_yaml::Error, text: &str, line: u32) -> Problem {
    let before = line - 1;
    let last = line + text.trim_end().matches('\n').count() as u32;
    let at = error.location().map_or(line, |l| before + l.line() as u32);
    Problem {
        line: at.min(last),
        message: shift_lines(&error.to_string(), before),
    }
}

pub(crate) fn json_problem(error: &serde_json::Error, line: u32) -> Problem {
    let before = line - 1;
    Problem {
        line: before + error.line().max(1) as u32,
        message: shift_lines(&error.to_string(), before),
    }
}

/// Adds `by` to every number that follows "line ".
fn shift_lines(message: &str, by: u32) -> String {
    let mut parts = message.split("line ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        out.push_str("line ");
        match part[..end].parse::<u32>() {
            Ok(line) => out.push_str(&(line.saturating_add(by)).to_string()),
            Err(_) => out.push_str(&part[..end]),
        }
        out.push_str(&part[end..]);
    }
    out
}

/// Adds an object, or the elements of a List (`kind: List`, `kind: ServiceList`).
fn expand(value: Value, text: &str, chunk: &split::Chunk, contents: &mut Contents) {
    let Value::Object(object) = &value else {
        let what = if value.is_array() {
            "a list"
        } else {
            "a value"
        };
        contents.problems.push(Problem {
            line: chunk.first_line,
            message: format!("{what}, not an object; a document begins with apiVersion and kind"),
        });
        return;
    };
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
    let items = object.get("items").and_then(Value::as_array);
    let (Some(of), Some(items)) = (kind.strip_suffix("List"), items) else {
        contents.documents.push(Document {
            value,
            range: chunk.range.clone(),
            line: chunk.line,
            root: String::new(),
        });
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let root = format!("items[{index}]");
        let Value::Object(fields) = item else {
            contents.problems.push(Problem {
                line: line_of(&text[chunk.range.clone()], chunk.line, &root),
                message: format!("{root} is not an object"),
            });
            continue;
        };
        let mut fields = fields.clone();
        // The elements of a typed list leave out what the list already says.
        if !of.is_empty() {
            fields.entry("kind").or_insert_with(|| of.into());
            if let Some(version) = object.get("apiVersion") {
                fields
                    .entry("apiVersion")
                    .or_insert_with(|| version.clone());
            }
        }
        contents.documents.push(Document {
            value: Value::Object(fields),
            range: chunk.range.clone(),
            line: chunk.line,
            root,
        });
    }
}

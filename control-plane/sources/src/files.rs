//! Objects from files: a directory of YAML and JSON, or one file.
//!
//! A file is read as a whole. While something in it cannot be read or used, the last good objects of that file stay:
//! a half-written file removes nothing. Later files (by path) win over earlier ones with the same object.

mod check;
mod scan;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;

use meltemi_model::diagnostic::Place;
use meltemi_model::{Diagnostic, Object, ObjectKey, Severity, Str};

use crate::lower::{LowerSettings, Lowered, anonymous, lower, lower_mesh, lower_networks};
use crate::yaml::{self, Document, Problem, Syntax};

use tree::Tree;

pub use crate::batch::Batch;
pub use check::{Located, Verdict, validate_bytes, yaml_files};
pub use watch::watch;

/// What a directory or file holds.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The objects.
    pub objects: BTreeMap<ObjectKey, Object>,
    /// What is to be said about them, in order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a directory (recursively) or a file.
pub fn load(path: &Path, settings: &LowerSettings) -> Loaded {
    let mut tree = Tree::new(path, settings);
    tree.refresh(&tree::Hints::default());
    let batch = tree.batch();
    Loaded {
        objects: batch
            .changes
            .into_iter()
            .filter_map(|(key, object)| Some((key, object?)))
            .collect(),
        diagnostics: batch.diagnostics,
    }
}

/// Reads a mesh configuration that stands alone (`--mesh-config FILE`).
pub fn load_mesh_config(
    path: &Path,
    settings: &LowerSettings,
) -> (Option<Object>, Vec<Diagnostic>) {
    load_alone(path, |value| lower_mesh(value, settings))
}

/// Reads networks that stand alone (`--networks-config FILE`).
pub fn load_networks(path: &Path) -> (Option<Object>, Vec<Diagnostic>) {
    load_alone(path, lower_networks)
}

/// Reads a file that holds one value without a kind.
fn load_alone(
    path: &Path,
    lower: impl FnOnce(&serde_json::Value) -> Lowered,
) -> (Option<Object>, Vec<Diagnostic>) {
    let file = Str::from(path.to_string_lossy());
    let problem = |problem: Problem| {
        let message = problem_diagnostic(problem.message);
        (None, vec![at_line(message, &file, problem.line)])
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            return problem(Problem {
                line: 0,
                message: format!("cannot be read: {error}"),
            });
        }
    };
    let text = match yaml::decode(&bytes) {
        Ok(text) => text,
        Err(found) => return problem(found),
    };
    let value = match yaml::read_one(text) {
        Ok(value) => value,
        Err(found) => return problem(found),
    };
    let lowered = lower(&value);
    let place = |d: Diagnostic| {
        let line = yaml::line_of(text, 1, &d.path);
        at_line(d, &file, line)
    };
    (
        lowered.object,
        lowered.diagnostics.into_iter().map(place).collect(),
    )
}

/// What a text holds, lowered.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Its objects with their lines, in order; the same object may be there twice.
    pub objects: Vec<(Object, u32)>,
    /// What is to be said, with places.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether everything in it could be read and used.
    pub complete: bool,
}

/// Lowers the objects of a file's bytes; `file` is its name for Diagnostics.
pub fn lower_bytes(file: &str, bytes: &[u8], settings: &LowerSettings) -> Text {
    let name = Str::from(file);
    let mut out = Text {
        complete: true,
        ..Text::default()
    };
    let text = match yaml::decode(bytes) {
        Ok(text) => text,
        Err(problem) => {
            out.complete = false;
            out.diagnostics.push(at_line(
                problem_diagnostic(problem.message),
                &name,
                problem.line,
            ));
            return out;
        }
    };
    let syntax = if file.ends_with(".json") {
        Syntax::Json
    } else {
        Syntax::Yaml
    };
    let contents = yaml::read(text, syntax);
    for problem in contents.problems {
        out.complete = false;
        out.diagnostics.push(at_line(
            problem_diagnostic(problem.message),
            &name,
            problem.line,
        ));
    }
    let mut looked_up = 0;
    for document in &contents.documents {
        lower_document(text, document, &name, settings, &mut looked_up, &mut out);
    }
    out.diagnostics
        .sort_by_key(|d| d.place.as_ref().map_or(0, |p| p.line));
    cut_short(&mut out.diagnostics, &name);
    out
}

/// The most that is said about one file; a file of a million wrong documents would bury everything else.
const MAX_DIAGNOSTICS: usize = 1_000;

fn cut_short(diagnostics: &mut Vec<Diagnostic>, file: &Str) {
    let more = diagnostics.len().saturating_sub(MAX_DIAGNOSTICS);
    if more > 0 {
        diagnostics.truncate(MAX_DIAGNOSTICS);
        let message = format!("{more} more errors and warnings in this file are not shown");
        diagnostics.push(at_line(anonymous(Severity::Warning, "", message), file, 0));
    }
}

/// How much text is read again for the lines of one file's Diagnostics. A List of thousands of objects, each with
/// something to say, has the line of the List instead.
const MAX_LOOKED_UP: usize = 64 << 20;

fn lower_document(
    text: &str,
    document: &Document,
    file: &Str,
    settings: &LowerSettings,
    looked_up: &mut usize,
    out: &mut Text,
) {
    let lowered = lower(&document.value, settings);
    let text = &text[document.range.clone()];
    let mut line = |path: &str| {
        let separator = if document.root.is_empty() { "" } else { "." };
        *looked_up += if separator.is_empty() && path == "kind" {
            0
        } else {
            text.len()
        };
        if *looked_up > MAX_LOOKED_UP {
            return document.line;
        }
        yaml::line_of(
            text,
            document.line,
            &format!("{}{separator}{path}", document.root),
        )
    };
    if let Some(object) = lowered.object {
        out.objects.push((object, line("kind")));
    }
    for diagnostic in lowered.diagnostics {
        if diagnostic.severity == Severity::Error {
            out.complete = false;
        }
        let path = match diagnostic.path.as_str() {
            "" => "kind",
            path => path,
        };
        let line = line(path);
        out.diagnostics.push(at_line(diagnostic, file, line));
    }
}

fn problem_diagnostic(message: String) -> Diagnostic {
    anonymous(Severity::Error, "", message)
}

fn at_line(mut diagnostic: Diagnostic, file: &Str, line: u32) -> Diagnostic {
    diagnostic.place = Some(Place {
        file: file.clone(),
        line,
    });
    diagnostic
}

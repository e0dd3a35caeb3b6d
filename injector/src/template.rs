//! Go's `text/template`, so that the injection templates of existing clusters work unchanged.
//!
//! [`Template::parse`] makes an immutable set of trees that any number of threads may execute. What a template can
//! see are [`Value`]s; structs and protos are [`Object`]s. The functions are Go's own, sprig's text functions and
//! whatever the caller adds ([`Functions`]).
//!
//! Errors have Go's words, places included. A template comes from a ConfigMap that other people than the mesh's
//! operators may be allowed to write, so that execution is bounded: nesting, steps, output and the memory that
//! functions take ([`Limits`]).
//!
//! Where this differs from Go: strings are Unicode text, so that bytes which are not become U+FFFD; complex numbers
//! are not read; the keys of maps are strings; a map cannot be put into itself.

mod builtin;
mod constant;
mod execute;
mod functions;
mod lex;
mod parse;
pub mod print;
mod sprig;
mod tree;
mod value;

use std::fmt;
use std::sync::Arc;

pub use execute::Limits;
pub use functions::{Call, Functions, Param, Signature};
pub use value::{Elem, Entries, List, MAX_NESTING, Map, Object, Value};

/// A parsed set of templates.
#[derive(Debug)]
pub struct Template {
    name: Arc<str>,
    text: Box<str>,
    trees: parse::Trees,
}

/// Why a template cannot be parsed or executed. It displays as Go words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The name that the text was parsed under.
    pub template: String,
    /// The line, from 1; 0 if the error is of no place.
    pub line: u32,
    /// What is wrong there.
    pub message: String,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl Template {
    /// Parses a text and the templates that it defines.
    ///
    /// # Errors
    /// `template: NAME:LINE: …`. A function that does not exist is such an error.
    pub fn parse(name: &str, text: &str, functions: &Functions) -> Result<Self, Error> {
        match parse::parse(name, text, functions) {
            Ok(trees) => Ok(Self {
                name: name.into(),
                text: text.into(),
                trees,
            }),
            Err(problem) => Err(Error {
                text: format!("template: {name}:{}: {}", problem.line, problem.message),
                template: name.to_owned(),
                line: problem.line,
                message: problem.message,
            }),
        }
    }

    /// The name that the text was parsed under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the templates of the set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(|name| &**name)
    }

    /// Executes the template.
    ///
    /// # Errors
    /// `template: NAME:LINE:COLUMN: executing "NAME" at <part>: …`
    pub fn execute(&self, data: &Value) -> Result<String, Error> {
        self.execute_within(&self.name, data, Limits::default())
    }

    /// Executes one of the templates that the text defines.
    ///
    /// # Errors
    /// As [`Template::execute`], and if there is no such template.
    pub fn execute_named(&self, name: &str, data: &Value) -> Result<String, Error> {
        self.execute_within(name, data, Limits::default())
    }

    /// Executes within other limits than the default ones.
    ///
    /// # Errors
    /// As [`Template::execute_named`].
    pub fn execute_within(
        &self,
        name: &str,
        data: &Value,
        limits: Limits,
    ) -> Result<String, Error> {
        execute::execute(self, name, data, limits)
    }

    /// An error of no place.
    fn error(&self, message: String) -> Error {
        Error {
            text: format!("template: {message}"),
            template: self.name.to_string(),
            line: 0,
            message,
        }
    }

    /// An error at a part of the tree that runs.
    fn error_at(&self, at: tree::At<'_>, running: &str, message: String) -> Error {
        let before = &self.text.as_bytes()[..at.pos().min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let column = before.len() - line_start;
        let running = print::quoted(running);
        Error {
            text: format!(
                "template: {}:{line}:{column}: executing {running} at <{at}>: {message}",
                self.name
            ),
            template: self.name.to_string(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            message,
        }
    }
}

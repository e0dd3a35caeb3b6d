//! What is found.

mod table;

pub(crate) use table::types;

use std::fmt;

use crate::Object;

pub use table::TYPES;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It does not work.
    Error,
    /// It probably does not work as meant.
    Warning,
    /// Good to know.
    Info,
}

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Info];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Info => "Info",
        })
    }
}

/// A kind of message. Istio 1.31: `messages.yaml`.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageType {
    /// `IST0101`.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Istio's name of it.
    pub name: &'static str,
    /// The text. `%s` stands for an argument, `%q` for one in quotes.
    pub template: &'static str,
}

/// A message about an object.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Its type.
    pub kind: &'static MessageType,
    /// The object it is about.
    pub object: &'a Object,
    /// The line it points to: of the object, or of the field that is wrong.
    pub line: u32,
    /// The text.
    pub text: String,
}

impl Message<'_> {
    /// `file:line`; without the line for a JSON file, and `None` for what stands in no file.
    pub fn reference(&self) -> Option<String> {
        match &*self.object.file {
            "" => None,
            file if self.line == 0 || file.ends_with(".json") => Some(file.to_owned()),
            file => Some(format!("{file}:{}", self.line)),
        }
    }
}

/// `Level [CODE] (Kind namespace/name file:line) text`.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageType { code, level, .. } = self.kind;
        write!(f, "{level} [{code}] ({}", self.object.origin())?;
        if let Some(reference) = self.reference() {
            write!(f, " {reference}")?;
        }
        write!(f, ") {}", self.text)
    }
}

/// Fills a template in. An argument too few leaves its place as it is, which the test of the table would find.
pub(crate) fn rendered(template: &str, args: &[&dyn fmt::Display]) -> String {
    let mut args = args.iter();
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("%s").into_iter().chain(rest.find("%q")).min() {
        out.push_str(&rest[..at]);
        let verb = &rest[at..at + 2];
        match args.next() {
            Some(arg) if verb == "%q" => out.push_str(&quoted(&arg.to_string())),
            Some(arg) => out.push_str(&arg.to_string()),
            None => out.push_str(verb),
        }
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out
}

/// A text as Go quotes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list as Go prints it: `[a b]`.
pub(crate) fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(" "))
}

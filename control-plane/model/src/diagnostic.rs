//! What is wrong with a user's object, said so that the user can mend it.

use std::fmt;

use crate::{ObjectKey, Str};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object, or the part of it that is named, is not used.
    Error,
    /// The object is used, but probably not as meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// A place in a file. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user named it.
    pub file: Str,
    /// The line, or 0 when only the file is known.
    pub line: u32,
}

/// One finding about one object: where, what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The object, when the document could be read that far.
    pub object: Option<ObjectKey>,
    /// The field, as `spec.http[0].timeout`; empty for the whole object.
    pub path: String,
    /// File and line, for objects that came from a file.
    pub place: Option<Place>,
    /// What is wrong and what to write instead; one sentence or two, no full stop needed.
    pub message: String,
}

/// A list of findings, in the order in which they were found.
pub type Diagnostics = Vec<Diagnostic>;

impl Diagnostic {
    /// An error at a field of an object.
    pub fn error(object: &ObjectKey, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, object, path, message)
    }

    /// A warning at a field of an object.
    pub fn warning(
        object: &ObjectKey,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, object, path, message)
    }

    /// Says that Meltemi read the field but does not act on it yet.
    pub fn not_supported_yet(object: &ObjectKey, path: impl Into<String>) -> Self {
        Self::new(
            Severity::Warning,
            object,
            path,
            "not supported yet: the field is read and ignored",
        )
    }

    fn new(
        severity: Severity,
        object: &ObjectKey,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            object: Some(object.clone()),
            path: path.into(),
            place: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `error: DIR/vs.yaml:12: VirtualService default/reviews: spec.http[0].timeout: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
            Severity::Info => "info: ",
        })?;
        if let Some(place) = &self.place {
            match place.line {
                0 => write!(f, "{}: ", place.file)?,
                line => write!(f, "{}:{line}: ", place.file)?,
            }
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_finding_tells_place_object_and_field() {
        let key = ObjectKey::new(Kind::VirtualService, "default", "reviews");
        let place = |line| {
            Some(Place {
                file: "vs.yaml".into(),
                line,
            })
        };
        let error = Diagnostic::error(&key, "spec.hosts[0]", "is empty");
        for (found, want) in [
            (
                error.clone(),
                "error: VirtualService default/reviews: spec.hosts[0]: is empty",
            ),
            (
                Diagnostic {
                    place: place(12),
                    ..error.clone()
                },
                "error: vs.yaml:12: VirtualService default/reviews: spec.hosts[0]: is empty",
            ),
            (
                Diagnostic {
                    place: place(0),
                    object: None,
                    path: String::new(),
                    ..error
                },
                "error: vs.yaml: is empty",
            ),
            (
                Diagnostic::not_supported_yet(&key, "spec.x"),
                "warning: VirtualService default/reviews: spec.x: not supported yet: the field is read and ignored",
            ),
            (
                Diagnostic::warning(&ObjectKey::new(Kind::Node, "", "n1"), "", "odd"),
                "warning: Node n1: odd",
            ),
        ] {
            assert_eq!(found.to_string(), want);
        }
    }
}

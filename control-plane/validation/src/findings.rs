//! What is found, and how findings are gathered.

use std::fmt;

/// The outcome of a rule about one value: what is wrong with it.
pub type Check = Result<(), String>;

/// One finding about one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The field, as `spec.http[0].timeout`; empty for the whole object.
    pub path: String,
    /// What is wrong and what to write instead, in Istio's words where tools match them.
    pub message: String,
}

/// What is found in one object, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why the object is refused.
    pub errors: Vec<Finding>,
    /// What is probably not as meant.
    pub warnings: Vec<Finding>,
}

impl Findings {
    /// Adds an error at a field.
    pub fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Finding {
            path: path.into(),
            message: message.into(),
        });
    }

    /// Adds a warning at a field.
    pub fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Finding {
            path: path.into(),
            message: message.into(),
        });
    }

    /// Adds an error at a field when a rule found one.
    pub fn check(&mut self, path: impl Into<String>, check: Check) {
        if let Err(message) = check {
            self.error(path, message);
        }
    }

    /// Adds everything that was found in a part.
    pub fn extend(&mut self, part: Findings) {
        self.errors.extend(part.errors);
        self.warnings.extend(part.warnings);
    }

    /// Adds the errors of a part. Istio 1.31 loses the warnings of some parts on the way up (`appendErrors`), so nobody
    /// ever sees them; that is kept, for the decision is part of what tools compare.
    pub fn extend_errors(&mut self, part: Findings) {
        self.errors.extend(part.errors);
    }

    /// Whether the object is accepted.
    pub fn is_accepted(&self) -> bool {
        self.errors.is_empty()
    }

    /// A refusal for one reason, which ends validation: what was found before is not told.
    pub(crate) fn only(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut findings = Self::default();
        findings.error(path, message);
        findings
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

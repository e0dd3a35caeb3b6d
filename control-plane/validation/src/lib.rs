//! What Istio's webhook says about an object: errors, for which it is refused, and warnings. Pure: the same object gives
//! the same findings, whoever asks (the webhook, `meltemi validate`, lowering, analysis).
//!
//! This crate must never know other objects, proxies, Envoy or the cluster.

use std::fmt;

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
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

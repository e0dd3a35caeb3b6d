//! What is found wrong while one object is lowered.

use serde::de::DeserializeOwned;
use serde_json::Value;

use meltemi_model::{Diagnostic, Diagnostics, ObjectKey};

/// The Diagnostics of one object.
#[derive(Debug)]
pub(super) struct Findings {
    key: ObjectKey,
    diagnostics: Diagnostics,
    unusable: bool,
}

impl Findings {
    pub(super) fn new(key: &ObjectKey) -> Self {
        Self {
            key: key.clone(),
            diagnostics: Vec::new(),
            unusable: false,
        }
    }

    /// Something for which the object is not used.
    pub(super) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.unusable = true;
        self.left_out(path, message);
    }

    /// Something for which a part of the object is not used; the rest is.
    pub(super) fn left_out(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(&self.key, path, message));
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::warning(&self.key, path, message));
    }

    pub(super) fn not_supported_yet(&mut self, path: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::not_supported_yet(&self.key, path));
    }

    /// Says that a field is none of those that there are.
    pub(super) fn unknown_field(&mut self, path: impl Into<String>) {
        self.warning(
            path,
            "unknown field: it is ignored; check its spelling and indentation",
        );
    }

    /// Reports the error of a check.
    pub(super) fn check(&mut self, path: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.error(path, message);
        }
    }

    /// Whether the object may be used.
    pub(super) fn is_usable(&self) -> bool {
        !self.unusable
    }

    pub(super) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }

    /// Reads the value at `root`; unknown fields are warnings.
    pub(super) fn parse<T: DeserializeOwned>(&mut self, root: &str, value: &Value) -> Option<T> {
        self.parse_but(root, value, |_| true)
    }

    /// Reads a part of the value at `root`: the fields that the type leaves out are somebody else's.
    pub(super) fn parse_part<T: DeserializeOwned>(
        &mut self,
        root: &str,
        value: &Value,
    ) -> Option<T> {
        self.parse_but(root, value, |_| false)
    }

    /// Reads the value at `root`; unknown fields are warnings where `warn` says so.
    pub(super) fn parse_but<T: DeserializeOwned>(
        &mut self,
        root: &str,
        value: &Value,
        warn: impl Fn(&str) -> bool,
    ) -> Option<T> {
        match meltemi_api::parse_at(root, value) {
            Ok(parsed) => {
                for path in parsed.unknown.into_iter().filter(|path| warn(path)) {
                    self.unknown_field(path);
                }
                Some(parsed.value)
            }
            Err(error) => {
                self.error(error.path, error.message);
                None
            }
        }
    }
}

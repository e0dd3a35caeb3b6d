//! What is found wrong while one object is lowered.

use serde::de::DeserializeOwned;
use serde_json::Value;

use meltemi_model::{Diagnostic, Diagnostics, ObjectKey, Severity};
use meltemi_validation::{Finding, Spec};

use super::meta::Raw;

/// The Diagnostics of one object.
#[derive(Debug)]
pub(super) struct Findings {
    key: ObjectKey,
    diagnostics: Diagnostics,
    unusable: bool,
    /// What validation says of the object.
    said: meltemi_validation::Findings,
}

impl Findings {
    pub(super) fn new(key: &ObjectKey) -> Self {
        Self {
            key: key.clone(),
            diagnostics: Vec::new(),
            unusable: false,
            said: meltemi_validation::Findings::default(),
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

    /// Joins what validation says to what lowering found, so that users read one sentence about each place.
    ///
    /// Lowering decides alone whether an object is used: istiod, too, serves what its webhook would refuse, once it is in the
    /// cluster. So what validation refuses in an object that is used is a warning here; where lowering has said what becomes
    /// of the field, only the refusal is added.
    pub(super) fn settle(&mut self) {
        let said = std::mem::take(&mut self.said);
        const REFUSED: &str = "; Istio's webhook refuses this";
        let is_used = self.is_usable();
        let told = |path: &str, list: &[Finding]| list.iter().any(|f| is_same_place(&f.path, path));
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        self.diagnostics.retain_mut(|own| {
            let refused = told(&own.path, &said.errors);
            match own.severity {
                _ if own.message.starts_with("not supported yet") => true,
                Severity::Error if refused => {
                    errors.push(own.path.clone());
                    false
                }
                Severity::Warning if refused && is_used => {
                    own.message.push_str(REFUSED);
                    warnings.push(own.path.clone());
                    true
                }
                Severity::Warning => !refused && !told(&own.path, &said.warnings),
                Severity::Error | Severity::Info => true,
            }
        });
        for finding in &said.errors {
            let own =
                |paths: &[String]| paths.iter().any(|path| is_same_place(path, &finding.path));
            if !is_used || own(&errors) {
                self.left_out(&finding.path, &finding.message);
            } else if !own(&warnings) {
                self.warning(&finding.path, format!("{}{REFUSED}", finding.message));
            }
        }
        // What is said of every object of a kind is for who writes one, not for who reads them again and again.
        let of_fields = said.warnings.iter().filter(|w| !w.path.is_empty());
        for finding in of_fields {
            self.warning(&finding.path, &finding.message);
        }
    }

    /// The same where nothing is used that validation refuses.
    pub(super) fn settle_refused(&mut self, said: meltemi_validation::Findings) {
        self.unusable |= !said.errors.is_empty();
        self.said = said;
        self.settle();
    }

    pub(super) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }

    /// Reads the specification of an object of Istio's, with what validation says of it.
    pub(super) fn spec<T: Spec>(&mut self, raw: &Raw<'_>) -> Option<T> {
        match meltemi_validation::read(raw.object()) {
            Ok((spec, said)) => {
                self.said = said;
                Some(spec)
            }
            Err(unreadable) => {
                self.error(unreadable.path, unreadable.message);
                None
            }
        }
    }

    /// Whether Istio's webhook would refuse the object.
    pub(super) fn is_refused(&self) -> bool {
        !self.said.is_accepted()
    }

    /// The first field that is none of those that there are.
    pub(super) fn unknown(&self) -> Option<String> {
        let mut warnings = self.said.warnings.iter();
        let unknown = warnings.find(|w| w.message.starts_with("unknown field"));
        unknown.map(|warning| warning.path.clone())
    }

    /// Has the object not used, for what validation says of it.
    pub(super) fn refuse(&mut self) {
        self.unusable = true;
    }

    /// Hears what validation says of an object of which lowering reads more than validation does.
    pub(super) fn hear(&mut self, raw: &Raw<'_>) {
        self.said = meltemi_validation::validate(raw.object());
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

/// Whether two findings are about the same field, or one about a part of the other's.
fn is_same_place(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // What is said about the whole specification says nothing about its fields.
    one == other || (one != "spec" && other != "spec" && (within(one, other) || within(other, one)))
}

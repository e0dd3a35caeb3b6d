//! Objects in files as Istio's webhook would see them: read and looked at, not lowered.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use meltemi_validation::{Finding, Outcome, review};
use serde_json::{Value, json};

use super::scan::scan;
use crate::yaml::{self, Document, Syntax};

/// One finding with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The file as the user named it.
    pub file: String,
    /// The line, or 0 when only the file is known.
    pub line: u32,
    /// `KIND NAMESPACE/NAME`; empty for what is no object.
    pub object: String,
    /// The field; empty for the whole object.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Located {
    /// `error: vs.yaml:12: VirtualService default/reviews: spec.http[0].timeout: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        for part in [&self.object, &self.path] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// What is said about the objects of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many objects have rules; the others are passed over.
    pub objects: usize,
    /// What was found, in order.
    pub findings: Vec<Located>,
}

impl Verdict {
    /// Whether nothing is refused.
    pub fn is_accepted(&self) -> bool {
        self.findings.iter().all(|found| found.severity != "error")
    }

    /// Adds the verdict on more files.
    pub fn extend(&mut self, more: Self) {
        self.objects += more.objects;
        self.findings.extend(more.findings);
    }
}

/// The files of YAML and JSON that a path stands for: itself, or what is below it.
pub fn yaml_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let found = scan(path);
    match found.unreadable.into_iter().next() {
        Some((path, why)) => Err(io::Error::other(format!(
            "{}: cannot be read: {why}",
            path.display()
        ))),
        None => Ok(found.files.into_keys().collect()),
    }
}

/// Looks at the objects of a file's bytes; `namespace` is that of objects that name none.
pub fn validate_bytes(file: &str, bytes: &[u8], namespace: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let unreadable = |line: u32, message: String| Located {
        severity: "error",
        file: file.to_owned(),
        line,
        object: String::new(),
        path: String::new(),
        message,
    };
    let text = match yaml::decode(bytes) {
        Ok(text) => text,
        Err(problem) => {
            let found = unreadable(problem.line, problem.message);
            verdict.findings.push(found);
            return verdict;
        }
    };
    let syntax = if file.ends_with(".json") {
        Syntax::Json
    } else {
        Syntax::Yaml
    };
    let contents = yaml::read(text, syntax);
    for problem in contents.problems {
        let found = unreadable(problem.line, problem.message);
        verdict.findings.push(found);
    }
    for document in &contents.documents {
        validate_document(file, text, document, namespace, &mut verdict);
    }
    verdict.findings.sort_by_key(|found| found.line);
    verdict
}

fn validate_document(
    file: &str,
    text: &str,
    document: &Document,
    default_namespace: &str,
    verdict: &mut Verdict,
) {
    let mut object = document.value.clone();
    if object["metadata"].is_object() && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!(default_namespace);
    }
    let found = match review(&object) {
        Outcome::Foreign => return,
        Outcome::UnknownKind | Outcome::Unreadable(_) | Outcome::Read(_) => {
            meltemi_validation::validate(&object)
        }
    };
    verdict.objects += 1;
    let name = name_of(&object);
    let mut add = |severity: &'static str, finding: &Finding| {
        let path = match &*finding.path {
            "" => "kind",
            path => path,
        };
        let separator = if document.root.is_empty() { "" } else { "." };
        let line = yaml::line_of(
            &text[document.range.clone()],
            document.line,
            &format!("{}{separator}{path}", document.root),
        );
        verdict.findings.push(Located {
            severity,
            file: file.to_owned(),
            line,
            object: name.clone(),
            path: finding.path.clone(),
            message: finding.message.clone(),
        });
    };
    for error in &found.errors {
        add("error", error);
    }
    for warning in &found.warnings {
        add("warning", warning);
    }
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let metadata = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_file_line_object_and_field() {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: networking.istio.io/v1\n\
                    kind: Sidecar\nmetadata: {name: s}\nspec:\n  workloadSelector: {}\n  egress:\n  - hosts:\n    - x/y\n";
        let verdict = validate_bytes("s.yaml", text.as_bytes(), "here");
        let said: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "warning: s.yaml:9: Sidecar here/s: spec.workloadSelector: sidecar: workload selector specified without labels, will be applied to all services in namespace",
                "error: s.yaml:12: Sidecar here/s: spec.egress[0].hosts[0]: short names (non FQDN) are not allowed",
            ]
        );
        assert_eq!((verdict.objects, verdict.is_accepted()), (1, false));
        let good = validate_bytes("x.json", b"{}", "here");
        assert!(good.is_accepted());
        assert!(!validate_bytes("x.yaml", b"a: [", "here").is_accepted());
    }
}

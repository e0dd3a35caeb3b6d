//! Label and field selectors.

use serde_json::Value;

use crate::status::Refusal;

/// What lists and watches are restricted to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Empty: all namespaces.
    pub(crate) namespace: String,
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

impl Selection {
    pub(crate) fn parse(namespace: &str, labels: &str, fields: &str) -> Result<Self, Refusal> {
        Ok(Self {
            namespace: namespace.to_owned(),
            labels: requirements(labels)?,
            fields: requirements(fields)?,
        })
    }

    pub(crate) fn holds(&self, object: &Value) -> bool {
        let label = |key: &str| {
            let labels = object.pointer("/metadata/labels")?;
            Some(labels.get(key)?.as_str()?.to_owned())
        };
        // A field that is absent counts as the empty string, as in Kubernetes.
        let field = |path: &str| {
            let found = path.split('.').try_fold(object, |at, name| at.get(name));
            let text = found.and_then(Value::as_str).unwrap_or_default();
            Some(text.to_owned())
        };
        let namespace = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str);
        (self.namespace.is_empty() || namespace == Some(self.namespace.as_str()))
            && self.labels.iter().all(|r| r.test.holds(label(&r.key)))
            && self.fields.iter().all(|r| r.test.holds(field(&r.key)))
    }
}

impl Test {
    fn holds(&self, value: Option<String>) -> bool {
        match (self, value) {
            (Self::In(values), Some(value)) => values.contains(&value),
            (Self::NotIn(values), Some(value)) => !values.contains(&value),
            (Self::Exists, found) => found.is_some(),
            (Self::Missing, found) => found.is_none(),
            (Self::In(_), None) => false,
            (Self::NotIn(_), None) => true,
        }
    }
}

fn requirements(text: &str) -> Result<Vec<Requirement>, Refusal> {
    split(text)
        .into_iter()
        .map(|part| {
            requirement(part)
                .ok_or_else(|| Refusal::new(400, format!("unable to parse requirement: {part}")))
        })
        .collect()
}

/// At commas, but not at those between parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let one = |key: &str, test: fn(Vec<String>) -> Test, value: &str| {
        Some(Requirement {
            key: key.trim().to_owned(),
            test: test(vec![value.trim().to_owned()]),
        })
    };
    let set = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((key, value)) = part.split_once("!=") {
        return one(key, Test::NotIn, value);
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return one(key, Test::In, value);
    }
    if let Some((key, values)) = part.split_once(" notin ") {
        return Some(Requirement {
            key: key.trim().to_owned(),
            test: Test::NotIn(set(values)?),
        });
    }
    if let Some((key, values)) = part.split_once(" in ") {
        return Some(Requirement {
            key: key.trim().to_owned(),
            test: Test::In(set(values)?),
        });
    }
    let (key, test) = match part.strip_prefix('!') {
        Some(key) => (key, Test::Missing),
        None => (part, Test::Exists),
    };
    (!key.is_empty()).then(|| Requirement {
        key: key.to_owned(),
        test,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selects_by_labels_and_fields() {
        let object = json!({
            "metadata": {"name": "a", "namespace": "n", "labels": {"app": "web", "tier": ""}},
            "type": "Opaque",
        });
        let cases = [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,tier", "", true),
            ("app!=web", "", false),
            ("other!=web", "", true),
            ("app in (web, api)", "", true),
            ("app notin (web,api),tier", "", false),
            ("!other", "", true),
            ("!app", "", false),
            ("other", "", false),
            ("", "metadata.name=a", true),
            ("", "metadata.name=a,metadata.namespace!=n", false),
            ("", "type=Opaque", true),
            ("", "spec.nodeName=", true),
        ];
        for (labels, fields, expected) in cases {
            let selection = Selection::parse("", labels, fields).unwrap();
            assert_eq!(selection.holds(&object), expected, "{labels} {fields}");
        }
        assert!(!Selection::parse("m", "", "").unwrap().holds(&object));
        assert_eq!(Selection::parse("", "a in b", "").unwrap_err().code, 400);
    }
}

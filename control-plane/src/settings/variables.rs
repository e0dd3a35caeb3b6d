//! Environment variables with istiod's names, read with their types.

use std::collections::BTreeMap;
use std::time::Duration;

use meltemi_api::Duration as GoDuration;
use meltemi_model::flag::parse_bool;

/// The environment as it was at the start.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

/// The environment may hold secrets that are none of ours: only names are shown.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A variable that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is {value:?}; write {instead}")]
pub struct Mistake {
    name: String,
    value: String,
    instead: &'static str,
}

impl Variables {
    /// These variables.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// All of them, for the injection templates' function `env`.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }

    /// A text; `None` when it is not set or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// A text with a default.
    pub fn text_or(&self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or(default).to_owned()
    }

    /// Whether a variable is set to nothing, which switches some things off.
    pub fn is_blank(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|value| value.trim().is_empty())
    }

    /// A list with commas; blanks and empty parts do not count.
    pub fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).unwrap_or_default().split(',');
        parts
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// A switch, in the spellings that Go reads.
    pub fn switch(&self, name: &str, default: bool) -> Result<bool, Mistake> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => parse_bool(text).ok_or_else(|| self.mistake(name, "true or false")),
        }
    }

    /// A number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Mistake> {
        self.text(name)
            .map(|value| value.parse().map_err(|_| self.mistake(name, "a number")))
            .transpose()
    }

    /// A span of time in Go's form.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Mistake> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        match parse_duration(value) {
            Some(duration) => Ok(Some(duration)),
            None => Err(self.mistake(name, "a span of time such as 30s, 10m or 24h")),
        }
    }

    fn mistake(&self, name: &str, instead: &'static str) -> Mistake {
        Mistake {
            name: name.to_owned(),
            value: self.text(name).unwrap_or_default().to_owned(),
            instead,
        }
    }
}

/// A span of time in Go's form (`1h30m`); negative ones are none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    GoDuration::parse(text).ok()?.to_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables::new(
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn variables_have_types() {
        let v = variables(&[
            ("ON", "True"),
            ("TTL", "1h30m"),
            ("LIST", "a, b,,c"),
            ("N", "7"),
            ("BLANK", ""),
        ]);
        assert_eq!(v.switch("ON", false), Ok(true));
        assert_eq!(v.switch("ABSENT", true), Ok(true));
        assert_eq!(v.duration("TTL"), Ok(Some(Duration::from_secs(5400))));
        assert_eq!(v.list("LIST"), ["a", "b", "c"]);
        assert_eq!(v.number("N"), Ok(Some(7_u32)));
        assert_eq!(v.text("BLANK"), None);
        assert!(v.is_blank("BLANK") && !v.is_blank("ABSENT"));
    }

    #[test]
    fn mistakes_name_the_variable_and_what_to_write() {
        let v = variables(&[("ON", "yes"), ("TTL", "5"), ("N", "x")]);
        let messages = [
            v.switch("ON", false).unwrap_err().to_string(),
            v.duration("TTL").unwrap_err().to_string(),
            v.number::<u32>("N").unwrap_err().to_string(),
        ];
        for (message, name) in messages.iter().zip(["ON", "TTL", "N"]) {
            assert!(
                message.contains(name) && message.contains("write"),
                "{message}"
            );
        }
    }

    #[test]
    fn values_are_not_shown() {
        let shown = format!("{:?}", variables(&[("TOKEN", "hunter2")]));
        assert!(
            shown.contains("TOKEN") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

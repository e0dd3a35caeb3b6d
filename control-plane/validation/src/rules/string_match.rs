//! How strings of requests are compared.

use meltemi_api::shared::StringMatch;

use super::regex::expression;
use crate::Check;

/// A comparison that Envoy takes: no empty prefix, a regular expression of RE2. Istio 1.31: `validateStringMatch`.
pub fn string_match(value: &StringMatch, field: &str) -> Check {
    if value.prefix.as_deref() == Some("") {
        return Err(format!(
            "{field:?}: prefix string match should not be empty"
        ));
    }
    regex_only(value, field)
}

/// A comparison whose prefix may be empty. Istio 1.31: `validateStringMatchRegexp`.
pub fn regex_only(value: &StringMatch, field: &str) -> Check {
    match value.regex.as_deref() {
        None => Ok(()),
        Some("") => Err(format!("{field:?}: regex string match should not be empty")),
        Some(regex) => expression(regex, field),
    }
}

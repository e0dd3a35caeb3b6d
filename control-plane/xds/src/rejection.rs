//! NACKs: which resource a client refused, and what it gets instead.

use std::sync::Arc;

use meltemi_model::{Resource, Version};

use crate::message::Delivery;

/// The name of a resource that is sent only to see whether the client takes it. That it does not is no mistake of
/// anybody's, and is not reported as one.
pub const TRIAL: &str = "meltemi-trial";

/// A resource that a client refused. This version is not sent to it again.
#[derive(Debug, Clone)]
pub(crate) struct Rejected {
    /// The refused version.
    pub(crate) version: Version,
    /// What the client had before, where something must be sent in its place.
    pub(crate) good: Option<Arc<Resource>>,
    /// Number of the response, when the client refused it as a whole and named no resource.
    pub(crate) group: Option<u64>,
}

impl Rejected {
    pub(crate) fn is_good(&self, resource: &Resource) -> bool {
        self.good
            .as_ref()
            .is_some_and(|good| good.version == resource.version)
    }
}

/// Only so much of an error message is searched for names.
const SEARCHED: usize = 64 * 1024;

/// The resources that an error message names. Envoy: "Error adding/updating cluster(s) <name>: <reason>, …"; it applies
/// the others of the same response. A message without names (a response that cannot be decoded) refuses all of it.
pub(crate) fn culprits<'a>(message: &str, resources: &'a [Delivery]) -> Vec<&'a Delivery> {
    let mut end = message.len().min(SEARCHED);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = &message[..end];
    resources
        .iter()
        .filter(|d| names(message, &d.resource.name))
        .collect()
}

/// Whether a message names a resource: the name as a whole word, perhaps followed by punctuation. So an error about
/// `outbound|80||a.b` does not accuse `outbound|80||a`.
fn names(message: &str, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    message.match_indices(name).any(|(at, _)| {
        let before = message[..at].chars().next_back();
        let after = message[at + name.len()..]
            .trim_start_matches([':', ',', ';', '.', ')', ']', '\'', '"']);
        let opens = before.is_none_or(|c| c.is_whitespace() || "('\"[,=:".contains(c));
        let closes = after.chars().next().is_none_or(char::is_whitespace);
        opens && closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_whole_words() {
        for (message, name, want) in [
            (
                "Error adding/updating cluster(s) a: bad, b: worse",
                "a",
                true,
            ),
            (
                "Error adding/updating cluster(s) a: bad, b: worse",
                "b",
                true,
            ),
            (
                "Error adding/updating cluster(s) outbound|80||a.b: bad",
                "outbound|80||a",
                false,
            ),
            (
                "Error adding/updating cluster(s) outbound|80||a.b: bad",
                "outbound|80||a.b",
                true,
            ),
            (
                "Error adding/updating listener(s) 0.0.0.0_80: no filter",
                "0.0.0.0_8",
                false,
            ),
            ("route 'a.b:80', port", "a.b:80", true),
            ("route a.b:8080 is bad", "a.b:80", false),
            ("nothing here", "", false),
            ("é a", "a", true),
        ] {
            assert_eq!(names(message, name), want, "{message} / {name}");
        }
    }
}

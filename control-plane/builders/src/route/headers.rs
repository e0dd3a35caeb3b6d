//! Header operations. Istio 1.31: `TranslateHeadersOperations`.

use meltemi_model::Str;
use meltemi_model::routing::{HeaderChange, HeaderOperations};

use super::wire::core;

/// Header operations in the parts that routes and weighted clusters both have.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) request_add: Vec<core::HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<core::HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
    /// A new authority: Envoy cannot set `host` as a header, only rewrite it.
    pub(super) authority: Option<String>,
}

impl Headers {
    /// Appends the operations of `other`.
    pub(super) fn extend(&mut self, other: Headers) {
        self.request_add.extend(other.request_add);
        self.request_remove.extend(other.request_remove);
        self.response_add.extend(other.response_add);
        self.response_remove.extend(other.response_remove);
    }
}

/// The messages of header operations.
pub(super) fn headers(operations: &HeaderOperations) -> Headers {
    let HeaderOperations { request, response } = operations;
    let authority = |list: &[(Str, Str)]| {
        list.iter()
            .rev()
            .find(|(name, value)| is_authority(name) && !value.is_empty())
            .map(|(_, v)| v.to_string())
    };
    Headers {
        request_add: additions(request),
        request_remove: removals(request),
        response_add: additions(response),
        response_remove: removals(response),
        authority: authority(&request.set).or_else(|| authority(&request.add)),
    }
}

fn additions(change: &HeaderChange) -> Vec<core::HeaderValueOption> {
    use core::header_value_option::HeaderAppendAction;
    let set = change
        .set
        .iter()
        .map(|header| (header, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = change
        .add
        .iter()
        .map(|header| (header, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add)
        .filter(|((name, _), _)| !is_internal(name))
        .map(|((name, value), action)| core::HeaderValueOption {
            header: Some(core::HeaderValue {
                key: name.to_string(),
                value: value.to_string(),
                ..Default::default()
            }),
            append_action: action as i32,
            ..Default::default()
        })
        .collect()
}

fn removals(change: &HeaderChange) -> Vec<String> {
    change
        .remove
        .iter()
        .filter(|name| !is_internal(name))
        .map(ToString::to_string)
        .collect()
}

/// Pseudo headers, which Envoy refuses to change.
fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

//! How text is compared.

use meltemi_model::Str;
use meltemi_model::security::TextMatch;

use super::pb;

use pb::matcher::value_matcher::MatchPattern as ValuePattern;
use pb::matcher::{
    ListMatcher, MetadataMatcher, OrMatcher, PathMatcher, StringMatcher, ValueMatcher,
    list_matcher, metadata_matcher, path_matcher,
};
use pb::route::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};

/// Any text but the empty one.
pub(super) const ANYTHING: &str = ".+";

/// A text with a wildcard before or after it.
pub(super) fn text(wanted: &TextMatch) -> StringMatcher {
    match wanted {
        TextMatch::Any => regex(ANYTHING.to_owned()),
        TextMatch::Exact(text) => pb::string_exact(text.to_string()),
        TextMatch::Prefix(text) => pb::string_prefix(text.to_string()),
        TextMatch::Suffix(text) => pb::string_suffix(text.to_string()),
    }
}

/// A regular expression for the whole text.
pub(super) fn regex(regex: String) -> StringMatcher {
    pb::string_regex(regex)
}

/// The text itself in a regular expression. Go: `regexp.QuoteMeta`.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An identity as policies spell it, without `spiffe://`.
pub(super) fn principal(text: &str) -> StringMatcher {
    const SPIFFE: &str = "spiffe://";
    match TextMatch::parse(text) {
        TextMatch::Any => regex(ANYTHING.to_owned()),
        TextMatch::Suffix(rest) => regex(format!("{SPIFFE}.*{}", quoted(&rest))),
        TextMatch::Prefix(start) => pb::string_prefix(format!("{SPIFFE}{start}")),
        TextMatch::Exact(text) => pb::string_exact(format!("{SPIFFE}{text}")),
    }
}

/// A header; `*` asks for its presence.
pub(super) fn header(name: &str, wanted: &TextMatch, ignore_case: bool) -> HeaderMatcher {
    let specifier = match wanted {
        TextMatch::Any => HeaderMatchSpecifier::PresentMatch(true),
        wanted => HeaderMatchSpecifier::StringMatch(StringMatcher {
            ignore_case,
            ..text(wanted)
        }),
    };
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

/// A path without its query.
pub(super) fn path(wanted: &TextMatch) -> PathMatcher {
    PathMatcher {
        rule: Some(path_matcher::Rule::Path(text(wanted))),
    }
}

/// A value that is the text.
pub(super) fn value(matcher: StringMatcher) -> ValueMatcher {
    value_matcher(ValuePattern::StringMatch(matcher))
}

/// A list with an element that matches.
pub(super) fn list_with(element: ValueMatcher) -> ValueMatcher {
    let pattern = list_matcher::MatchPattern::OneOf(Box::new(element));
    value_matcher(ValuePattern::ListMatch(Box::new(ListMatcher {
        match_pattern: Some(pattern),
    })))
}

/// A value that any of these matches.
pub(super) fn any_of(mut matchers: Vec<ValueMatcher>) -> ValueMatcher {
    if matchers.len() == 1 {
        return matchers.swap_remove(0);
    }
    value_matcher(ValuePattern::OrMatch(OrMatcher {
        value_matchers: matchers,
    }))
}

fn value_matcher(pattern: ValuePattern) -> ValueMatcher {
    ValueMatcher {
        match_pattern: Some(pattern),
    }
}

/// Dynamic metadata of a filter, at a path.
pub(super) fn metadata<'a>(
    filter: &str,
    path: impl IntoIterator<Item = &'a str>,
    value: ValueMatcher,
) -> MetadataMatcher {
    let segment = |key: &str| metadata_matcher::PathSegment {
        segment: Some(metadata_matcher::path_segment::Segment::Key(key.to_owned())),
    };
    MetadataMatcher {
        filter: filter.to_owned(),
        path: path.into_iter().map(segment).collect(),
        value: Some(value),
        ..Default::default()
    }
}

/// A claim of the request's token.
pub(super) fn claim(path: &[Str], value: ValueMatcher) -> MetadataMatcher {
    const JWT: &str = "envoy.filters.http.jwt_authn";
    let path = path.iter().map(|name| &**name);
    metadata(JWT, std::iter::once("payload").chain(path), value)
}

//! Matchers of strings, headers, query parameters and metadata; fractions and weights.

// Envoy still takes the old forms of header matchers.
#![allow(deprecated)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use meltemi_proto::envoy::config::core::v3::RuntimeFractionalPercent;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher};
use meltemi_proto::envoy::r#type::matcher::v3::metadata_matcher::path_segment::Segment;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meltemi_proto::envoy::r#type::matcher::v3::{
    MetadataMatcher, StringMatcher, ValueMatcher, double_matcher, list_matcher, value_matcher,
};
use meltemi_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use meltemi_proto::google::protobuf::{Struct, Value, value::Kind};
use regex::{Regex, RegexBuilder};

use crate::metadata::text;

/// Memory that one expression may take compiled; beyond it counts as one that matches nothing.
const REGEX_LIMIT: usize = 1 << 20;
/// Nesting of value matchers that is followed.
const DEEPEST: usize = 100;

/// Expressions that are kept compiled; a proxy's resources have few different ones.
const KEPT: usize = 200;

thread_local! {
    /// Compiling takes a thousand times as long as matching, and call after call meets the same expressions.
    static COMPILED: RefCell<BTreeMap<String, Option<Regex>>> = const { RefCell::new(BTreeMap::new()) };
}

/// An expression in RE2's syntax that must match the whole text. One that cannot be compiled is none.
pub(crate) fn full(pattern: &str) -> Option<Regex> {
    COMPILED.with_borrow_mut(|kept| {
        if let Some(regex) = kept.get(pattern) {
            return regex.clone();
        }
        let regex = compiled(&format!(r"\A(?:{pattern})\z"));
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), regex.clone());
        regex
    })
}

/// An expression that may match anywhere.
pub(crate) fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_LIMIT)
        .build()
        .ok()
}

/// Whether the whole text matches.
pub(crate) fn regex_matches(pattern: &str, value: &str) -> bool {
    full(pattern).is_some_and(|regex| regex.is_match(value))
}

/// Whether a string matches. Envoy: `ignore_case` has no effect on expressions.
pub(crate) fn string(matcher: &StringMatcher, value: &str) -> bool {
    let fold = |text: &str| match matcher.ignore_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(wanted)) => fold(value) == fold(wanted),
        Some(MatchPattern::Prefix(wanted)) => fold(value).starts_with(&fold(wanted)),
        Some(MatchPattern::Suffix(wanted)) => fold(value).ends_with(&fold(wanted)),
        Some(MatchPattern::Contains(wanted)) => fold(value).contains(&fold(wanted)),
        Some(MatchPattern::SafeRegex(regex)) => regex_matches(&regex.regex, value),
        Some(MatchPattern::Custom(_)) | None => false,
    }
}

/// A string matcher for readers: `= x`, `prefix x`, …
pub(crate) fn shown_string(matcher: &StringMatcher) -> String {
    let text = match &matcher.match_pattern {
        Some(MatchPattern::Exact(wanted)) => format!("= {wanted}"),
        Some(MatchPattern::Prefix(wanted)) => format!("begins with {wanted}"),
        Some(MatchPattern::Suffix(wanted)) => format!("ends with {wanted}"),
        Some(MatchPattern::Contains(wanted)) => format!("contains {wanted}"),
        Some(MatchPattern::SafeRegex(regex)) => format!("matches {}", regex.regex),
        Some(MatchPattern::Custom(custom)) => format!("fulfils {}", custom.name),
        None => "matches nothing".to_owned(),
    };
    if matcher.ignore_case {
        text + " in any case"
    } else {
        text
    }
}

/// Whether a header matches. `value` is the values of the header joined with commas, none when the header is absent.
/// Envoy: an absent header matches nothing, also inverted, unless it is asked for presence or counts as empty.
pub(crate) fn header(matcher: &HeaderMatcher, value: Option<&str>) -> bool {
    let specifier = match &matcher.header_match_specifier {
        None => return value.is_some() != matcher.invert_match,
        Some(HeaderMatchSpecifier::PresentMatch(present)) => {
            // Envoy: an absent header that counts as empty is there.
            let there = value.is_some() || matcher.treat_missing_header_as_empty;
            return (there == *present) != matcher.invert_match;
        }
        Some(specifier) => specifier,
    };
    let value = match value {
        Some(value) => value,
        None if matcher.treat_missing_header_as_empty => "",
        None => return false,
    };
    let matched = match specifier {
        HeaderMatchSpecifier::ExactMatch(wanted) => wanted.is_empty() || value == wanted,
        HeaderMatchSpecifier::SafeRegexMatch(regex) => regex_matches(&regex.regex, value),
        HeaderMatchSpecifier::RangeMatch(range) => value
            .parse()
            .is_ok_and(|number: i64| (range.start..range.end).contains(&number)),
        HeaderMatchSpecifier::PresentMatch(_) => true,
        HeaderMatchSpecifier::PrefixMatch(wanted) => value.starts_with(wanted.as_str()),
        HeaderMatchSpecifier::SuffixMatch(wanted) => value.ends_with(wanted.as_str()),
        HeaderMatchSpecifier::ContainsMatch(wanted) => value.contains(wanted.as_str()),
        HeaderMatchSpecifier::StringMatch(matcher) => string(matcher, value),
    };
    matched != matcher.invert_match
}

/// A header matcher for readers.
pub(crate) fn shown_header(matcher: &HeaderMatcher) -> String {
    let condition = match &matcher.header_match_specifier {
        None | Some(HeaderMatchSpecifier::PresentMatch(true)) => "is present".to_owned(),
        Some(HeaderMatchSpecifier::PresentMatch(false)) => "is absent".to_owned(),
        Some(HeaderMatchSpecifier::ExactMatch(wanted)) => format!("= {wanted}"),
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => format!("matches {}", regex.regex),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => {
            format!("is from {} to below {}", range.start, range.end)
        }
        Some(HeaderMatchSpecifier::PrefixMatch(wanted)) => format!("begins with {wanted}"),
        Some(HeaderMatchSpecifier::SuffixMatch(wanted)) => format!("ends with {wanted}"),
        Some(HeaderMatchSpecifier::ContainsMatch(wanted)) => format!("contains {wanted}"),
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => shown_string(matcher),
    };
    let not = if matcher.invert_match { "not: " } else { "" };
    format!("{not}header {} {condition}", matcher.name)
}

/// Whether a query parameter matches; `value` is its first one. Envoy: values are compared as they are written, without decoding.
pub(crate) fn query(matcher: &QueryParameterMatcher, value: Option<&str>) -> bool {
    match &matcher.query_parameter_match_specifier {
        None => value.is_some(),
        Some(QueryParameterMatchSpecifier::PresentMatch(present)) => value.is_some() == *present,
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            value.is_some_and(|value| string(matcher, value))
        }
    }
}

/// A matcher of a query parameter for readers.
pub(crate) fn shown_query(matcher: &QueryParameterMatcher) -> String {
    let condition = match &matcher.query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => "is present".to_owned(),
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => "is absent".to_owned(),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => shown_string(matcher),
    };
    format!("query parameter {} {condition}", matcher.name)
}

/// Whether dynamic metadata of the request matches.
pub(crate) fn dynamic_metadata(
    matcher: &MetadataMatcher,
    metadata: &BTreeMap<String, Struct>,
) -> bool {
    let mut at = None;
    let mut fields = metadata.get(&matcher.filter);
    for segment in &matcher.path {
        let Some(Segment::Key(key)) = &segment.segment else {
            return matcher.invert;
        };
        at = fields.and_then(|fields| fields.fields.get(key));
        fields = match at.and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(inner)) => Some(inner),
            _ => None,
        };
    }
    let matched = match &matcher.value {
        Some(wanted) => value(wanted, at, 0),
        None => false,
    };
    matched != matcher.invert
}

fn value(matcher: &ValueMatcher, is: Option<&Value>, depth: usize) -> bool {
    use value_matcher::MatchPattern as Pattern;
    let kind = is.and_then(|value| value.kind.as_ref());
    match &matcher.match_pattern {
        _ if depth > DEEPEST => false,
        Some(Pattern::NullMatch(_)) => matches!(kind, Some(Kind::NullValue(_))),
        Some(Pattern::DoubleMatch(matcher)) => match (kind, &matcher.match_pattern) {
            (Some(Kind::NumberValue(n)), Some(double_matcher::MatchPattern::Range(range))) => {
                (range.start..range.end).contains(n)
            }
            (Some(Kind::NumberValue(n)), Some(double_matcher::MatchPattern::Exact(wanted))) => {
                n == wanted
            }
            _ => false,
        },
        Some(Pattern::StringMatch(matcher)) => {
            is.and_then(text).is_some_and(|text| string(matcher, text))
        }
        Some(Pattern::BoolMatch(wanted)) => kind == Some(&Kind::BoolValue(*wanted)),
        Some(Pattern::PresentMatch(present)) => kind.is_some() == *present,
        Some(Pattern::ListMatch(list)) => match (kind, &list.match_pattern) {
            (Some(Kind::ListValue(values)), Some(list_matcher::MatchPattern::OneOf(one))) => {
                let mut values = values.values.iter();
                values.any(|is| value(one, Some(is), depth + 1))
            }
            _ => false,
        },
        Some(Pattern::OrMatch(or)) => {
            let mut matchers = or.value_matchers.iter();
            matchers.any(|matcher| value(matcher, is, depth + 1))
        }
        None => false,
    }
}

/// A metadata matcher for readers.
pub(crate) fn shown_metadata(matcher: &MetadataMatcher) -> String {
    let path: Vec<&str> = matcher
        .path
        .iter()
        .filter_map(|segment| segment.segment.as_ref())
        .map(|Segment::Key(key)| key.as_str())
        .collect();
    let not = if matcher.invert { "not: " } else { "" };
    format!(
        "{not}metadata {} of {} matches",
        path.join("."),
        matcher.filter
    )
}

/// Millionths of a fraction; all without one.
pub(crate) fn millionths(fraction: Option<&RuntimeFractionalPercent>) -> u32 {
    let Some(fraction) = fraction else {
        return 1_000_000;
    };
    let Some(percent) = &fraction.default_value else {
        return 1_000_000;
    };
    millionths_of(percent)
}

/// Millionths of a percentage.
pub(crate) fn millionths_of(percent: &FractionalPercent) -> u32 {
    let scale = 1_000_000 / denominator(percent);
    percent.numerator.saturating_mul(scale).min(1_000_000)
}

fn denominator(percent: &FractionalPercent) -> u32 {
    match DenominatorType::try_from(percent.denominator) {
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        _ => 100,
    }
}

/// Whether a fraction takes a request. Envoy: the random number modulo the denominator is below the numerator.
pub(crate) fn taken(fraction: Option<&RuntimeFractionalPercent>, random: u64) -> bool {
    match fraction.and_then(|fraction| fraction.default_value.as_ref()) {
        Some(percent) => taken_of(percent, random),
        None => true,
    }
}

/// Whether a percentage takes a request.
pub(crate) fn taken_of(percent: &FractionalPercent, random: u64) -> bool {
    random % u64::from(denominator(percent)) < u64::from(percent.numerator)
}

/// The place of the weight on which the random number falls; none when all weights are 0.
pub(crate) fn weighted(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut left = random.checked_rem(total)?;
    for (at, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if left < weight {
            return Some(at);
        }
        left -= weight;
    }
    None
}

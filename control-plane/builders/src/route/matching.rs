//! Conditions of HTTP routes. Istio 1.31: `TranslateRouteMatch`.

use meltemi_model::routing::{HttpMatch, StringMatch};

use super::default::everything;
use super::rule::Semantics;
use super::wire::{boolean, matcher, regex, rt, string_matcher};

/// The header name with which a condition means a claim of the request's token rather than a header.
const CLAIMS: &str = "@request.auth.claims";
/// Where Envoy's JWT filter leaves the claims.
const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";

/// Whether every request meets the condition. Istio 1.31: `IsCatchAllRoute`.
pub fn is_catch_all(condition: Option<&HttpMatch>) -> bool {
    let Some(condition) = condition else {
        return true;
    };
    let path = match &condition.uri {
        None => true,
        Some(StringMatch::Prefix(prefix)) => &**prefix == "/",
        Some(StringMatch::Regex(regex)) => &**regex == ".*",
        Some(StringMatch::Exact(_)) => false,
    };
    path && condition.headers.is_empty()
        && condition.without_headers.is_empty()
        && condition.query_params.is_empty()
        && condition.method.is_none()
        && condition.authority.is_none()
        && condition.scheme.is_none()
}

/// The message of a condition; `None`: everything.
pub(super) fn route_match(condition: Option<&HttpMatch>, semantics: Semantics) -> rt::RouteMatch {
    let Some(condition) = condition else {
        return everything();
    };
    let mut headers = Vec::new();
    let mut dynamic_metadata = Vec::new();
    let wanted = condition.headers.iter().map(|h| (h, false));
    let unwanted = condition.without_headers.iter().map(|h| (h, true));
    for ((name, value), invert) in wanted.chain(unwanted) {
        match claims(name) {
            Some(claims) => dynamic_metadata.push(claim_matcher(&claims, value.as_ref(), invert)),
            None => headers.push(rt::HeaderMatcher {
                invert_match: invert,
                // An absent header is not the unwanted value. Envoy refuses the flag on a presence match.
                treat_missing_header_as_empty: invert && !is_presence(value.as_ref()),
                ..header(name, value.as_ref())
            }),
        }
    }
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    let pseudo = [
        (":method", &condition.method),
        (":authority", &condition.authority),
        (":scheme", &condition.scheme),
    ];
    headers.extend(
        pseudo
            .into_iter()
            .filter_map(|(name, value)| Some(header(name, Some(value.as_ref()?)))),
    );
    rt::RouteMatch {
        path_specifier: Some(path(condition, semantics)),
        case_sensitive: Some(boolean(!condition.ignore_uri_case)),
        headers,
        query_parameters: condition
            .query_params
            .iter()
            .map(|(name, value)| query(name, value.as_ref()))
            .collect(),
        dynamic_metadata,
        ..Default::default()
    }
}

fn path(condition: &HttpMatch, semantics: Semantics) -> rt::route_match::PathSpecifier {
    use rt::route_match::PathSpecifier;
    match &condition.uri {
        None => PathSpecifier::Prefix("/".to_owned()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.to_string()),
        Some(StringMatch::Regex(pattern)) => PathSpecifier::SafeRegex(regex(pattern)),
        Some(StringMatch::Prefix(prefix)) if semantics.path_elements() && &**prefix != "/" => {
            PathSpecifier::PathSeparatedPrefix(
                prefix.strip_suffix('/').unwrap_or(prefix).to_owned(),
            )
        }
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.to_string()),
    }
}

/// Whether only presence is asked for. `*` is no RE2 expression; Istio reads it as "any value".
fn is_presence(value: Option<&StringMatch>) -> bool {
    match value {
        None => true,
        Some(StringMatch::Regex(pattern)) => &**pattern == "*",
        Some(StringMatch::Exact(_) | StringMatch::Prefix(_)) => false,
    }
}

fn header(name: &str, value: Option<&StringMatch>) -> rt::HeaderMatcher {
    use rt::header_matcher::HeaderMatchSpecifier;
    let specifier = match value {
        Some(value) if !is_presence(Some(value)) => {
            HeaderMatchSpecifier::StringMatch(string_matcher(value))
        }
        _ => HeaderMatchSpecifier::PresentMatch(true),
    };
    rt::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

fn query(name: &str, value: Option<&StringMatch>) -> rt::QueryParameterMatcher {
    use rt::query_parameter_matcher::QueryParameterMatchSpecifier;
    let specifier = match value {
        Some(value) if !is_presence(Some(value)) => {
            QueryParameterMatchSpecifier::StringMatch(string_matcher(value))
        }
        _ => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    rt::QueryParameterMatcher {
        name: name.to_owned(),
        query_parameter_match_specifier: Some(specifier),
    }
}

/// The claims of `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`. Istio 1.31: `jwt.ToRoutingClaim`.
fn claims(name: &str) -> Option<Vec<&str>> {
    let (prefix, rest) = name.split_at_checked(CLAIMS.len())?;
    if !prefix.eq_ignore_ascii_case(CLAIMS) || rest.len() < 2 {
        return None;
    }
    if let Some(dotted) = rest.strip_prefix('.') {
        return Some(dotted.split('.').collect());
    }
    Some(
        rest.strip_prefix('[')?
            .strip_suffix(']')?
            .split("][")
            .collect(),
    )
}

/// A claim may be a string or a list of strings.
fn claim_matcher(
    claims: &[&str],
    value: Option<&StringMatch>,
    invert: bool,
) -> matcher::MetadataMatcher {
    use matcher::value_matcher::MatchPattern;
    let key = |key: &str| matcher::metadata_matcher::PathSegment {
        segment: Some(matcher::metadata_matcher::path_segment::Segment::Key(
            key.to_owned(),
        )),
    };
    let plain = match value {
        Some(value) => MatchPattern::StringMatch(string_matcher(value)),
        None => MatchPattern::PresentMatch(true),
    };
    let plain = matcher::ValueMatcher {
        match_pattern: Some(plain),
    };
    let one_of = matcher::list_matcher::MatchPattern::OneOf(Box::new(plain.clone()));
    let list = MatchPattern::ListMatch(Box::new(matcher::ListMatcher {
        match_pattern: Some(one_of),
    }));
    let either = vec![
        matcher::ValueMatcher {
            match_pattern: Some(list),
        },
        plain,
    ];
    matcher::MetadataMatcher {
        filter: JWT_FILTER.to_owned(),
        path: std::iter::once("payload")
            .chain(claims.iter().copied())
            .map(key)
            .collect(),
        value: Some(matcher::ValueMatcher {
            match_pattern: Some(MatchPattern::OrMatch(matcher::OrMatcher {
                value_matchers: either,
            })),
        }),
        invert,
    }
}

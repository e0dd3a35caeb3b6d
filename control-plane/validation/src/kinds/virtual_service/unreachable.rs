//! Routes and conditions that no request ever comes to, since an earlier one takes it.
//! Istio 1.31: `analyzeUnreachableHTTPRules` and its twins.

use std::collections::BTreeMap;

use meltemi_api::shared::StringMatch;
use meltemi_api::virtual_service::{HttpMatchRequest, HttpRoute};

use crate::Findings;

/// HTTP routes: what is the same as before, and prefixes that an earlier prefix covers.
pub(super) fn http(found: &mut Findings, routes: &[HttpRoute]) {
    let nameless = |condition: &HttpMatchRequest| HttpMatchRequest {
        name: String::new(),
        ..condition.clone()
    };
    let matches: Vec<Vec<HttpMatchRequest>> = routes
        .iter()
        .map(|route| route.r#match.iter().map(nameless).collect())
        .collect();
    let route_name = |i: usize| quoted(&routes[i].name, i);
    let match_name = |i: usize, j: usize| quoted(&routes[i].r#match[j].name, j);
    let lists = matches.iter().map(Vec::as_slice);
    let first = same(found, "spec.http", lists, route_name, match_name);
    let prefixes: Vec<Prefix<'_>> = first
        .into_iter()
        .filter_map(|(i, j)| Prefix::of(&routes[i].r#match[j], i, j))
        .collect();
    for (n, one) in prefixes.iter().enumerate() {
        for other in &prefixes[n + 1..] {
            if one.prefix == other.prefix || !one.covers(other) {
                continue;
            }
            let covered = format!(
                "{} of prefix {}",
                match_name(other.route, other.index),
                other.prefix
            );
            let by = format!(
                "{} of prefix {} on {}",
                match_name(one.route, one.index),
                one.prefix,
                route_name(one.route)
            );
            let at = format!("spec.http[{}].match[{}]", other.route, other.index);
            ineffective(found, at, &route_name(other.route), &covered, &by);
        }
    }
}

/// TCP or TLS routes, which have no names.
pub(super) fn l4<'a, M: PartialEq + 'a>(
    found: &mut Findings,
    at: &str,
    lists: impl Iterator<Item = &'a [M]>,
) {
    same(
        found,
        at,
        lists,
        |i| format!("#{i}"),
        |_, j| format!("#{j}"),
    );
}

/// Reports conditions that were there before, and answers which were not: route and index of each.
fn same<'a, M: PartialEq + 'a>(
    found: &mut Findings,
    at: &str,
    lists: impl Iterator<Item = &'a [M]>,
    route_name: impl Fn(usize) -> String,
    match_name: impl Fn(usize, usize) -> String,
) -> Vec<(usize, usize)> {
    let mut seen: Vec<(&M, usize)> = Vec::new();
    let mut first = Vec::new();
    let mut open = false;
    let unused = |found: &mut Findings, i: usize, reason: &str| {
        let message = format!("virtualService rule {} not used ({reason})", route_name(i));
        found.warning(format!("{at}[{i}]"), message);
    };
    for (i, matches) in lists.enumerate() {
        if matches.is_empty() {
            if open {
                unused(found, i, "only the last rule can have no matches");
            }
            open = true;
            continue;
        }
        let mut duplicates = 0;
        for (j, condition) in matches.iter().enumerate() {
            if open {
                unused(found, i, "route without matches defined before");
                continue;
            }
            match seen.iter().find(|(before, _)| *before == condition) {
                Some((_, before)) => {
                    let at = format!("{at}[{i}].match[{j}]");
                    let names = (route_name(i), match_name(i, j), route_name(*before));
                    ineffective(found, at, &names.0, &names.1, &names.2);
                    duplicates += 1;
                }
                None => {
                    seen.push((condition, i));
                    first.push((i, j));
                }
            }
        }
        if duplicates == matches.len() {
            unused(found, i, "all matches used by prior rules");
        }
    }
    first
}

fn ineffective(found: &mut Findings, at: String, route: &str, condition: &str, by: &str) {
    found.warning(
        at,
        format!(
            "virtualService rule {route} match {condition} is not used (duplicate/overlapping match in rule {by})"
        ),
    );
}

fn quoted(name: &str, index: usize) -> String {
    if name.is_empty() {
        format!("#{index}")
    } else {
        format!("{name:?}")
    }
}

/// A condition on the beginning of the path, and what else it asks for. Each comparison is kept as one text, whose
/// beginnings are compared; expressions count as nothing.
struct Prefix<'a> {
    route: usize,
    index: usize,
    prefix: &'a str,
    port: u32,
    texts: [String; 2],
    maps: [BTreeMap<&'a str, String>; 3],
}

impl<'a> Prefix<'a> {
    fn of(condition: &'a HttpMatchRequest, route: usize, index: usize) -> Option<Self> {
        let prefix = condition.uri.as_ref()?.prefix.as_deref()?;
        if prefix.is_empty() {
            return None;
        }
        let mut method = text(condition.method.as_ref());
        if method.is_empty() {
            method = "exact:GET".to_owned();
        }
        let map = |map: &'a BTreeMap<String, StringMatch>| {
            map.iter()
                .map(|(key, value)| (key.as_str(), text(Some(value))))
                .collect()
        };
        Some(Self {
            route,
            index,
            prefix,
            port: condition.port,
            texts: [method, text(condition.authority.as_ref())],
            maps: [
                map(&condition.headers),
                map(&condition.query_params),
                map(&condition.without_headers),
            ],
        })
    }

    /// Whether a later one gets nothing that this one leaves. Istio 1.31: `coveredValidation`.
    fn covers(&self, other: &Self) -> bool {
        let covers = |(one, other): (&String, &String)| one.starts_with(other.as_str());
        other.prefix.starts_with(self.prefix)
            && other.port == self.port
            && self.texts.iter().zip(&other.texts).all(covers)
            && self.maps.iter().zip(&other.maps).all(|(one, other)| {
                one.len() == other.len()
                    && one.iter().all(|(key, value)| {
                        other.get(key).is_some_and(|other| covers((value, other)))
                    })
            })
    }
}

fn text(value: Option<&StringMatch>) -> String {
    let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let Some(value) = value else {
        return String::new();
    };
    match (of(&value.exact), of(&value.prefix)) {
        (Some(exact), _) => format!("exact:{exact}"),
        (None, Some(prefix)) => format!("prefix:{prefix}"),
        (None, None) => String::new(),
    }
}

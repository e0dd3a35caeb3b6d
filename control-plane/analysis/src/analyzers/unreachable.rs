//! Rules of a VirtualService that no request reaches, and matches that an earlier one covers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::analyze::Found;
use crate::message::{quoted, types};
use crate::object::{list, map, number, text};

pub(super) fn run<'a>(service: &'a Object, found: &mut Found<'a>) {
    for protocol in ["http", "tcp", "tls"] {
        let rules = service.list(&format!("/spec/{protocol}"));
        let prefixes = shadowed(service, protocol, rules, found);
        if protocol == "http" {
            overlapping(service, &prefixes, found);
        }
    }
}

/// Names exist in HTTP only.
fn name_of(value: &Value, protocol: &str, index: usize) -> String {
    match text(value, "/name") {
        "" => format!("#{index}"),
        _ if protocol != "http" => format!("#{index}"),
        name => quoted(name),
    }
}

/// Reports what comes after a rule without matches or is there twice; the prefixes of the rest.
fn shadowed<'a>(
    service: &'a Object,
    protocol: &str,
    rules: &'a [Value],
    found: &mut Found<'a>,
) -> Vec<Prefix<'a>> {
    let mut seen: Vec<(Value, usize)> = Vec::new();
    let mut prefixes = Vec::new();
    let mut takes_all = false;
    for (i, rule) in rules.iter().enumerate() {
        let name = name_of(rule, protocol, i);
        let unreachable = |reason: &str, found: &mut Found<'a>| {
            let kind = &types::VIRTUAL_SERVICE_UNREACHABLE_RULE;
            found.add(kind, service, "", &[&name, &reason]);
        };
        let matches = list(rule, "/match");
        if matches.is_empty() {
            if takes_all {
                unreachable("only the last rule can have no matches", found);
            }
            takes_all = true;
            continue;
        }
        let mut twice = 0;
        for (j, wanted) in matches.iter().enumerate() {
            if takes_all {
                unreachable("route without matches defined before", found);
                continue;
            }
            let own = name_of(wanted, protocol, j);
            let content = without_name(wanted);
            if let Some((_, earlier)) = seen.iter().find(|(other, _)| *other == content) {
                twice += 1;
                let earlier = name_of(&rules[*earlier], protocol, *earlier);
                let kind = &types::VIRTUAL_SERVICE_INEFFECTIVE_MATCH;
                found.add(kind, service, "", &[&name, &own, &earlier]);
                continue;
            }
            seen.push((content, i));
            prefixes.extend(Prefix::new(wanted, &name, own));
        }
        if twice == matches.len() {
            unreachable("all matches used by prior rules", found);
        }
    }
    prefixes
}

fn without_name(wanted: &Value) -> Value {
    let mut content = wanted.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("name");
        // A field that is empty is one that is not there.
        fields.retain(|_, value| !value.is_null());
    }
    content
}

/// A match by the prefix of the path, with all else that it asks for.
#[derive(Debug)]
struct Prefix<'a> {
    rule: String,
    own: String,
    prefix: &'a str,
    port: i64,
    method: String,
    authority: String,
    maps: [BTreeMap<&'a str, String>; 3],
}

impl<'a> Prefix<'a> {
    fn new(wanted: &'a Value, rule: &str, own: String) -> Option<Self> {
        let prefix = text(wanted, "/uri/prefix");
        let maps = ["headers", "queryParams", "withoutHeaders"].map(|field| {
            let fields = wanted.get(field).and_then(Value::as_object);
            let fields = fields.into_iter().flatten();
            fields.map(|(k, v)| (k.as_str(), string_match(v))).collect()
        });
        let method = wanted.get("method").map(string_match).unwrap_or_default();
        (!prefix.is_empty()).then(|| Self {
            rule: rule.to_owned(),
            own,
            prefix,
            port: number(wanted, "/port"),
            // Istio 1.31 takes a match without a method for one of GET.
            method: if method.is_empty() {
                "exact GET".to_owned()
            } else {
                method
            },
            authority: wanted
                .get("authority")
                .map(string_match)
                .unwrap_or_default(),
            maps,
        })
    }

    /// Whether it takes whatever `later` would. Istio 1.31: `coveredValidation`.
    fn covers(&self, later: &Self) -> bool {
        later.prefix.starts_with(self.prefix)
            && later.port == self.port
            && self.method.starts_with(&later.method)
            && self.authority.starts_with(&later.authority)
            && self.maps.iter().zip(&later.maps).all(|(own, later)| {
                own.len() == later.len()
                    && own.iter().all(|(key, value)| {
                        later.get(key).is_some_and(|later| value.starts_with(later))
                    })
            })
    }
}

fn string_match(value: &Value) -> String {
    let fields = map(value, "");
    let of = |how: &str| fields.get(how).filter(|text| !text.is_empty());
    match (of("exact"), of("prefix")) {
        (Some(exact), _) => format!("exact {exact}"),
        (None, Some(prefix)) => format!("prefix {prefix}"),
        (None, None) => String::new(),
    }
}

fn overlapping<'a>(service: &'a Object, prefixes: &[Prefix<'a>], found: &mut Found<'a>) {
    for (i, earlier) in prefixes.iter().enumerate() {
        for later in &prefixes[i + 1..] {
            if later.prefix == earlier.prefix || !earlier.covers(later) {
                continue;
            }
            let own = format!("{} of prefix {}", later.own, later.prefix);
            let by = format!(
                "{} of prefix {} on {}",
                earlier.own, earlier.prefix, earlier.rule
            );
            let kind = &types::VIRTUAL_SERVICE_INEFFECTIVE_MATCH;
            found.add(kind, service, "", &[&later.rule, &own, &by]);
        }
    }
}

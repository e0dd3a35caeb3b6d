//! The normal form of a resource: what does not count according to the corpus's README is put into one spelling.
//!
//! Both sides come as proto JSON without defaults, so a value that is written out (`false`, `"0s"`, `{}`) stands for
//! the presence of a wrapper, a duration or an empty message, and stays.

use serde_json::{Map, Value};

/// How the elements of a list are told apart, by the list's field name; `None`: their order counts.
pub(super) fn key_of_unordered(
    field: &str,
    parent: Option<&str>,
    element: &Value,
) -> Option<String> {
    match field {
        "virtual_hosts" => Some(text(element, "name")),
        "domains" => element.as_str().map(str::to_owned),
        "filter_chains" => {
            let matches = element
                .get("filter_chain_match")
                .map(chain_match)
                .unwrap_or_default();
            Some(if matches.is_empty() {
                "any".to_owned()
            } else {
                matches
            })
        }
        "clusters" if parent == Some("weighted_clusters") => Some(text(element, "name")),
        "endpoints" => element.is_object().then(|| locality(element)),
        "lb_endpoints" => Some(address(element)),
        "match_subject_alt_names" | "match_typed_subject_alt_names" | "verify_subject_alt_name" => {
            Some(element.to_string())
        }
        _ => None,
    }
}

/// The name of an element of an ordered list, for alignment and for paths.
pub(super) fn name_of_ordered(element: &Value) -> Option<&str> {
    element
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
}

fn text(element: &Value, field: &str) -> String {
    element
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A filter chain match in one line: `port 80 tls [sni] [alpn] 10.0.0.0/8`.
fn chain_match(matches: &Value) -> String {
    let mut parts = Vec::new();
    let mut rest = matches.as_object().cloned().unwrap_or_default();
    if let Some(port) = rest.remove("destination_port") {
        parts.push(format!("port {port}"));
    }
    if let Some(Value::String(protocol)) = rest.remove("transport_protocol") {
        parts.push(protocol);
    }
    for field in ["server_names", "application_protocols"] {
        if let Some(Value::Array(items)) = rest.remove(field) {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            parts.push(items.join(","));
        }
    }
    if let Some(Value::Array(ranges)) = rest.remove("prefix_ranges") {
        for range in ranges {
            let length = range
                .get("prefix_len")
                .map(Value::to_string)
                .unwrap_or_default();
            parts.push(format!("{}/{length}", text(&range, "address_prefix")));
        }
    }
    if !rest.is_empty() {
        parts.push(Value::Object(rest).to_string());
    }
    parts.join(" ")
}

fn locality(group: &Value) -> String {
    let mut key = String::new();
    if let Some(locality) = group.get("locality") {
        key = ["region", "zone", "sub_zone"]
            .map(|field| text(locality, field))
            .join("/");
        // An empty locality is another message than none, but means the same place.
        key.truncate(key.trim_end_matches('/').len());
    }
    if let Some(priority) = group.get("priority") {
        key.push_str(&format!(" priority {priority}"));
    }
    key
}

fn address(endpoint: &Value) -> String {
    let Some(address) = endpoint.pointer("/endpoint/address") else {
        return endpoint.to_string();
    };
    if let Some(socket) = address.get("socket_address") {
        let port = socket
            .get("port_value")
            .map(Value::to_string)
            .unwrap_or_default();
        return format!("{}:{port}", text(socket, "address"));
    }
    if let Some(pipe) = address.pointer("/pipe/path").and_then(Value::as_str) {
        return pipe.to_owned();
    }
    address.to_string()
}

/// Puts a resource into its normal form.
pub fn normal_form(value: &Value) -> Value {
    let mut value = value.clone();
    normalise(&mut value, "", None);
    value
}

fn normalise(value: &mut Value, field: &str, parent: Option<&str>) {
    match value {
        Value::Object(fields) => normalise_object(fields, field),
        Value::Array(items) => {
            for item in items.iter_mut() {
                normalise(item, field, parent);
            }
            let keyed = items
                .iter()
                .all(|item| key_of_unordered(field, parent, item).is_some());
            if keyed {
                items.sort_by_cached_key(|item| {
                    (key_of_unordered(field, parent, item), item.to_string())
                });
            }
        }
        Value::String(text) => {
            if let Some(plain) = plain_duration(text) {
                *text = plain;
            }
        }
        Value::Number(number) => {
            // 100.0 and 100 are the same number.
            if let Some(float) = number.as_f64()
                && float.fract() == 0.0
                && float.abs() < 9.0e15
            {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
                let whole = float as i64;
                *number = whole.into();
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn normalise_object(fields: &mut Map<String, Value>, own_field: &str) {
    fields.retain(|_, value| {
        !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
    });
    for (field, value) in fields.iter_mut() {
        normalise(value, field, Some(own_field));
    }
}

/// `"300.000s"` → `"300s"`, `"0.500s"` → `"0.5s"`; `None` when it is no duration or already plain.
fn plain_duration(text: &str) -> Option<String> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let plain = if fraction.is_empty() {
        format!("{whole}s")
    } else {
        format!("{whole}.{fraction}s")
    };
    (plain != text).then_some(plain)
}

/// Whether a load assignment has any endpoint; one without counts as absent.
pub fn has_endpoints(assignment: &Value) -> bool {
    let groups = assignment.get("endpoints").and_then(Value::as_array);
    groups.into_iter().flatten().any(|group| {
        group
            .get("lb_endpoints")
            .and_then(Value::as_array)
            .is_some_and(|endpoints| !endpoints.is_empty())
    })
}

/// Two scalars that stand for the same value: 64-bit integers are strings in proto JSON, plain numbers elsewhere; a
/// 32-bit float may be written with the digits of a 64-bit one.
pub(super) fn same_scalar(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(number), Value::String(text))
        | (Value::String(text), Value::Number(number)) => number.to_string() == *text,
        (Value::Number(our), Value::Number(their)) if our.is_f64() && their.is_f64() => {
            let narrow = |number: &serde_json::Number| number.as_f64().map(|wide| wide as f32);
            narrow(our) == narrow(their)
        }
        _ => ours == theirs,
    }
}

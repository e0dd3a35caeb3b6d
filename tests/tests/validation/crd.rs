//! Objects that the API server checks by our definitions before the webhook sees them. The schema is evaluated here but for
//! CEL; what only CEL refuses must be refused by the webhook, too, or stand in `expected-differences.txt`.

use std::collections::BTreeMap;

use meltemi_validation::validate;
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{corpus, files, load};

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    valid: bool,
    object: Value,
}

/// As many exceptions as `tests/validation/expected-differences.txt` holds; the number only falls.
const MOST_EXPECTED: usize = 2;

/// Name of the case → why it differs.
fn expected() -> BTreeMap<&'static str, &'static str> {
    let text = include_str!("../../validation/expected-differences.txt");
    let lines = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").expect("a line is `CASE: REASON`"))
        .collect()
}

/// The schema of an object's version.
fn schema(object: &Value) -> Value {
    let (group, version) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    let definitions = meltemi_api::crd::definitions();
    let definition = definitions.iter().find(|definition| {
        definition["spec"]["group"] == group
            && definition["spec"]["names"]["kind"] == object["kind"]
    });
    let versions = &definition.expect("the kind is ours")["spec"]["versions"];
    let of_version = |v: &&Value| v["name"] == version;
    let found = versions.as_array().unwrap().iter().find(of_version);
    found.expect("the version is served")["schema"]["openAPIV3Schema"].clone()
}

/// What a structural schema refuses (OpenAPI 3 as Kubernetes reads it, without CEL).
fn refusals(at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let mut refuse = |why: &str| found.push(format!("{at}: {why}"));
    if value.is_null() {
        if schema["nullable"] != true {
            refuse("null");
        }
        return;
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => schema["x-kubernetes-int-or-string"] != true || value.is_string() || value.is_i64(),
    };
    if !fits {
        return refuse("wrong type");
    }
    if let Some(known) = schema["enum"].as_array()
        && !known.contains(value)
    {
        refuse("unsupported value");
    }
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    for (name, wrong) in [
        ("minLength", usize::lt as fn(&usize, &usize) -> bool),
        ("maxLength", usize::gt),
        ("minItems", usize::lt),
        ("maxItems", usize::gt),
        ("minProperties", usize::lt),
        ("maxProperties", usize::gt),
    ] {
        if schema[name]
            .as_u64()
            .is_some_and(|bound| wrong(&size, &(bound as usize)))
        {
            refuse(name);
        }
    }
    let below = |least: &Value, number| least.as_f64().is_some_and(|least| number < least);
    let above = |most: &Value, number| most.as_f64().is_some_and(|most| number > most);
    if let Some(number) = value.as_f64()
        && (below(&schema["minimum"], number) || above(&schema["maximum"], number))
    {
        refuse("out of range");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        refuse("does not match");
    }
    combinations(at, schema, value, found);
    if let Some(map) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !map.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}.{name}: required"));
            }
        }
        for (name, value) in map {
            let of = [&schema["properties"][name], &schema["additionalProperties"]];
            if let Some(schema) = of.into_iter().find(|schema| schema.is_object()) {
                refusals(&format!("{at}.{name}"), schema, value, found);
            }
        }
    }
    if let Some(list) = value.as_array() {
        unique(at, schema, list, found);
        for (i, value) in list.iter().enumerate() {
            if schema["items"].is_object() {
                refusals(&format!("{at}[{i}]"), &schema["items"], value, found);
            }
        }
    }
}

fn combinations(at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let accepts = |schema: &Value| {
        let mut found = Vec::new();
        refusals(at, schema, value, &mut found);
        found.is_empty()
    };
    let count = |name: &str| {
        let list = schema[name].as_array();
        list.map(|list| list.iter().filter(|schema| accepts(schema)).count())
    };
    if count("oneOf").is_some_and(|count| count != 1)
        || count("anyOf") == Some(0)
        || (schema["not"].is_object() && accepts(&schema["not"]))
    {
        found.push(format!("{at}: not one of the forms"));
    }
}

/// The keys of a list that is a map.
fn unique(at: &str, schema: &Value, list: &[Value], found: &mut Vec<String>) {
    let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() else {
        return;
    };
    let key = |value: &Value| {
        let parts = keys
            .iter()
            .map(|key| value[key.as_str().unwrap()].to_string());
        parts.collect::<Vec<_>>()
    };
    for (i, value) in list.iter().enumerate() {
        if list[..i].iter().any(|before| key(before) == key(value)) {
            found.push(format!("{at}[{i}]: duplicate"));
        }
    }
}

#[test]
fn definitions_and_webhook_together_decide_as_the_api_server() {
    let Some(dir) = corpus() else { return };
    let expected = expected();
    let (mut wrong, mut excused, mut total) = (Vec::new(), 0, 0);
    for path in files(&dir.join("crd")) {
        for case in load::<Case>(&path) {
            total += 1;
            let mut found = Vec::new();
            let schema = schema(&case.object);
            refusals("", &schema, &case.object, &mut found);
            let said = validate(&case.object);
            found.extend(said.errors.iter().map(ToString::to_string));
            if found.is_empty() == case.valid {
                continue;
            }
            if expected.contains_key(&*case.name) {
                excused += 1;
            } else {
                wrong.push(format!("{}: valid {}: {found:?}", case.name, case.valid));
            }
        }
    }
    assert!(total > 50, "there are cases");
    assert!(
        wrong.is_empty(),
        "{} of {total} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(expected.len() <= MOST_EXPECTED && excused == expected.len());
}

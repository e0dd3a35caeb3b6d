//! Shapes and rules into OpenAPI v3, in the subset that Kubernetes calls structural.

use serde_json::{Map, Value, json};

use super::rules::{self, Rule};
use crate::shape::{Message, Shape};

type Schema = Map<String, Value>;

/// The schema of a value of this shape that stands at `row` (see `rules`). `in_oneof`: the field is a member of a
/// oneof, where an absent field cannot be told apart from one that is not chosen.
pub(super) fn schema(row: &str, shape: &Shape, in_oneof: bool) -> Value {
    let mut schema = of_shape(row, shape, in_oneof);
    let own = rules::of(row);
    if is_duration(shape) && !own.iter().any(|rule| matches!(rule, Rule::AnyDuration)) {
        apply(&mut schema, &rules::DURATION);
    }
    for rule in own {
        apply(&mut schema, rule);
    }
    Value::Object(schema)
}

fn of_shape(row: &str, shape: &Shape, in_oneof: bool) -> Schema {
    let schema = match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Text | Shape::Duration => json!({"type": "string"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Uint32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Uint64 => json!({"type": "integer", "minimum": 0}),
        Shape::Double => json!({"type": "number", "format": "double"}),
        Shape::Object => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Shape::Enum(names) => json!({"type": "string", "enum": names}),
        Shape::List(element) => {
            json!({"type": "array", "items": schema(&format!("{row}[]"), element, false)})
        }
        Shape::Map(value) => json!({
            "type": "object",
            "additionalProperties": schema(&format!("{row}{{}}"), value, false),
        }),
        Shape::Message(message) => return of_message(&message()),
        Shape::Optional(inner) => {
            let mut schema = of_shape(row, inner, in_oneof);
            if is_number_or_bool(inner) && !in_oneof {
                schema.insert("nullable".to_owned(), Value::Bool(true));
            }
            return schema;
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Schema::new(),
    }
}

fn of_message(message: &Message) -> Schema {
    let mut properties = Schema::new();
    for (field, shape) in &message.fields {
        let row = format!("{}.{field}", message.name);
        if !is_hidden(&row) {
            let in_oneof = message.oneofs.iter().any(|names| names.contains(field));
            properties.insert(field.clone(), schema(&row, shape, in_oneof));
        }
    }
    let own = rules::of(message.name);
    for rule in own {
        if let Rule::Alias(alias, of) = rule
            && let Some(field) = properties.get(*of).cloned()
        {
            properties.insert((*alias).to_owned(), field);
        }
    }
    let mut schema = Schema::new();
    schema.insert("type".to_owned(), json!("object"));
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
    let mut groups: Vec<Value> = message
        .oneofs
        .iter()
        .map(|members| {
            let shown: Vec<&str> = members
                .iter()
                .filter(|member| !is_hidden(&format!("{}.{member}", message.name)))
                .map(String::as_str)
                .collect();
            at_most_one(&shown)
        })
        .collect();
    match groups.len() {
        0 => {}
        1 => schema.extend(groups.remove(0).as_object().cloned().unwrap_or_default()),
        _ => {
            schema.insert("allOf".to_owned(), Value::Array(groups));
        }
    }
    for rule in own {
        apply(&mut schema, rule);
    }
    schema
}

/// None of the fields, or exactly one.
fn at_most_one(fields: &[&str]) -> Value {
    let each: Vec<Value> = fields
        .iter()
        .map(|field| json!({"required": [field]}))
        .collect();
    let mut choices = vec![json!({"not": {"anyOf": each}})];
    choices.extend(each);
    json!({ "oneOf": choices })
}

fn apply(schema: &mut Schema, rule: &Rule) {
    let (key, value) = match *rule {
        Rule::Required(fields) => ("required", json!(fields)),
        Rule::AtMostOne(fields) => ("oneOf", at_most_one(fields)["oneOf"].take()),
        Rule::KeyedBy(fields) => {
            schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
            ("x-kubernetes-list-map-keys", json!(fields))
        }
        Rule::Cel { rule, message } => {
            let checks = schema
                .entry("x-kubernetes-validations")
                .or_insert_with(|| json!([]));
            if let Some(checks) = checks.as_array_mut() {
                checks.push(json!({"rule": rule, "message": message}));
            }
            return;
        }
        Rule::Pattern(pattern) => ("pattern", json!(pattern)),
        Rule::MinLength(count) => ("minLength", json!(count)),
        Rule::MaxLength(count) => ("maxLength", json!(count)),
        Rule::MinItems(count) => ("minItems", json!(count)),
        Rule::MaxItems(count) => ("maxItems", json!(count)),
        Rule::MinProperties(count) => ("minProperties", json!(count)),
        Rule::MaxProperties(count) => ("maxProperties", json!(count)),
        Rule::Minimum(least) => ("minimum", json!(least)),
        Rule::Maximum(most) => ("maximum", json!(most)),
        Rule::AnyDuration | Rule::Hidden | Rule::Alias(..) => return,
    };
    schema.insert(key.to_owned(), value);
}

fn is_hidden(row: &str) -> bool {
    rules::of(row)
        .iter()
        .any(|rule| matches!(rule, Rule::Hidden))
}

fn is_duration(shape: &Shape) -> bool {
    match shape {
        Shape::Duration => true,
        Shape::Optional(inner) => is_duration(inner),
        _ => false,
    }
}

fn is_number_or_bool(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::Bool | Shape::Int32 | Shape::Uint32 | Shape::Int64 | Shape::Uint64 | Shape::Double
    )
}

/// The status that every kind has. Conditions are written by control planes; nothing in it is pruned.
pub(super) fn status() -> Value {
    let number = json!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
    });
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "conditions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "lastProbeTime": time,
                        "lastTransitionTime": time,
                        "message": text,
                        "observedGeneration": number,
                        "reason": text,
                        "status": text,
                        "type": text,
                    },
                },
            },
            "observedGeneration": number,
            "validationMessages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "documentationUrl": text,
                        "level": {"type": "string", "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"]},
                        "type": {"type": "object", "properties": {"code": text, "name": text}},
                    },
                },
            },
        },
    })
}

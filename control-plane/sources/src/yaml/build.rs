//! Any serde source → a JSON value, refusing duplicate keys and runaway aliases.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How many values a document may still have. Without aliases it never has more than bytes.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn for_text(text: &str) -> Self {
        Self(Cell::new(text.len() + 100_000))
    }

    fn take(&self, count: usize) -> Result<(), &'static str> {
        let left = self.0.get().checked_sub(count);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ())
            .ok_or("the aliases of this document expand to too many values; write them out")
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    budget: &'a Budget,
}

impl<'a> Node<'a> {
    pub(super) fn new(budget: &'a Budget) -> Self {
        Self { budget }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.budget.take(1).map_err(D::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("neither NaN nor an infinity is a number here"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            out.push(element);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key_seed(Key { seen: &out })? {
            let value = entries.next_value_seed(self)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom(
            "YAML tags (\"!name\") mean nothing here; leave the tag out",
        ))
    }
}

/// Reads a key that its map does not have yet. Numbers and booleans are keys by their text, as in Kubernetes.
struct Key<'a> {
    seen: &'a Map<String, Value>,
}

impl Key<'_> {
    fn new_key<E: Error>(&self, key: String) -> Result<String, E> {
        if self.seen.contains_key(&key) {
            return Err(E::custom(format!(
                "duplicate key {key:?}; keep only one of them"
            )));
        }
        Ok(key)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a string")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        self.new_key(key.to_owned())
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        self.new_key(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        self.new_key(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        self.new_key(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        self.new_key(key.to_string())
    }
}

/// Applies YAML 1.1 merge keys (`<<: *defaults`), which Kubernetes' reader knows.
pub(super) fn merge_keys(value: &mut Value, budget: &Budget) -> Result<(), String> {
    match value {
        Value::Array(elements) => elements
            .iter_mut()
            .try_for_each(|element| merge_keys(element, budget)),
        Value::Object(map) => {
            map.values_mut()
                .try_for_each(|entry| merge_keys(entry, budget))?;
            let sources = match map.remove("<<") {
                None => return Ok(()),
                Some(Value::Array(sources)) => sources,
                Some(source) => vec![source],
            };
            for source in sources {
                let Value::Object(source) = source else {
                    return Err("the value of a merge key \"<<\" is not a map".to_owned());
                };
                budget.take(source.len())?;
                for (key, entry) in source {
                    map.entry(key).or_insert(entry);
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

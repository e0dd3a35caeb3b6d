//! A serde deserializer over a JSON value that reads by the rules of `proto_json` and knows where it is.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::FieldError;
use super::macros::camel_case;
use super::numbers::{double, shown, whole};
use super::path::Path;

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Node<'de, 'a> {
    pub(super) value: &'de Value,
    pub(super) path: &'a Path<'a>,
    pub(super) unknown: &'a RefCell<Vec<String>>,
}

/// What serde reports; the innermost node that sees it adds the place.
#[derive(Debug)]
pub(super) struct Failure {
    path: Option<String>,
    message: String,
}

impl Failure {
    fn at(mut self, path: &Path<'_>) -> Self {
        self.path.get_or_insert_with(|| path.spelt());
        self
    }

    /// The error for the caller; `root` stands in for a place that nobody added.
    pub(super) fn located(self, root: &Path<'_>) -> FieldError {
        FieldError {
            path: self.path.unwrap_or_else(|| root.spelt()),
            message: self.message,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: None,
            message: message.to_string(),
        }
    }
}

impl<'de> Node<'de, '_> {
    fn wrong(&self, instead: &str) -> Failure {
        Failure {
            path: Some(self.path.spelt()),
            message: format!("{} is not {instead}", shown(self.value)),
        }
    }

    fn whole<N: TryFrom<i128>>(&self, min: i128, max: i128) -> Result<N, Failure> {
        let read = whole(self.value, min, max).and_then(|number| {
            N::try_from(number).map_err(|_| {
                format!("{number} is out of range; write a number from {min} to {max}")
            })
        });
        read.map_err(|message| Failure {
            path: Some(self.path.spelt()),
            message,
        })
    }

    fn text(&self) -> Result<&'de str, Failure> {
        match self.value {
            Value::Null => Ok(""),
            Value::String(text) => Ok(text),
            Value::Bool(_) | Value::Number(_) => {
                Err(self.wrong(&format!("a string; write it in quotes: \"{}\"", self.value)))
            }
            Value::Array(_) => Err(self.wrong("a string; write a single value")),
            Value::Object(_) => Err(self.wrong("a string; write a single value, without fields")),
        }
    }

    fn elements(&self) -> Result<&'de [Value], Failure> {
        match self.value {
            Value::Null => Ok(&[]),
            Value::Array(elements) => Ok(elements),
            Value::Object(_) => Err(self.wrong("a list; put \"- \" before its first field")),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(self.wrong(&format!("a list; write [{}]", self.value)))
            }
        }
    }

    fn entries(&self) -> Result<Option<&'de Map<String, Value>>, Failure> {
        match self.value {
            Value::Null => Ok(None),
            Value::Object(entries) => Ok(Some(entries)),
            Value::Array(_) => {
                Err(self.wrong("an object; write its fields without a leading \"- \""))
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(self.wrong("an object; write its fields below it, one per line"))
            }
        }
    }
}

/// The field of a message that a key means: its camelCase name or its proto name.
fn field_named<'k>(key: &'k str, fields: &'static [&'static str]) -> Option<&'k str>
where
    'static: 'k,
{
    if let Some(field) = fields.iter().find(|field| **field == key) {
        return Some(field);
    }
    if !key.contains('_') || key.ends_with('_') || key.contains("__") {
        return None;
    }
    let name = camel_case(key);
    fields.iter().find(|field| **field == name).copied()
}

/// The known fields of an object under their camelCase names; the others are noted as unknown.
fn known_fields<'de>(
    node: Node<'de, '_>,
    entries: &'de Map<String, Value>,
    fields: &'static [&'static str],
) -> Vec<(&'de str, &'de str, &'de Value)> {
    let mut known = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match field_named(key, fields) {
            Some(field) if field == key || !entries.contains_key(field) => {
                if !value.is_null() {
                    known.push((field, key.as_str(), value));
                }
            }
            _ => node
                .unknown
                .borrow_mut()
                .push(Path::Key(node.path, key).spelt()),
        }
    }
    known
}

struct Elements<'de, 'a> {
    node: Node<'de, 'a>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some((index, value)) = self.rest.next() else {
            return Ok(None);
        };
        let path = Path::Index(self.node.path, index);
        let child = Node {
            value,
            path: &path,
            unknown: self.node.unknown,
        };
        seed.deserialize(child)
            .map(Some)
            .map_err(|failure| failure.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// Entries as (name for serde, key as written, value).
struct Entries<'de, 'a, I> {
    node: Node<'de, 'a>,
    rest: I,
    next: Option<(&'de str, &'de Value)>,
}

impl<'de, I: Iterator<Item = (&'de str, &'de str, &'de Value)>> MapAccess<'de>
    for Entries<'de, '_, I>
{
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let Some((name, key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.next = Some((key, value));
        let path = Path::Key(self.node.path, key);
        seed.deserialize(Key(name))
            .map(Some)
            .map_err(|failure: Failure| failure.at(&path))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let (key, value) = self.next.take().unwrap_or(("", &Value::Null));
        let path = Path::Key(self.node.path, key);
        let child = Node {
            value,
            path: &path,
            unknown: self.node.unknown,
        };
        seed.deserialize(child).map_err(|failure| failure.at(&path))
    }
}

/// A map key; the keys of `map<uint32, …>` are numbers in quotes.
struct Key<'de>(&'de str);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let number = self.0.parse().map_err(|_| {
            serde::de::Error::custom(format!(
                "the key {:?} is not a number; write one from 0 to {}",
                self.0,
                u32::MAX
            ))
        });
        visitor.visit_u32(number?)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(self.whole::<$type>($type::MIN.into(), $type::MAX.into())?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), _, _) => visitor.visit_u64(whole),
                (None, Some(whole), _) => visitor.visit_i64(whole),
                (None, None, fraction) => visitor.visit_f64(fraction.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let number = double(self.value).map_err(|message| Failure {
            path: Some(self.path.spelt()),
            message,
        })?;
        visitor.visit_f64(number)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) if text == "true" || text == "false" => {
                Err(self.wrong(&format!("a boolean; write {text} without quotes")))
            }
            _ => Err(self.wrong("a boolean; write true or false")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_seq(Elements {
            node: self,
            rest: self.elements()?.iter().enumerate(),
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let entries = self.entries()?.into_iter().flatten();
        let rest = entries.map(|(key, value)| (key.as_str(), key.as_str(), value));
        visitor.visit_map(Entries {
            node: self,
            rest,
            next: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let known = self
            .entries()?
            .map(|entries| known_fields(self, entries, fields))
            .unwrap_or_default();
        visitor.visit_map(Entries {
            node: self,
            rest: known.into_iter(),
            next: None,
        })
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

//! What a template computes with: Go's values as far as templates can see them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use super::print;

/// The deepest nesting of lists and maps that is printed, copied, compared or encoded.
pub const MAX_NESTING: usize = 128;

/// The most elements that are copied or encoded: a template can put one list into another so often that there are
/// more elements than atoms.
const MAX_ELEMENTS: usize = 1_000_000;

/// A value. Cloning is cheap; a cloned [`Map`] is the same map, as in Go.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value at all, which is what an absent map key gives. Prints `<no value>`; fields of it are absent too.
    #[default]
    Absent,
    /// A nil interface, such as JSON's `null`: a field of it is an error.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`, which number constants are
    Int(i64),
    /// `int64`, which sprig's arithmetic gives
    Int64(i64),
    /// `uint64`
    Uint(u64),
    /// `uint8`, which indexing a string gives
    Byte(u8),
    /// `float64`, which every number from JSON is
    Float(f64),
    /// `string`
    String(Arc<str>),
    /// A slice.
    List(List),
    /// A map from strings.
    Map(Map),
    /// A struct, a pointer to one, or any other named type.
    Object(Arc<dyn Object>),
}

/// The static type of the elements of a list or map. It decides what an absent key gives: nothing for [`Elem::Any`],
/// the zero value for the others where Go gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elem {
    /// `interface {}`
    Any,
    /// `string`
    String,
    /// `int`
    Int,
    /// `bool`
    Bool,
    /// `uint8`
    Byte,
    /// Some other type, by Go's name for it.
    Named(Arc<str>),
}

impl Elem {
    /// Go's name of the type.
    pub fn name(&self) -> &str {
        match self {
            Self::Any => "interface {}",
            Self::String => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Byte => "uint8",
            Self::Named(name) => name,
        }
    }

    /// The zero value, which `index` gives for an absent key.
    pub fn zero(&self) -> Value {
        match self {
            Self::Any | Self::Named(_) => Value::Nil,
            Self::String => Value::from(""),
            Self::Int => Value::Int(0),
            Self::Bool => Value::Bool(false),
            Self::Byte => Value::Byte(0),
        }
    }
}

/// A Go struct, proto message, enumeration or other named type.
///
/// Protos: a message is an object whose `call` answers `GetX` for every field of its descriptor, set or not. A getter
/// of an unset message field returns an object of that message's type with [`Object::is_nil`] true; its getters
/// return zero values in turn, so that `.ProxyConfig.GetTracing.GetTlsSettings.GetCaCertificates` prints nothing.
/// `field` of a nil object returns `None` when the type has no such field and anything else when it has: the engine
/// then reports the nil pointer as Go does. An enumeration is an object with `scalar` = its number and `print` = its
/// name, that answers `String`.
pub trait Object: Send + Sync + fmt::Debug {
    /// Go's name of the type, such as `*v1alpha1.ProxyConfig`.
    fn type_name(&self) -> &str;

    /// The field with this Go name; `None` if the type has no such field.
    fn field(&self, name: &str) -> Option<Value>;

    /// Calls a method; `None` if the type has no such method. Methods win over fields.
    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let _ = (method, args);
        None
    }

    /// What `encoding/json` makes of it.
    fn json(&self) -> serde_json::Value;

    /// What `%v` prints.
    fn print(&self) -> String;

    /// Whether this is a nil pointer.
    fn is_nil(&self) -> bool {
        false
    }

    /// The plain value of a named number, string or bool type.
    fn scalar(&self) -> Option<Value> {
        None
    }

    /// Whether `if` takes it as true: structs always are.
    fn is_truthy(&self) -> bool {
        match self.scalar() {
            Some(scalar) => scalar.is_truthy(),
            None => !self.is_nil(),
        }
    }
}

/// An immutable slice.
#[derive(Clone)]
pub struct List(Arc<ListItems>);

struct ListItems {
    elem: Elem,
    items: Vec<Value>,
}

impl List {
    /// A slice with this element type.
    pub fn new(elem: Elem, items: Vec<Value>) -> Self {
        Self(Arc::new(ListItems { elem, items }))
    }

    /// A `[]interface {}`.
    pub fn any(items: Vec<Value>) -> Self {
        Self::new(Elem::Any, items)
    }

    /// A `[]string`.
    pub fn strings<I, S>(items: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<Arc<str>>,
    {
        let items = items.into_iter().map(|item| Value::String(item.into()));
        Self::new(Elem::String, items.collect())
    }

    /// The element type.
    pub fn elem(&self) -> &Elem {
        &self.0.elem
    }

    /// The elements.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.elem.name())?;
        f.debug_list().entries(&self.0.items).finish()
    }
}

/// The entries of a map, sorted by key as Go ranges over them.
pub type Entries = BTreeMap<Arc<str>, Value>;

/// A map with string keys. Clones share their entries: what `set` writes every holder sees.
///
/// Data that several renderings share must therefore be copied for each ([`Value::deep_copy`]), or a template that
/// calls `set` on it would be felt by the next.
#[derive(Clone)]
pub struct Map(Arc<MapItems>);

struct MapItems {
    elem: Elem,
    entries: RwLock<Arc<Entries>>,
}

impl Map {
    /// A map with this element type.
    pub fn new(elem: Elem, entries: Entries) -> Self {
        Self(Arc::new(MapItems {
            elem,
            entries: RwLock::new(Arc::new(entries)),
        }))
    }

    /// A `map[string]interface {}`.
    pub fn any(entries: Entries) -> Self {
        Self::new(Elem::Any, entries)
    }

    /// A `map[string]string`.
    pub fn strings<I, K, V>(entries: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let entries = entries.into_iter();
        let entries = entries.map(|(key, value)| (key.into(), Value::String(value.into())));
        Self::new(Elem::String, entries.collect())
    }

    /// The element type.
    pub fn elem(&self) -> &Elem {
        &self.0.elem
    }

    /// The entries as they are now.
    pub fn entries(&self) -> Arc<Entries> {
        self.0.entries.read().clone()
    }

    /// The value at a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.entries.read().get(key).cloned()
    }

    /// Sets a key.
    ///
    /// # Errors
    /// A map cannot be put into itself: Go can, and then dies of it when it prints.
    pub fn insert(&self, key: Arc<str>, value: Value) -> Result<(), String> {
        if reaches(&value, self) {
            return Err(format!("the map cannot become its own entry {key:?}"));
        }
        let mut entries = self.0.entries.write();
        let _ = Arc::make_mut(&mut entries).insert(key, value);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) {
        let mut entries = self.0.entries.write();
        let _ = Arc::make_mut(&mut entries).remove(key);
    }

    /// Whether both are the same map, not only equal.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.elem.name())?;
        f.debug_map().entries(self.entries().iter()).finish()
    }
}

/// Whether a map can be reached from a value.
fn reaches(value: &Value, map: &Map) -> bool {
    if !value.is_container() {
        return false;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut open = vec![value.clone()];
    while let Some(value) = open.pop() {
        match value {
            Value::Map(found) => {
                if found.same(map) {
                    return true;
                }
                if seen.insert(found.address()) {
                    let entries = found.entries();
                    open.extend(entries.values().filter(|v| v.is_container()).cloned());
                }
            }
            Value::List(list) if seen.insert(list.address()) => {
                open.extend(list.items().iter().filter(|v| v.is_container()).cloned());
            }
            _ => {}
        }
    }
    false
}

/// Frees nested containers in a loop: a template can nest them deeper than the stack allows.
fn release(mut open: Vec<Value>) {
    while let Some(value) = open.pop() {
        match value {
            Value::List(list) => {
                if let Some(mut list) = Arc::into_inner(list.0) {
                    open.append(&mut list.items);
                }
            }
            Value::Map(map) => {
                if let Some(mut map) = Arc::into_inner(map.0)
                    && let Some(entries) = Arc::into_inner(std::mem::take(map.entries.get_mut()))
                {
                    open.extend(entries.into_values().filter(Value::is_container));
                }
            }
            _ => {}
        }
    }
}

impl Drop for ListItems {
    fn drop(&mut self) {
        if self.items.iter().any(Value::is_container) {
            release(std::mem::take(&mut self.items));
        }
    }
}

impl Drop for MapItems {
    fn drop(&mut self) {
        let entries = std::mem::take(self.entries.get_mut());
        if entries.values().any(Value::is_container)
            && let Some(entries) = Arc::into_inner(entries)
        {
            release(entries.into_values().filter(Value::is_container).collect());
        }
    }
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// Whether this is a list or map.
    pub fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    /// Whether there is no value, or a nil one.
    pub fn is_nil(&self) -> bool {
        match self {
            Self::Absent | Self::Nil => true,
            Self::Object(object) => object.is_nil(),
            _ => false,
        }
    }

    /// Whether `if` takes it as true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Absent | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::String(value) => !value.is_empty(),
            Self::List(value) => !value.items().is_empty(),
            Self::Map(value) => !value.entries().is_empty(),
            Self::Object(value) => value.is_truthy(),
        }
    }

    /// The number of a value of any integer type.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            Self::Byte(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// The value that an object of a named plain type stands for; anything else unchanged.
    pub fn plain(&self) -> Self {
        match self {
            Self::Object(object) => object.scalar().unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }

    /// Go's name of the type; `<nil>` if there is none.
    pub fn type_name(&self) -> String {
        match self {
            Self::Absent | Self::Nil => "<nil>".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Int64(_) => "int64".to_owned(),
            Self::Uint(_) => "uint64".to_owned(),
            Self::Byte(_) => "uint8".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::String(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.elem().name()),
            Self::Map(map) => format!("map[string]{}", map.elem().name()),
            Self::Object(object) => object.type_name().to_owned(),
        }
    }

    /// A copy that shares no map with this value. What is nested beyond [`MAX_NESTING`] or follows the first million
    /// of elements stays shared.
    #[must_use]
    pub fn deep_copy(&self) -> Self {
        self.copied(0, &mut MAX_ELEMENTS.clone())
    }

    /// A copy that shares no map with this value.
    ///
    /// # Errors
    /// If it is nested beyond [`MAX_NESTING`] or has more than a million elements.
    pub(super) fn try_deep_copy(&self) -> Result<Self, String> {
        let mut left = MAX_ELEMENTS;
        let copy = self.copied(0, &mut left);
        if left == 0 {
            Err("the value is too large to copy".to_owned())
        } else {
            Ok(copy)
        }
    }

    fn copied(&self, depth: usize, left: &mut usize) -> Self {
        if depth > MAX_NESTING {
            *left = 0;
        }
        if *left == 0 {
            return self.clone();
        }
        *left -= 1;
        match self {
            Self::List(list) if list.items().iter().any(Self::is_container) => {
                let items = list.items().iter().map(|item| item.copied(depth + 1, left));
                Self::List(List::new(list.elem().clone(), items.collect()))
            }
            Self::Map(map) => {
                let entries = map.entries();
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, value)| (key.clone(), value.copied(depth + 1, left)));
                Self::Map(Map::new(map.elem().clone(), entries.collect()))
            }
            _ => self.clone(),
        }
    }

    /// The JSON of the value. What has no JSON (infinities), is nested beyond [`MAX_NESTING`] or follows the first
    /// million of elements becomes `null`.
    pub fn json(&self) -> serde_json::Value {
        self.json_at(0, &mut MAX_ELEMENTS.clone())
    }

    fn json_at(&self, depth: usize, left: &mut usize) -> serde_json::Value {
        use serde_json::Value as Json;
        if depth > MAX_NESTING || *left == 0 {
            return Json::Null;
        }
        *left -= 1;
        match self {
            Self::Absent | Self::Nil => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) | Self::Int64(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Byte(value) => Json::from(*value),
            Self::Float(value) => json_float(*value),
            Self::String(value) => Json::String(value.to_string()),
            Self::List(list) => list
                .items()
                .iter()
                .map(|v| v.json_at(depth + 1, left))
                .collect(),
            Self::Map(map) => {
                let entries = map.entries();
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, value)| (key.to_string(), value.json_at(depth + 1, left)));
                Json::Object(entries.collect())
            }
            Self::Object(object) => object.json(),
        }
    }
}

/// A whole float is a whole number in JSON, as `encoding/json` writes it, as long as it is exact.
fn json_float(value: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        // The bounds make the conversion exact.
        return serde_json::Value::from(value as i64);
    }
    serde_json::Number::from_f64(value).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

/// What `%v` prints, cut where [`print::LIMIT`] ends.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print::text(self))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

/// As Go decodes JSON into `interface {}`: every number is a `float64`.
impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => Self::Float(value.as_f64().unwrap_or_default()),
            Json::String(value) => Self::String(value.into()),
            Json::Array(items) => {
                Self::List(List::any(items.into_iter().map(Self::from).collect()))
            }
            Json::Object(entries) => {
                let entries = entries.into_iter();
                let entries = entries.map(|(key, value)| (Arc::from(key), Self::from(value)));
                Self::Map(Map::any(entries.collect()))
            }
        }
    }
}

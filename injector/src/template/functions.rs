//! The functions that a template may call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::value::Value;
use super::{builtin, sprig};

/// What a function does with its arguments. The error's text follows `error calling NAME: `.
pub type Call = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// The Go type of a parameter. An argument of another type is an error before the call, as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    /// `reflect.Value`: like [`Param::Any`], but an absent value stays [`Value::Absent`].
    Raw,
    /// `string`
    String,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `bool`
    Bool,
    /// `float64`
    Float,
    /// `map[string]interface {}`
    Map,
    /// `map[string]string`
    StringMap,
    /// `[]string`
    Strings,
    /// `[]interface {}`
    List,
}

impl Param {
    /// Go's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Raw => "reflect.Value",
            Self::String => "string",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::Float => "float64",
            Self::Map => "map[string]interface {}",
            Self::StringMap => "map[string]string",
            Self::Strings => "[]string",
            Self::List => "[]interface {}",
        }
    }

    /// Whether `nil` is a value of the type.
    pub(super) fn can_be_nil(self) -> bool {
        match self {
            Self::Any | Self::Raw | Self::Map | Self::StringMap | Self::Strings | Self::List => {
                true
            }
            Self::String | Self::Int | Self::Int64 | Self::Bool | Self::Float => false,
        }
    }
}

/// The parameters of a function.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Those that each call must give.
    pub fixed: &'static [Param],
    /// The type of the further ones, if there may be any.
    pub rest: Option<Param>,
}

impl Signature {
    /// Exactly these.
    pub const fn of(fixed: &'static [Param]) -> Self {
        Self { fixed, rest: None }
    }

    /// These, and any number more.
    pub const fn and_more(fixed: &'static [Param], rest: Param) -> Self {
        Self {
            fixed,
            rest: Some(rest),
        }
    }
}

/// How the evaluator calls a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With all arguments evaluated.
    Plain,
    /// `and`, `or`: up to the argument that decides.
    And,
    Or,
}

/// A function with its name.
pub(super) struct Function {
    pub(super) name: Arc<str>,
    pub(super) signature: Signature,
    pub(super) way: Way,
    pub(super) call: Arc<Call>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Functions by name. A name that is not here is an error when the template is parsed.
#[derive(Clone, Debug, Default)]
pub struct Functions(BTreeMap<Arc<str>, Arc<Function>>);

impl Functions {
    /// Go's own: `and call eq ge gt html index js le len lt ne not or print printf println slice urlquery`.
    pub fn builtin() -> Self {
        let mut functions = Self::default();
        builtin::add(&mut functions);
        functions
    }

    /// Adds sprig's text functions (Masterminds/sprig 3.3, `TxtFuncMap`).
    #[must_use]
    pub fn with_sprig(mut self) -> Self {
        sprig::add(&mut self);
        self
    }

    /// Adds a function of any number of arguments of any type. It replaces one of the same name.
    pub fn add<F>(&mut self, name: &str, call: F)
    where
        F: Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    {
        self.add_typed(name, Signature::and_more(&[], Param::Any), call);
    }

    /// Adds a function that Go calls with arguments of these types only.
    pub fn add_typed<F>(&mut self, name: &str, signature: Signature, call: F)
    where
        F: Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    {
        self.add_as(name, signature, Way::Plain, call);
    }

    pub(super) fn add_as<F>(&mut self, name: &str, signature: Signature, way: Way, call: F)
    where
        F: Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    {
        let name: Arc<str> = name.into();
        let function = Function {
            name: name.clone(),
            signature,
            way,
            call: Arc::new(call),
        };
        let _ = self.0.insert(name, Arc::new(function));
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Function>> {
        self.0.get(name)
    }
}

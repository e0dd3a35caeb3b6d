//! Calls: arguments, their types, and what a call costs.

use super::{COSTLY, Cell, Done, Run};
use crate::template::functions::{Function, Param, Way};
use crate::template::tree::{At, Number, Operand, Term};
use crate::template::value::{Elem, Value};

impl<'t> Run<'t> {
    pub(super) fn arguments(
        &mut self,
        dot: &Cell,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Done<Vec<Value>> {
        let mut given = Vec::with_capacity(args.len() + 1);
        for arg in args {
            given.push(self.argument(dot, Param::Any, arg)?);
        }
        if let Some(last) = last {
            given.push(self.typed(Cell::plain(last), Param::Any)?);
        }
        Ok(given)
    }

    pub(super) fn call(
        &mut self,
        dot: &Cell,
        function: &'t Function,
        node: At<'t>,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Done<Cell> {
        let name = &*function.name;
        let signature = &function.signature;
        let given = args.len() + usize::from(last.is_some());
        let fixed = signature.fixed.len();
        if signature.rest.is_some() {
            if given < fixed {
                let got = args.len();
                return self.fail(format!(
                    "wrong number of args for {name}: want at least {fixed} got {got}"
                ));
            }
        } else if given != fixed {
            return self.fail(format!(
                "wrong number of args for {name}: want {fixed} got {given}"
            ));
        }
        match function.way {
            Way::And | Way::Or => return self.decide(dot, function.way, args, last),
            Way::Costly => self.step(COSTLY)?,
            Way::Plain | Way::Call => {}
        }
        let param = |i: usize| {
            let fixed = signature.fixed.get(i).copied();
            fixed.or(signature.rest).unwrap_or(Param::Any)
        };
        let mut values = Vec::with_capacity(given);
        for (i, arg) in args.iter().enumerate() {
            values.push(self.argument(dot, param(i), arg)?);
        }
        if let Some(last) = last {
            values.push(self.typed(Cell::plain(last), param(args.len()))?);
        }
        match (function.call)(&values) {
            Ok(value) => {
                self.charge(&values, &value)?;
                Ok(Cell::plain(value))
            }
            Err(problem) => {
                let called = match (function.way, args.first()) {
                    (Way::Call, Some(called)) if problem.starts_with("of type ") => {
                        format!("non-function {called} ")
                    }
                    _ => String::new(),
                };
                self.at = Some(node);
                self.fail(format!("error calling {name}: {called}{problem}"))
            }
        }
    }

    /// `and` and `or`: the first argument that decides, else the last.
    pub(super) fn decide(
        &mut self,
        dot: &Cell,
        way: Way,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Done<Cell> {
        let mut value = Value::Absent;
        for arg in args {
            value = self.argument(dot, Param::Raw, arg)?;
            if value.is_truthy() == (way == Way::Or) {
                return Ok(Cell::plain(value));
            }
        }
        Ok(Cell::plain(last.unwrap_or(value)))
    }

    /// Counts what a call took.
    pub(super) fn charge(&mut self, args: &[Value], result: &Value) -> Done<()> {
        let work: usize = args.iter().map(size).sum();
        let made = size(result);
        self.memory = self.memory.saturating_add(made);
        if self.memory > self.limits.memory {
            return self.fail(format!(
                "functions make more than {} bytes",
                self.limits.memory
            ));
        }
        self.step((work + made) / 64)
    }

    pub(super) fn argument(
        &mut self,
        dot: &Cell,
        param: Param,
        operand: &'t Operand,
    ) -> Done<Value> {
        self.at = Some(At::Operand(operand));
        let cell = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil if param.can_be_nil() => return Ok(Value::Nil),
            Term::Nil => return self.fail(format!("cannot assign nil to {}", param.name())),
            Term::Field(names) => self.fields(dot, dot.clone(), operand, names, &[], None)?,
            Term::Variable(name, names) => {
                let receiver = self.variable(name)?;
                self.fields(dot, receiver, operand, names, &[], None)?
            }
            Term::Pipe(pipe) => Cell::plain(self.pipeline(dot, pipe)?),
            Term::Function(function) => {
                self.call(dot, function, At::Operand(operand), &[], None)?
            }
            Term::Chain(inner, names) => {
                let receiver = self.chained(dot, operand, inner)?;
                self.fields(dot, receiver, operand, names, &[], None)?
            }
            Term::Bool(_) | Term::Number(_) | Term::String { .. } => {
                return self.typed_constant(operand, param);
            }
        };
        self.typed(cell, param)
    }

    /// A constant as an argument: a number takes the parameter's type.
    pub(super) fn typed_constant(&self, operand: &'t Operand, param: Param) -> Done<Value> {
        let expected = match (param, &operand.term) {
            (Param::Any | Param::Raw, _) => return self.constant(operand),
            (Param::String, Term::String { text, .. }) => return Ok(Value::String(text.clone())),
            (Param::Bool, Term::Bool(value)) => return Ok(Value::Bool(*value)),
            (Param::Int, Term::Number(Number { int: Some(n), .. })) => return Ok(Value::Int(*n)),
            (Param::Int64, Term::Number(Number { int: Some(n), .. })) => {
                return Ok(Value::Int64(*n));
            }
            (Param::Float, Term::Number(Number { float: Some(n), .. })) => {
                return Ok(Value::Float(*n));
            }
            (Param::String, _) => "string",
            (Param::Bool, _) => "bool",
            (Param::Int | Param::Int64, _) => "integer",
            (Param::Float, _) => "float",
            (Param::Map | Param::StringMap | Param::Strings | Param::List, _) => {
                return self.fail(format!(
                    "can't handle {operand} for arg of type {}",
                    param.name()
                ));
            }
        };
        self.fail(format!("expected {expected}; found {operand}"))
    }

    /// Checks a value against the parameter's type.
    pub(super) fn typed(&self, cell: Cell, param: Param) -> Done<Value> {
        let value = cell.value;
        let fits = match (param, &value) {
            (Param::Raw, _) => true,
            (_, Value::Absent) if param.can_be_nil() => return Ok(Value::Nil),
            (_, Value::Absent) => {
                return self.fail(format!("invalid value; expected {}", param.name()));
            }
            (Param::Any, _)
            | (Param::String, Value::String(_))
            | (Param::Int, Value::Int(_))
            | (Param::Int64, Value::Int64(_))
            | (Param::Bool, Value::Bool(_))
            | (Param::Float, Value::Float(_)) => true,
            (Param::Map, Value::Map(map)) => *map.elem() == Elem::Any,
            (Param::StringMap, Value::Map(map)) => *map.elem() == Elem::String,
            (Param::Strings, Value::List(list)) => *list.elem() == Elem::String,
            (Param::List, Value::List(list)) => *list.elem() == Elem::Any,
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        let got = match value {
            Value::Nil => Elem::Any.name().to_owned(),
            value => value.type_name(),
        };
        self.fail(format!(
            "wrong type for value; expected {}; got {got}",
            param.name()
        ))
    }
}

/// About how many bytes a value holds, not counting what its elements hold.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::List(list) => size_of_val(list.items()),
        Value::Map(map) => map.entries().len() * 2 * size_of::<Value>(),
        _ => 0,
    }
}

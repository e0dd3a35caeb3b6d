//! The evaluator.

mod call;

use std::sync::Arc;

use super::print;
use super::tree::{At, Body, Branch, Command, Item, Number, Operand, Pipe, Term, Tree};
use super::value::{Elem, Value};
use super::{Error, Template};

/// What one execution may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of output.
    pub output: usize,
    /// Items, commands and iterations; a function call counts more the larger its arguments and result are.
    pub steps: u64,
    /// Bytes that functions may make in all.
    pub memory: usize,
    /// Templates that call each other.
    pub depth: u32,
}

impl Default for Limits {
    /// Much more than any injection needs, and done within a second or two.
    fn default() -> Self {
        Self {
            output: print::LIMIT,
            steps: 2_000_000,
            memory: 64 << 20,
            depth: 50,
        }
    }
}

/// The deepest nesting of items and pipelines over all templates that call each other: what the stack allows.
const MAX_FRAMES: u32 = 250;

/// The steps of a function that compiles a regular expression.
const COSTLY: usize = 1000;

/// A value, and whether Go holds it in an `interface {}`. Only the words of errors depend on that.
#[derive(Clone)]
struct Cell {
    value: Value,
    boxed: bool,
}

impl Cell {
    fn plain(value: Value) -> Self {
        Self {
            value,
            boxed: false,
        }
    }

    fn of(value: Value, elem: &Elem) -> Self {
        let boxed = *elem == Elem::Any;
        Self { value, boxed }
    }

    /// What a pipeline makes of it: the value inside the interface, which for nil is no value.
    fn unboxed(self) -> Value {
        match self.value {
            Value::Nil => Value::Absent,
            value => value,
        }
    }

    fn type_name(&self) -> String {
        if self.boxed {
            Elem::Any.name().to_owned()
        } else {
            self.value.type_name()
        }
    }
}

/// Where execution goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Done<T> = Result<T, Box<Error>>;

/// One execution of one template.
struct Run<'t> {
    set: &'t Template,
    limits: Limits,
    out: String,
    steps: u64,
    memory: usize,
    frames: u32,
    depth: u32,
    running: &'t Tree,
    variables: Vec<(&'t str, Cell)>,
    /// The first variable that the running template sees.
    floor: usize,
    at: Option<At<'t>>,
}

pub(super) fn execute(
    set: &Template,
    name: &str,
    data: &Value,
    limits: Limits,
) -> Result<String, Error> {
    let Some(tree) = set.trees.get(name) else {
        let (name, set_name) = (print::quoted(name), print::quoted(&set.name));
        return Err(set.error(format!(
            "no template {name} associated with template {set_name}"
        )));
    };
    let dot = Cell::plain(data.clone());
    let mut run = Run {
        set,
        limits,
        out: String::new(),
        steps: 0,
        memory: 0,
        frames: 0,
        depth: 0,
        running: tree,
        variables: vec![("$", dot.clone())],
        floor: 0,
        at: None,
    };
    match run.body(&dot, &tree.body) {
        Ok(_) => Ok(run.out),
        Err(error) => Err(*error),
    }
}

impl<'t> Run<'t> {
    fn fail<T>(&self, message: impl Into<String>) -> Done<T> {
        let message = message.into();
        let name = &*self.running.name;
        Err(Box::new(match self.at {
            Some(at) => self.set.error_at(at, name, message),
            None => self.set.error(format!("{name}: {message}")),
        }))
    }

    fn step(&mut self, cost: usize) -> Done<()> {
        self.steps = self.steps.saturating_add(1 + cost as u64);
        if self.steps > self.limits.steps {
            return self.fail(format!(
                "the template takes more than {} steps",
                self.limits.steps
            ));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Done<()> {
        if self.out.len() + text.len() > self.limits.output {
            return self.fail(format!("the output exceeds {} bytes", self.limits.output));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn enter(&mut self) -> Done<()> {
        if self.frames >= MAX_FRAMES {
            return self.fail(format!("exceeded maximum nesting ({MAX_FRAMES})"));
        }
        self.frames += 1;
        Ok(())
    }

    fn body(&mut self, dot: &Cell, body: &'t Body) -> Done<Flow> {
        self.enter()?;
        let mut flow = Flow::On;
        for item in body {
            self.step(0)?;
            flow = self.item(dot, item)?;
            if flow != Flow::On {
                break;
            }
        }
        self.frames -= 1;
        Ok(flow)
    }

    fn item(&mut self, dot: &Cell, item: &'t Item) -> Done<Flow> {
        match item {
            Item::Text(text) => self.write(text)?,
            Item::Action { pipe, .. } => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.declared.is_empty() {
                    self.at = Some(At::Item(item));
                    self.print(&value)?;
                }
            }
            Item::If { branch, .. } => return self.choose(dot, branch, false),
            Item::With { branch, .. } => return self.choose(dot, branch, true),
            Item::Range { branch, .. } => {
                self.at = Some(At::Item(item));
                return self.range(dot, branch);
            }
            Item::Template { name, pipe, .. } => {
                self.at = Some(At::Item(item));
                self.template(dot, name, pipe.as_ref())?;
            }
            Item::Break => return Ok(Flow::Break),
            Item::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) -> Done<()> {
        match value {
            Value::Absent => self.write("<no value>"),
            Value::String(text) => self.write(text),
            value => {
                let text = print::bounded(value, self.limits.output - self.out.len());
                match text {
                    Some(text) => self.write(&text),
                    None => self.fail(format!("the output exceeds {} bytes", self.limits.output)),
                }
            }
        }
    }

    fn choose(&mut self, dot: &Cell, branch: &'t Branch, moves: bool) -> Done<Flow> {
        let known = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.is_truthy() {
            if moves {
                self.body(&Cell::plain(value), &branch.then)?
            } else {
                self.body(dot, &branch.then)?
            }
        } else if let Some(otherwise) = &branch.otherwise {
            self.body(dot, otherwise)?
        } else {
            Flow::On
        };
        self.variables.truncate(known);
        Ok(flow)
    }

    fn range(&mut self, dot: &Cell, branch: &'t Branch) -> Done<Flow> {
        let known = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let mut ran = false;
        match &value {
            Value::List(list) => {
                for (i, item) in list.items().iter().enumerate() {
                    ran = true;
                    let index = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    if !self.iterate(branch, index, &Cell::of(item.clone(), list.elem()))? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in map.entries().iter() {
                    ran = true;
                    let index = Value::String(key.clone());
                    if !self.iterate(branch, index, &Cell::of(item.clone(), map.elem()))? {
                        break;
                    }
                }
            }
            Value::Absent | Value::Nil => {}
            value => match value.plain() {
                Value::Int(n) => ran = self.count(branch, &value.plain(), n, Value::Int)?,
                Value::Int64(n) => ran = self.count(branch, &value.plain(), n, Value::Int64)?,
                Value::Byte(n) => {
                    let byte = |n| Value::Byte(u8::try_from(n).unwrap_or_default());
                    ran = self.count(branch, value, i64::from(n), byte)?;
                }
                Value::Uint(n) => {
                    let n = i64::try_from(n).unwrap_or(i64::MAX);
                    let uint = |n| Value::Uint(u64::try_from(n).unwrap_or_default());
                    ran = self.count(branch, value, n, uint)?;
                }
                value => return self.fail(format!("range can't iterate over {value}")),
            },
        }
        let flow = match &branch.otherwise {
            Some(otherwise) if !ran => self.body(dot, otherwise)?,
            _ => Flow::On,
        };
        self.variables.truncate(known);
        Ok(flow)
    }

    /// Ranges over the numbers below `n`. Returns whether there was any.
    fn count(
        &mut self,
        branch: &'t Branch,
        value: &Value,
        n: i64,
        make: impl Fn(i64) -> Value,
    ) -> Done<bool> {
        if branch.pipe.declared.len() > 1 {
            return self.fail(format!(
                "can't use {value} to iterate over more than one variable"
            ));
        }
        for i in 0..n {
            if !self.iterate(branch, Value::Absent, &Cell::plain(make(i)))? {
                break;
            }
        }
        Ok(n > 0)
    }

    /// Runs the body of a range once. Returns whether to go on.
    fn iterate(&mut self, branch: &'t Branch, index: Value, item: &Cell) -> Done<bool> {
        self.step(0)?;
        let pipe = &branch.pipe;
        match (&pipe.declared[..], pipe.assigns) {
            ([], _) => {}
            ([one], true) => self.assign(one, item.clone())?,
            ([first, second, ..], true) => {
                self.assign(first, Cell::plain(index))?;
                self.assign(second, item.clone())?;
            }
            ([_], false) => self.set_top(1, item.clone()),
            ([_, _, ..], false) => {
                self.set_top(1, item.clone());
                self.set_top(2, Cell::plain(index));
            }
        }
        let known = self.variables.len();
        let flow = self.body(item, &branch.then)?;
        self.variables.truncate(known);
        Ok(flow != Flow::Break)
    }

    fn set_top(&mut self, from_top: usize, cell: Cell) {
        if let Some(at) = self.variables.len().checked_sub(from_top) {
            self.variables[at].1 = cell;
        }
    }

    fn assign(&mut self, name: &str, cell: Cell) -> Done<()> {
        let seen = self.variables[self.floor..].iter_mut();
        match seen.rev().find(|(known, _)| *known == name) {
            Some(variable) => {
                variable.1 = cell;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn template(&mut self, dot: &Cell, name: &str, pipe: Option<&'t Pipe>) -> Done<()> {
        let set = self.set;
        let Some(tree) = set.trees.get(name) else {
            return self.fail(format!("template {} not defined", print::quoted(name)));
        };
        if self.depth >= self.limits.depth {
            return self.fail(format!(
                "exceeded maximum template depth ({})",
                self.limits.depth
            ));
        }
        let value = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Absent,
        };
        let dot = Cell::plain(value);
        let outer = (self.running, self.floor, self.variables.len());
        self.depth += 1;
        self.running = tree;
        self.floor = self.variables.len();
        self.variables.push(("$", dot.clone()));
        let _ = self.body(&dot, &tree.body)?;
        self.depth -= 1;
        self.running = outer.0;
        self.floor = outer.1;
        self.variables.truncate(outer.2);
        Ok(())
    }

    fn pipeline(&mut self, dot: &Cell, pipe: &'t Pipe) -> Done<Value> {
        self.enter()?;
        self.at = Some(At::Pipe(pipe));
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            self.step(0)?;
            value = Some(self.command(dot, command, value)?.unboxed());
        }
        let value = value.unwrap_or_default();
        for name in &pipe.declared {
            let cell = Cell::plain(value.clone());
            if pipe.assigns {
                self.assign(name, cell)?;
            } else {
                self.variables.push((name, cell));
            }
        }
        self.frames -= 1;
        Ok(value)
    }

    fn not_a_function(&self, args: &[Operand], last: Option<&Value>) -> Done<()> {
        if args.len() > 1 || last.is_some() {
            return self.fail(format!("can't give argument to non-function {}", args[0]));
        }
        Ok(())
    }

    /// `last` is the value of the command before in the pipeline.
    fn command(&mut self, dot: &Cell, command: &'t Command, last: Option<Value>) -> Done<Cell> {
        let args = &command.args[..];
        let word = &args[0];
        match &word.term {
            Term::Field(names) => {
                self.at = Some(At::Operand(word));
                self.fields(dot, dot.clone(), word, names, &args[1..], last)
            }
            Term::Chain(inner, names) => {
                let receiver = self.chained(dot, word, inner)?;
                self.fields(dot, receiver, word, names, &args[1..], last)
            }
            Term::Variable(name, names) => {
                self.at = Some(At::Operand(word));
                let receiver = self.variable(name)?;
                if names.is_empty() {
                    self.not_a_function(args, last.as_ref())?;
                    return Ok(receiver);
                }
                self.fields(dot, receiver, word, names, &args[1..], last)
            }
            Term::Function(function) => {
                self.at = Some(At::Operand(word));
                self.call(dot, function, At::Command(command), &args[1..], last)
            }
            Term::Pipe(pipe) => {
                self.not_a_function(args, last.as_ref())?;
                Ok(Cell::plain(self.pipeline(dot, pipe)?))
            }
            Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::String { .. } => {
                self.at = Some(At::Operand(word));
                self.not_a_function(args, last.as_ref())?;
                match &word.term {
                    Term::Dot => Ok(dot.clone()),
                    Term::Nil => self.fail("nil is not a command"),
                    _ => Ok(Cell::plain(self.constant(word)?)),
                }
            }
        }
    }

    /// The value of a constant where any type will do.
    fn constant(&self, operand: &'t Operand) -> Done<Value> {
        match &operand.term {
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::String { text, .. } => Ok(Value::String(text.clone())),
            Term::Number(Number {
                ideal: Some(value), ..
            }) => Ok(value.clone()),
            Term::Number(number) => self.fail(format!("{} overflows int", number.source)),
            _ => self.fail(format!(
                "can't evaluate command {}",
                print::quoted(&operand.to_string())
            )),
        }
    }

    fn variable(&self, name: &str) -> Done<Cell> {
        let seen = self.variables[self.floor..].iter();
        match seen.rev().find(|(known, _)| *known == name) {
            Some((_, cell)) => Ok(cell.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    /// The value before the fields of a chain.
    fn chained(&mut self, dot: &Cell, chain: &'t Operand, inner: &'t Operand) -> Done<Cell> {
        self.at = Some(At::Operand(chain));
        if let Term::Nil = inner.term {
            return self.fail(format!("indirection through explicit nil in {chain}"));
        }
        self.at = Some(At::Operand(inner));
        match &inner.term {
            Term::Pipe(pipe) => Ok(Cell::plain(self.pipeline(dot, pipe)?)),
            Term::Function(function) => self.call(dot, function, At::Operand(inner), &[], None),
            _ => Ok(Cell::plain(self.constant(inner)?)),
        }
    }

    /// Follows names; the arguments belong to the last.
    fn fields(
        &mut self,
        dot: &Cell,
        mut receiver: Cell,
        node: &'t Operand,
        names: &'t [Arc<str>],
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Done<Cell> {
        let Some((final_name, names)) = names.split_last() else {
            return Ok(receiver);
        };
        for name in names {
            receiver = self.field(dot, receiver, node, name, &[], None)?;
        }
        self.field(dot, receiver, node, final_name, args, last)
    }

    fn field(
        &mut self,
        dot: &Cell,
        receiver: Cell,
        node: &'t Operand,
        name: &'t str,
        args: &'t [Operand],
        last: Option<Value>,
    ) -> Done<Cell> {
        let has_args = !args.is_empty() || last.is_some();
        match &receiver.value {
            Value::Absent => return Ok(receiver),
            Value::Nil => {
                return self.fail(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            Value::Map(map) => {
                if has_args {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                // A missing key has no value even in a map of strings: only `index` gives the zero value.
                let Some(value) = map.get(name) else {
                    return Ok(Cell::plain(Value::Absent));
                };
                return Ok(Cell::of(value, map.elem()));
            }
            Value::Object(object) => {
                let given = self.arguments(dot, args, last)?;
                self.at = Some(At::Operand(node));
                match object.call(name, &given) {
                    Some(Ok(value)) => {
                        self.charge(&given, &value)?;
                        return Ok(Cell::plain(value));
                    }
                    Some(Err(problem)) => {
                        self.at = Some(At::Operand(node));
                        return self.fail(format!("error calling {name}: {problem}"));
                    }
                    None => {}
                }
                let field = object.field(name);
                if object.is_nil() && field.is_some() {
                    return self.fail(format!(
                        "nil pointer evaluating {}.{name}",
                        receiver.type_name()
                    ));
                }
                if let Some(value) = field {
                    if has_args {
                        return self.fail(format!(
                            "{name} has arguments but cannot be invoked as function"
                        ));
                    }
                    return Ok(Cell::plain(value));
                }
            }
            _ => {}
        }
        self.fail(format!(
            "can't evaluate field {name} in type {}",
            receiver.type_name()
        ))
    }
}

//! A parsed template, and how its parts are named in errors.

use std::fmt;
use std::sync::Arc;

use super::functions::Function;
use super::value::Value;

/// Items in order.
pub(super) type Body = Vec<Item>;

/// A template of a set.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) name: Arc<str>,
    pub(super) body: Body,
}

/// What a body is made of. Positions are bytes from the start of the text.
#[derive(Debug)]
pub(super) enum Item {
    Text(Box<str>),
    Action {
        pos: usize,
        pipe: Pipe,
    },
    If {
        pos: usize,
        branch: Branch,
    },
    With {
        pos: usize,
        branch: Branch,
    },
    Range {
        pos: usize,
        branch: Branch,
    },
    Template {
        pos: usize,
        name: Arc<str>,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Body,
    pub(super) otherwise: Option<Body>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) pos: usize,
    pub(super) assigns: bool,
    pub(super) declared: Vec<Arc<str>>,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) pos: usize,
    pub(super) args: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) pos: usize,
    pub(super) term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    String {
        source: Box<str>,
        text: Arc<str>,
    },
    /// `.a.b`
    Field(Vec<Arc<str>>),
    /// `$a.b`
    Variable(Arc<str>, Vec<Arc<str>>),
    /// `(…).a.b`
    Chain(Box<Operand>, Vec<Arc<str>>),
    Function(Arc<Function>),
    Pipe(Pipe),
}

/// A number constant, which takes the type that it is used as.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) source: Box<str>,
    pub(super) int: Option<i64>,
    pub(super) uint: Option<u64>,
    pub(super) float: Option<f64>,
    /// What it is where any type will do; nothing if it overflows `int`.
    pub(super) ideal: Option<Value>,
}

/// A part of the tree that an error can point at.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'t> {
    Item(&'t Item),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl At<'_> {
    pub(super) fn pos(self) -> usize {
        match self {
            Self::Item(item) => match item {
                Item::Action { pos, .. }
                | Item::If { pos, .. }
                | Item::With { pos, .. }
                | Item::Range { pos, .. }
                | Item::Template { pos, .. } => *pos,
                Item::Text(_) | Item::Break | Item::Continue => 0,
            },
            Self::Pipe(pipe) => pipe.pos,
            Self::Command(command) => command.pos,
            Self::Operand(operand) => operand.pos,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => item.fmt(f),
            Self::Pipe(pipe) => pipe.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Operand(operand) => operand.fmt(f),
        }
    }
}

fn body(f: &mut fmt::Formatter<'_>, body: &[Item]) -> fmt::Result {
    body.iter().try_for_each(|item| write!(f, "{item}"))
}

fn branch(f: &mut fmt::Formatter<'_>, name: &str, branch: &Branch) -> fmt::Result {
    write!(f, "{{{{{name} {}}}}}", branch.pipe)?;
    body(f, &branch.then)?;
    if let Some(otherwise) = &branch.otherwise {
        f.write_str("{{else}}")?;
        body(f, otherwise)?;
    }
    f.write_str("{{end}}")
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Self::If { branch: parts, .. } => branch(f, "if", parts),
            Self::With { branch: parts, .. } => branch(f, "with", parts),
            Self::Range { branch: parts, .. } => branch(f, "range", parts),
            Self::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", super::print::quoted(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared.is_empty() {
            f.write_str(&self.declared.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            in_parens(f, arg)?;
        }
        Ok(())
    }
}

fn in_parens(f: &mut fmt::Formatter<'_>, operand: &Operand) -> fmt::Result {
    match &operand.term {
        Term::Pipe(pipe) => write!(f, "({pipe})"),
        _ => write!(f, "{operand}"),
    }
}

fn fields(f: &mut fmt::Formatter<'_>, names: &[Arc<str>]) -> fmt::Result {
    names.iter().try_for_each(|name| write!(f, ".{name}"))
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Bool(value) => value.fmt(f),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Number(number) => f.write_str(&number.source),
            Term::String { source, .. } => f.write_str(source),
            Term::Field(names) => fields(f, names),
            Term::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            Term::Chain(operand, names) => {
                in_parens(f, operand)?;
                fields(f, names)
            }
            Term::Function(function) => f.write_str(&function.name),
            Term::Pipe(pipe) => pipe.fmt(f),
        }
    }
}

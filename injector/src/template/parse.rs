//! From tokens to trees.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::constant;
use super::functions::Functions;
use super::lex::{self, Kind, Token};
use super::print::quoted;
use super::tree::{Body, Branch, Command, Item, Operand, Pipe, Term, Tree};

/// The deepest nesting of parentheses and of `if`, `range`, `with`, `block` and `define`.
pub(super) const MAX_NESTING: usize = 100;

/// The trees of a text by name.
pub(super) type Trees = BTreeMap<Arc<str>, Tree>;

/// What is wrong with a template's text, and in which line.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: u32,
    pub(super) message: String,
}

type Parsed<T> = Result<T, Problem>;

/// Parses a text.
pub(super) fn parse(name: &str, text: &str, functions: &Functions) -> Parsed<Trees> {
    let mut parser = Parser {
        name,
        tokens: lex::tokens(text),
        next: 0,
        furthest: 0,
        functions,
        trees: Trees::new(),
        variables: vec!["$".into()],
        ranges: 0,
        nesting: 0,
        action_line: 0,
    };
    let body = parser.top()?;
    parser.add(name, body)?;
    Ok(parser.trees)
}

struct Parser<'t> {
    name: &'t str,
    tokens: Vec<Token<'t>>,
    next: usize,
    /// The last token that was looked at: errors name its line.
    furthest: usize,
    functions: &'t Functions,
    trees: Trees,
    variables: Vec<Arc<str>>,
    /// How many ranges of the same template surround this place.
    ranges: usize,
    nesting: usize,
    action_line: u32,
}

/// What ended a list of items.
enum Ended {
    End,
    Else,
}

/// One step of a body.
enum Step {
    Item(Item),
    Ended(Ended),
}

impl<'t> Parser<'t> {
    fn look(&mut self, index: usize) -> &Token<'t> {
        // The last token is the end or an error, and what follows it is the same again.
        let index = index.min(self.tokens.len().saturating_sub(1));
        self.furthest = self.furthest.max(index);
        &self.tokens[index]
    }

    fn peek(&mut self) -> Kind {
        self.look(self.next).kind
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.look(self.next).clone();
        self.next += 1;
        token
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_solid(&mut self) -> Kind {
        self.skip_spaces();
        self.peek()
    }

    fn take_solid(&mut self) -> Token<'t> {
        self.skip_spaces();
        self.take()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Problem {
            line: self.tokens[self.furthest].line,
            message: message.into(),
        })
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.fail(format!("unexpected {token} in {context}"));
        }
        let mut message = token.problem.clone();
        if self.action_line != 0 && self.action_line != token.line {
            let among = if message.ends_with(" action") {
                ""
            } else {
                " in action"
            };
            message.push_str(&format!(
                "{among} started at {}:{}",
                self.name, self.action_line
            ));
        }
        self.fail(message)
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token<'t>> {
        let token = self.take_solid();
        if token.kind == kind {
            return Ok(token);
        }
        self.unexpected(&token, context)
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.fail("max expression depth exceeded");
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn add(&mut self, name: &str, body: Body) -> Parsed<()> {
        let held = self
            .trees
            .get(name)
            .is_some_and(|tree| !is_empty(&tree.body));
        if !held {
            let name: Arc<str> = name.into();
            let _ = self.trees.insert(name.clone(), Tree { name, body });
            return Ok(());
        }
        if is_empty(&body) {
            return Ok(());
        }
        self.fail(format!(
            "template: multiple definition of template {}",
            quoted(name)
        ))
    }

    fn top(&mut self) -> Parsed<Body> {
        let mut body = Body::new();
        while self.peek() != Kind::Eof {
            if self.peek() == Kind::LeftDelim {
                let start = self.next;
                self.next += 1;
                if self.take_solid().kind == Kind::Define {
                    self.nested(Self::define)?;
                    continue;
                }
                self.next = start;
            }
            match self.step()? {
                Step::Item(item) => body.push(item),
                Step::Ended(Ended::End) => return self.fail("unexpected {{end}}"),
                Step::Ended(Ended::Else) => return self.fail("unexpected {{else}}"),
            }
        }
        Ok(body)
    }

    /// Parses a template of its own inside another: it sees none of the other's variables and ranges.
    fn apart(&mut self, context: &str) -> Parsed<Body> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, ended) = self.items()?;
        if let Ended::Else = ended {
            return self.fail(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.variables = variables;
        self.ranges = ranges;
        Ok(body)
    }

    fn define(&mut self) -> Parsed<()> {
        let context = "define clause";
        let name = self.take_solid();
        let name = self.template_name(&name, context)?;
        let _ = self.expect(Kind::RightDelim, context)?;
        let body = self.apart(context)?;
        self.add(&name, body)
    }

    fn template_name(&self, token: &Token<'_>, context: &str) -> Parsed<Arc<str>> {
        if !matches!(token.kind, Kind::Quoted | Kind::Raw) {
            return self.unexpected(token, context);
        }
        match constant::unquote(token.text) {
            Some(name) => Ok(name.into()),
            None => self.fail("invalid syntax"),
        }
    }

    fn items(&mut self) -> Parsed<(Body, Ended)> {
        let mut body = Body::new();
        while self.peek_solid() != Kind::Eof {
            match self.step()? {
                Step::Item(item) => body.push(item),
                Step::Ended(ended) => return Ok((body, ended)),
            }
        }
        self.fail("unexpected EOF")
    }

    fn step(&mut self) -> Parsed<Step> {
        let token = self.take_solid();
        match token.kind {
            Kind::Text => Ok(Step::Item(Item::Text(token.text.into()))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let step = self.action()?;
                self.action_line = 0;
                Ok(step)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Step> {
        self.skip_spaces();
        let start = self.next;
        let token = self.take();
        let item = match token.kind {
            Kind::Block => self.nested(Self::block)?,
            Kind::Break | Kind::Continue => self.leave(token.kind)?,
            Kind::Else => return self.else_control(),
            Kind::End => {
                let _ = self.expect(Kind::RightDelim, "end")?;
                return Ok(Step::Ended(Ended::End));
            }
            Kind::If | Kind::Range | Kind::With => {
                self.nested(|parser| parser.control(token.kind))?
            }
            Kind::Template => self.template()?,
            _ => {
                self.next = start;
                let pipe = self.pipeline("command", Kind::RightDelim)?;
                Item::Action {
                    pos: token.pos,
                    pipe,
                }
            }
        };
        Ok(Step::Item(item))
    }

    fn leave(&mut self, kind: Kind) -> Parsed<Item> {
        let (name, item) = match kind {
            Kind::Break => ("{{break}}", Item::Break),
            _ => ("{{continue}}", Item::Continue),
        };
        let token = self.take_solid();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, name);
        }
        if self.ranges == 0 {
            return self.fail(format!("{name} outside {{{{range}}}}"));
        }
        Ok(item)
    }

    fn else_control(&mut self) -> Parsed<Step> {
        if !matches!(self.peek_solid(), Kind::If | Kind::With) {
            let _ = self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Step::Ended(Ended::Else))
    }

    fn template(&mut self) -> Parsed<Item> {
        let context = "template clause";
        let token = self.take_solid();
        let name = self.template_name(&token, context)?;
        let pipe = if self.peek_solid() == Kind::RightDelim {
            self.next += 1;
            None
        } else {
            Some(self.pipeline(context, Kind::RightDelim)?)
        };
        Ok(Item::Template {
            pos: token.pos,
            name,
            pipe,
        })
    }

    fn block(&mut self) -> Parsed<Item> {
        let context = "block clause";
        let token = self.take_solid();
        let name = self.template_name(&token, context)?;
        let pipe = Some(self.pipeline(context, Kind::RightDelim)?);
        let body = self.apart(context)?;
        self.add(&name, body)?;
        Ok(Item::Template {
            pos: token.pos,
            name,
            pipe,
        })
    }

    fn control(&mut self, kind: Kind) -> Parsed<Item> {
        let context = match kind {
            Kind::If => "if",
            Kind::Range => "range",
            _ => "with",
        };
        let known = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let ranges = self.ranges;
        if kind == Kind::Range {
            self.ranges += 1;
        }
        let (then, ended) = self.items()?;
        self.ranges = ranges;
        let otherwise = match ended {
            Ended::End => None,
            Ended::Else if kind != Kind::Range && self.peek() == kind => {
                self.next += 1;
                Some(vec![self.nested(|parser| parser.control(kind))?])
            }
            Ended::Else => {
                let (otherwise, ended) = self.items()?;
                if let Ended::Else = ended {
                    return self.fail("expected end; found {{else}}");
                }
                Some(otherwise)
            }
        };
        self.variables.truncate(known);
        let pos = pipe.pos;
        let branch = Branch {
            pipe,
            then,
            otherwise,
        };
        Ok(match kind {
            Kind::If => Item::If { pos, branch },
            Kind::Range => Item::Range { pos, branch },
            _ => Item::With { pos, branch },
        })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        self.skip_spaces();
        let mut pipe = Pipe {
            pos: self.look(self.next).pos,
            assigns: false,
            declared: Vec::new(),
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_solid();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_solid() == Kind::Variable {
            let start = self.next;
            let name: Arc<str> = self.take().text.into();
            let after = self.take_solid();
            match after.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = after.kind == Kind::Assign;
                    pipe.declared.push(name.clone());
                    self.variables.push(name);
                    return Ok(());
                }
                Kind::Other if after.text == "," => {
                    pipe.declared.push(name.clone());
                    self.variables.push(name);
                    if context == "range" && pipe.declared.len() < 2 {
                        match self.peek_solid() {
                            Kind::Variable | Kind::RightDelim | Kind::RightParen => continue,
                            _ => return self.fail("range can only initialize variables"),
                        }
                    }
                    return self.fail(format!("too many declarations in {context}"));
                }
                _ => {
                    self.next = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            let constant = command
                .args
                .first()
                .is_some_and(|arg| is_constant(&arg.term));
            if constant {
                return self.fail(format!(
                    "non executable command in pipeline stage {}",
                    stage + 1
                ));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        self.skip_spaces();
        let pos = self.look(self.next).pos;
        let mut args = Vec::new();
        loop {
            self.skip_spaces();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command { pos, args })
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else {
            return Ok(None);
        };
        if self.peek() != Kind::Field {
            return Ok(Some(operand));
        }
        let pos = self.look(self.next).pos;
        let mut names = Vec::new();
        while self.peek() == Kind::Field {
            let token = self.take();
            names.push(Arc::from(&token.text[1..]));
        }
        let term = match operand.term {
            Term::Field(mut head) => {
                head.append(&mut names);
                Term::Field(head)
            }
            Term::Variable(name, mut head) => {
                head.append(&mut names);
                Term::Variable(name, head)
            }
            ref term if is_constant(term) => {
                return self.fail(format!(
                    "unexpected . after term {}",
                    quoted(&operand.to_string())
                ));
            }
            _ => Term::Chain(Box::new(operand), names),
        };
        Ok(Some(Operand { pos, term }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.take_solid();
        let term = match token.kind {
            Kind::Identifier => match self.functions.get(token.text) {
                Some(function) => Term::Function(function.clone()),
                None => return self.fail(format!("function {} not defined", quoted(token.text))),
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| **name == *token.text) {
                    return self.fail(format!("undefined variable {}", quoted(token.text)));
                }
                Term::Variable(token.text.into(), Vec::new())
            }
            Kind::Field => Term::Field(vec![Arc::from(&token.text[1..])]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::Char | Kind::Number | Kind::Complex => match constant::number(&token) {
                Ok(number) => Term::Number(number),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                let pipe = self
                    .nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                let pos = pipe.pos;
                return Ok(Some(Operand {
                    pos,
                    term: Term::Pipe(pipe),
                }));
            }
            Kind::Quoted | Kind::Raw => match constant::unquote(token.text) {
                Some(text) => Term::String {
                    source: token.text.into(),
                    text: text.into(),
                },
                None => return self.fail("invalid syntax"),
            },
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand {
            pos: token.pos,
            term,
        }))
    }
}

fn is_constant(term: &Term) -> bool {
    match term {
        Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::String { .. } => true,
        Term::Field(_)
        | Term::Variable(..)
        | Term::Chain(..)
        | Term::Function(_)
        | Term::Pipe(_) => false,
    }
}

/// Whether a body is only white space: such a definition does not count.
fn is_empty(body: &[Item]) -> bool {
    body.iter().all(|item| match item {
        Item::Text(text) => text.trim().is_empty(),
        _ => false,
    })
}

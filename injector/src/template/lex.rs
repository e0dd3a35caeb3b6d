//! From text to tokens.

use std::fmt;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Other,
    Bool,
    Char,
    Complex,
    Number,
    Quoted,
    Raw,
    Field,
    Identifier,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token: the text it was made of, and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Only of errors.
    pub(super) problem: String,
    pub(super) pos: usize,
    pub(super) line: u32,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.problem),
            kind if kind as u8 >= Kind::Dot as u8 => write!(f, "<{}>", self.text),
            _ => {
                // Ten bytes are enough to find the place, and the cut must not split a character.
                if self.text.len() > 10 {
                    let head: String = self.text.chars().take(10).collect();
                    return write!(f, "{}...", super::print::quoted(&head));
                }
                f.write_str(&super::print::quoted(self.text))
            }
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn trims_left(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && bytes[0] == b'-' && is_space(char::from(bytes[1]))
}

/// Whether the text begins with a space and a dash and then the closing delimiter.
fn trims_right(text: &str) -> bool {
    text.starts_with(is_space) && text[1..].starts_with("-}}")
}

struct Lexer<'t> {
    input: &'t str,
    pos: usize,
    start: usize,
    /// The line of `counted`.
    line: u32,
    counted: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
}

/// The tokens of a template, an end or an error last.
pub(super) fn tokens(input: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        input,
        pos: 0,
        start: 0,
        line: 1,
        counted: 0,
        parens: 0,
        tokens: Vec::new(),
    };
    if let Err(problem) = lexer.run() {
        let line = lexer.line_of_start();
        lexer.tokens.push(Token {
            kind: Kind::Error,
            text: "",
            problem,
            pos: lexer.start,
            line,
        });
    }
    lexer.tokens
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, valid: &str) -> bool {
        match self.peek() {
            Some(c) if valid.contains(c) => {
                self.pos += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn line_of_start(&mut self) -> u32 {
        let passed = &self.input.as_bytes()[self.counted..self.start];
        let newlines = passed.iter().filter(|b| **b == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
        self.counted = self.start;
        self.line
    }

    fn emit(&mut self, kind: Kind) {
        let line = self.line_of_start();
        self.tokens.push(Token {
            kind,
            text: &self.input[self.start..self.pos],
            problem: String::new(),
            pos: self.start,
            line,
        });
        self.start = self.pos;
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(is_space).len();
        self.start = self.pos;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(found) = self.rest().find("{{") else {
                self.pos = self.input.len();
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return Ok(());
            };
            let delim = self.pos + found;
            let trims = trims_left(&self.input[delim + 2..]);
            let mut text = &self.input[self.pos..delim];
            if trims {
                text = text.trim_end_matches(is_space);
            }
            self.pos += text.len();
            if !text.is_empty() {
                self.emit(Kind::Text);
            }
            self.pos = delim;
            self.start = delim;
            let marker = if trims { 2 } else { 0 };
            if self.input[delim + 2 + marker..].starts_with("/*") {
                self.pos = delim + 2 + marker;
                self.start = self.pos;
                self.comment()?;
            } else {
                self.pos = delim + 2;
                self.emit(Kind::LeftDelim);
                self.pos += marker;
                self.start = self.pos;
                self.action()?;
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = self.rest()[2..].find("*/") else {
            return Err("unclosed comment".to_owned());
        };
        self.pos += 2 + end + 2;
        if trims_right(self.rest()) {
            self.pos += 4;
            self.skip_spaces();
        } else if self.rest().starts_with("}}") {
            self.pos += 2;
        } else {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.start = self.pos;
        Ok(())
    }

    /// Reads up to and with the closing delimiter.
    fn action(&mut self) -> Result<(), String> {
        self.parens = 0;
        loop {
            let trims = trims_right(self.rest());
            if trims || self.rest().starts_with("}}") {
                if self.parens > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                if trims {
                    self.pos += 2;
                    self.start = self.pos;
                }
                self.pos += 2;
                self.emit(Kind::RightDelim);
                if trims {
                    self.skip_spaces();
                }
                return Ok(());
            }
            self.token()?;
        }
    }

    fn token(&mut self) -> Result<(), String> {
        let Some(c) = self.next() else {
            return Err("unclosed action".to_owned());
        };
        match c {
            c if is_space(c) => {
                self.pos -= 1;
                while self.peek().is_some_and(is_space) && !trims_right(self.rest()) {
                    self.pos += 1;
                }
                self.emit(Kind::Space);
            }
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.until('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.until('\'', Kind::Char, "unterminated character constant")?,
            '`' => {
                let Some(end) = self.rest().find('`') else {
                    return Err("unterminated raw quoted string".to_owned());
                };
                self.pos += end + 1;
                self.emit(Kind::Raw);
            }
            '$' => self.field(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.field(Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = self.start;
                self.number()?;
            }
            c if is_word(c) => self.word()?,
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                if self.parens == 0 {
                    return Err("unexpected right paren".to_owned());
                }
                self.parens -= 1;
                self.emit(Kind::RightParen);
            }
            ' '..='~' => self.emit(Kind::Other),
            c => {
                return Err(format!(
                    "unrecognized character in action: {}",
                    code_point(c)
                ));
            }
        }
        Ok(())
    }

    /// Reads to the closing quote.
    fn until(&mut self, quote: char, kind: Kind, problem: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return Err(problem.to_owned());
                    }
                }
                None | Some('\n') => return Err(problem.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    fn terminated(&self) -> Result<(), String> {
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(format!("bad character {}", code_point(c))),
            _ => Ok(()),
        }
    }

    fn field(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            let bare = kind == Kind::Variable;
            self.emit(if bare { Kind::Variable } else { Kind::Dot });
            return Ok(());
        }
        while self.peek().is_some_and(is_word) {
            let _ = self.next();
        }
        self.terminated()?;
        self.emit(kind);
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_word) {
            let _ = self.next();
        }
        self.terminated()?;
        let kind = match &self.input[self.start..self.pos] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let mut kind = Kind::Number;
        let mut good = self.scan_number();
        if good && matches!(self.peek(), Some('+' | '-')) {
            kind = Kind::Complex;
            good = self.scan_number() && self.input[..self.pos].ends_with('i');
        }
        if !good {
            let text = super::print::quoted(&self.input[self.start..self.pos]);
            return Err(format!("bad number syntax: {text}"));
        }
        self.emit(kind);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        let _ = self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if !exponent.is_empty() && self.accept(exponent) {
            let _ = self.accept("+-");
            self.accept_run("0123456789_");
        }
        let _ = self.accept("i");
        if self.peek().is_some_and(is_word) {
            let _ = self.next();
            return false;
        }
        true
    }
}

/// As Go's `%#U`.
fn code_point(c: char) -> String {
    let code = u32::from(c);
    if c.is_control() {
        format!("U+{code:04X}")
    } else {
        format!("U+{code:04X} '{c}'")
    }
}

//! CEL, the expression language of access log filters: whether a text is an expression. Nothing is evaluated, and no
//! name is looked up, since Istio 1.31 parses only (`cel.Env.Parse`, with the standard macros).

mod tokens;

use tokens::{Token, tokens};

use crate::Check;

/// How deep expressions may nest (`cel-go`: the same).
const MAX_DEPTH: usize = 250;

/// The longest expression (`cel-go`: the same).
const MAX_LENGTH: usize = 100_000;

/// Words that no variable may be called.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
];

/// What an expression is, as far as macros ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A name.
    Name,
    /// A field of something.
    Field,
    Other,
}

/// An expression.
pub fn expression(text: &str) -> Check {
    if text.chars().count() > MAX_LENGTH {
        return Err(format!("it has more than {MAX_LENGTH} characters"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    parser.ternary()?;
    match parser.peek() {
        Some(token) => Err(unexpected(Some(token))),
        None => Ok(()),
    }
}

fn unexpected(token: Option<&Token<'_>>) -> String {
    match token {
        Some(token) => format!("syntax error: unexpected {token}"),
        None => "syntax error: the expression ends too early".to_owned(),
    }
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    depth: usize,
}

type Parsed = Result<Shape, String>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at)
    }

    /// Takes the token if it is this sign.
    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(format!("{}, expecting '{sign}'", unexpected(self.peek())))
    }

    /// `a ? b : c`, the loosest.
    fn ternary(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("expression recursion limit exceeded: {MAX_DEPTH}"));
        }
        let mut shape = self.binary(0)?;
        if self.takes("?") {
            self.binary(0)?;
            self.expect(":")?;
            self.ternary()?;
            shape = Shape::Other;
        }
        self.depth -= 1;
        Ok(shape)
    }

    /// Operators of one strength and all that are stronger.
    fn binary(&mut self, strength: usize) -> Parsed {
        const OPERATORS: [&[&str]; 5] = [
            &["||"],
            &["&&"],
            &["<", "<=", ">=", ">", "==", "!=", "in"],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(operators) = OPERATORS.get(strength) else {
            return self.unary();
        };
        let mut shape = self.binary(strength + 1)?;
        while operators.iter().any(|operator| self.takes(operator)) {
            self.binary(strength + 1)?;
            shape = Shape::Other;
        }
        Ok(shape)
    }

    /// `!a`, `--a`; the two do not mix.
    fn unary(&mut self) -> Parsed {
        let mut signed = false;
        for sign in ["!", "-"] {
            while !signed && self.takes(sign) {
                while self.takes(sign) {}
                signed = true;
            }
        }
        let shape = self.member()?;
        Ok(if signed { Shape::Other } else { shape })
    }

    fn member(&mut self) -> Parsed {
        let mut shape = self.primary()?;
        loop {
            if self.takes(".") {
                let Some(Token::Name(name)) = self.peek() else {
                    return Err(unexpected(self.peek()));
                };
                self.at += 1;
                shape = Shape::Field;
                if self.takes("(") {
                    let first = self.arguments(")")?;
                    comprehension(name, &first)?;
                    shape = Shape::Other;
                }
            } else if self.takes("[") {
                self.ternary()?;
                self.expect("]")?;
                shape = Shape::Other;
            } else if shape != Shape::Other && self.takes("{") {
                self.fields()?;
                shape = Shape::Other;
            } else {
                return Ok(shape);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let rooted = self.takes(".");
        let token = self.peek();
        self.at += usize::from(token.is_some());
        match token {
            Some(Token::Name(name)) => {
                if self.takes("(") {
                    let arguments = self.arguments(")")?;
                    if *name == "has" && arguments != [Shape::Field] {
                        return Err("invalid argument to has() macro".to_owned());
                    }
                    return Ok(Shape::Other);
                }
                if RESERVED.contains(name) || *name == "while" {
                    return Err(format!("reserved identifier: {name}"));
                }
                Ok(Shape::Name)
            }
            Some(Token::Literal(_)) if !rooted => Ok(Shape::Other),
            Some(Token::Sign("(")) if !rooted => {
                self.ternary()?;
                self.expect(")")?;
                Ok(Shape::Other)
            }
            Some(Token::Sign("[")) if !rooted => {
                self.arguments("]")?;
                Ok(Shape::Other)
            }
            Some(Token::Sign("{")) if !rooted => {
                self.entries()?;
                Ok(Shape::Other)
            }
            other => Err(unexpected(other)),
        }
    }

    /// Expressions up to the end; a list may end with a comma.
    fn arguments(&mut self, end: &str) -> Result<Vec<Shape>, String> {
        let mut shapes = Vec::new();
        while !self.takes(end) {
            if !shapes.is_empty() {
                self.expect(",")?;
                if end == "]" && self.takes(end) {
                    break;
                }
            }
            shapes.push(self.ternary()?);
        }
        Ok(shapes)
    }

    /// `{"a": 1, 2: b}`.
    fn entries(&mut self) -> Result<(), String> {
        let mut first = true;
        while !self.takes("}") {
            if !first {
                self.expect(",")?;
                if self.takes("}") {
                    break;
                }
            }
            self.ternary()?;
            self.expect(":")?;
            self.ternary()?;
            first = false;
        }
        Ok(())
    }

    /// `Type{field: 1}`.
    fn fields(&mut self) -> Result<(), String> {
        let mut first = true;
        while !self.takes("}") {
            if !first {
                self.expect(",")?;
                if self.takes("}") {
                    break;
                }
            }
            if !matches!(self.peek(), Some(Token::Name(_))) {
                return Err(unexpected(self.peek()));
            }
            self.at += 1;
            self.expect(":")?;
            self.ternary()?;
            first = false;
        }
        Ok(())
    }
}

/// The macros that go through lists ask for a variable first.
fn comprehension(name: &str, arguments: &[Shape]) -> Check {
    let variables = match (name, arguments.len()) {
        ("all" | "exists" | "exists_one" | "filter", 2) | ("map", 2 | 3) => 1,
        _ => return Ok(()),
    };
    if arguments[..variables].iter().all(|a| *a == Shape::Name) {
        return Ok(());
    }
    Err("argument must be a simple name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::expression;

    #[test]
    fn tells_expressions_from_other_text() {
        for (text, good) in [
            ("response.code >= 400", true),
            (
                "connection.mtls && request.url_path.contains('v1beta3')",
                true,
            ),
            ("has(request.headers['x'])", false),
            ("has(request.headers.x) ? 1 : 2", true),
            ("[1, 2,].all(x, x > 0)", true),
            ("[1].all(x.y, true)", false),
            ("{'a': 1u, b: 0x1F}['a'] in [1]", true),
            ("Type{a: 1, b: .c}", true),
            ("!!a && --1 == 1", true),
            ("a.b.c(1, 'x')[2]", true),
            (r#"r"\d" + b'x' + """a "quoted" b""""#, true),
            ("1.5e3 + .5", true),
            ("a // why", true),
            ("-!a", false),
            ("", false),
            ("a +", false),
            ("a b", false),
            ("f(a,)", false),
            ("(a", false),
            ("'open", false),
            (r"'\q'", false),
            ("a = b", false),
            ("for", false),
            ("a.b.?c", false),
            ("99999999999999999999", false),
            ("request.code && ", false),
        ] {
            assert_eq!(
                expression(text).is_ok(),
                good,
                "{text}: {:?}",
                expression(text)
            );
        }
        assert!(expression(&"(".repeat(5_000)).is_err());
        assert!(expression(&"[".repeat(5_000)).is_err());
    }
}

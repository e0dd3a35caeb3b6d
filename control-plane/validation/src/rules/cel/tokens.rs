//! The words and signs of CEL.

use std::fmt;

/// A word or a sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    /// A name, also of a macro or a reserved one.
    Name(&'a str),
    /// A number, a string, bytes, `true`, `false` or `null`.
    Literal(&'a str),
    /// An operator or a bracket; `in` is one.
    Sign(&'a str),
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Name(text) | Self::Literal(text) | Self::Sign(text)) = self;
        write!(f, "'{text}'")
    }
}

const SIGNS: [&str; 24] = [
    "&&", "||", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

/// Takes a text apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return Ok(found);
        };
        let second = rest[first.len_utf8()..].chars().next();
        let fraction = first == '.' && second.is_some_and(|c| c.is_ascii_digit());
        let (token, length) = if let Some(length) = string(rest)? {
            (Token::Literal(&rest[..length]), length)
        } else if first.is_ascii_digit() || fraction {
            let length = number(rest)?;
            (Token::Literal(&rest[..length]), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let length = rest.find(other).unwrap_or(rest.len());
            let token = match &rest[..length] {
                word @ ("true" | "false" | "null") => Token::Literal(word),
                "in" => Token::Sign("in"),
                name => Token::Name(name),
            };
            (token, length)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(format!(
                "syntax error: token recognition error at: '{first}'"
            ));
        };
        found.push(token);
        rest = &rest[length..];
    }
}

/// The length of a number at the beginning.
fn number(text: &str) -> Result<usize, String> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if let Some(hex) = text.strip_prefix("0x") {
        let length = hex.len()
            - hex
                .trim_start_matches(|c: char| c.is_ascii_hexdigit())
                .len();
        if length > 0 {
            if u64::from_str_radix(&hex[..length], 16).is_err() {
                return Err("invalid int literal".to_owned());
            }
            return Ok(2 + length + usize::from(hex[length..].starts_with(['u', 'U'])));
        }
    }
    let mut length = digits(text);
    let mut is_whole = true;
    if text[length..].starts_with('.') && digits(&text[length + 1..]) > 0 {
        length += 1 + digits(&text[length + 1..]);
        is_whole = false;
    }
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        if digits(&exponent[sign..]) > 0 {
            length += 1 + sign + digits(&exponent[sign..]);
            is_whole = false;
        }
    }
    if !is_whole {
        return Ok(length);
    }
    if text[length..].starts_with(['u', 'U']) {
        let good = text[..length].parse::<u64>().is_ok();
        return if good {
            Ok(length + 1)
        } else {
            Err("invalid uint literal".to_owned())
        };
    }
    // The smallest number is one further from zero than the largest.
    match text[..length].parse::<u64>() {
        Ok(value) if value <= 1 << 63 => Ok(length),
        _ => Err("invalid int literal".to_owned()),
    }
}

/// The length of a string or of bytes at the beginning, with what stands before the quotes.
fn string(text: &str) -> Result<Option<usize>, String> {
    let prefix = text.find(['"', '\'']).unwrap_or(text.len());
    let (mut raw, mut bytes) = (0, 0);
    for c in text[..prefix.min(2)].chars() {
        match c {
            'r' | 'R' => raw += 1,
            'b' | 'B' => bytes += 1,
            _ => return Ok(None),
        }
    }
    if prefix == text.len() || prefix > 2 || raw > 1 || bytes > 1 {
        return Ok(None);
    }
    let quoted = &text[prefix..];
    let quote = &quoted[..1];
    let triple = quoted.starts_with(&quote.repeat(3));
    let end = if triple {
        quote.repeat(3)
    } else {
        quote.to_owned()
    };
    let mut at = end.len();
    loop {
        let rest = &quoted[at..];
        if rest.starts_with(&end) {
            return Ok(Some(prefix + at + end.len()));
        }
        let open = || "syntax error: a string is not closed".to_owned();
        let c = rest.chars().next().ok_or_else(open)?;
        match c {
            '\n' | '\r' if !triple => return Err(open()),
            '\\' if raw == 0 => at += escape(rest)?,
            _ => at += c.len_utf8(),
        }
    }
}

/// The length of an escape.
fn escape(text: &str) -> Result<usize, String> {
    let wrong = || {
        format!(
            "syntax error: unknown escape in '{}'",
            text.chars().take(4).collect::<String>()
        )
    };
    let rest = &text[1..];
    let digits = |radix: u32, from: usize, count: usize| {
        let found = rest.get(from..from + count);
        found.is_some_and(|d| d.chars().all(|c| c.is_digit(radix)))
    };
    match rest.chars().next().ok_or_else(wrong)? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '?' | '"' | '\'' | '`' => Ok(2),
        'x' | 'X' if digits(16, 1, 2) => Ok(4),
        'u' if digits(16, 1, 4) => Ok(6),
        'U' if digits(16, 1, 8) => Ok(10),
        '0'..='3' if digits(8, 0, 3) => Ok(4),
        _ => Err(wrong()),
    }
}

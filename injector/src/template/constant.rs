//! Number, character and string constants of Go.

use super::lex::{Kind, Token};
use super::print::quoted;
use super::tree::Number;
use super::value::Value;

/// The text of a quoted or raw string constant; nothing if an escape is wrong.
pub(super) fn unquote(source: &str) -> Option<String> {
    if let Some(raw) = source.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let inner = source.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        rest = unescape(rest, '"', &mut bytes)?;
    }
    // Go's strings are bytes; ours are characters, so that a byte that is none becomes U+FFFD.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads one character, maybe escaped, and returns what follows it.
fn unescape<'t>(text: &'t str, quote: char, out: &mut Vec<u8>) -> Option<&'t str> {
    let mut chars = text.chars();
    let c = chars.next()?;
    if c != '\\' {
        if c == quote {
            return None;
        }
        push(c, out);
        return Some(chars.as_str());
    }
    let c = chars.next()?;
    let rest = chars.as_str();
    let plain = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '\'' | '"' if c == quote => u8::try_from(c).ok()?,
        'x' => {
            out.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
            return rest.get(2..);
        }
        'u' | 'U' => {
            let digits = if c == 'u' { 4 } else { 8 };
            let code = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            push(char::from_u32(code)?, out);
            return rest.get(digits..);
        }
        '0'..='7' => {
            let digits = text.get(1..4)?;
            let code = u16::from_str_radix(digits, 8).ok()?;
            out.push(u8::try_from(code).ok()?);
            return text.get(4..);
        }
        _ => return None,
    };
    out.push(plain);
    Some(rest)
}

fn push(c: char, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
}

/// Reads a number or character constant.
pub(super) fn number(token: &Token<'_>) -> Result<Number, String> {
    let source = token.text;
    let mut number = Number {
        source: source.into(),
        int: None,
        uint: None,
        float: None,
        ideal: None,
    };
    if token.kind == Kind::Char {
        let code = character(source)?;
        number.int = Some(i64::from(code));
        number.uint = Some(u64::from(code));
        number.float = Some(f64::from(code));
        number.ideal = number.int.map(Value::Int);
        return Ok(number);
    }
    if token.kind == Kind::Complex || source.ends_with('i') {
        return Err(format!(
            "complex numbers are not supported: {}",
            quoted(source)
        ));
    }
    number.uint = parse_uint(source);
    number.int = parse_int(source);
    if number.int == Some(0) {
        number.uint = Some(0);
    }
    let looks_float = source.contains(['.', 'e', 'E', 'p', 'P']);
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(uint) = number.uint {
        number.float = Some(uint as f64);
    } else if let Some(float) = parse_float(source) {
        if !looks_float {
            return Err(format!("integer overflow: {}", quoted(source)));
        }
        number.float = Some(float);
        if (float as i64) as f64 == float {
            number.int = Some(float as i64);
        }
        if (float as u64) as f64 == float {
            number.uint = Some(float as u64);
        }
    } else {
        return Err(format!("illegal number syntax: {}", quoted(source)));
    }
    let hex = source.starts_with("0x") || source.starts_with("0X");
    number.ideal = match number {
        Number {
            float: Some(float), ..
        } if looks_float && (!hex || source.contains(['p', 'P'])) => Some(Value::Float(float)),
        Number { int: Some(int), .. } => Some(Value::Int(int)),
        _ => None,
    };
    Ok(number)
}

fn character(source: &str) -> Result<u32, String> {
    let inner = &source[1..];
    let mut bytes = Vec::new();
    let rest = unescape(inner, '\'', &mut bytes).ok_or("invalid syntax")?;
    if rest != "'" {
        return Err(format!("malformed character constant: {source}"));
    }
    let code = match std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.chars().next())
    {
        Some(c) => u32::from(c),
        None => u32::from(bytes.first().copied().unwrap_or_default()),
    };
    Ok(code)
}

/// The digits without underscores; nothing if an underscore stands where Go allows none.
fn digits(text: &str, prefixed: bool) -> Option<String> {
    let mut separated = prefixed;
    let mut out = String::new();
    for c in text.chars() {
        if c == '_' {
            if !separated {
                return None;
            }
            separated = false;
        } else {
            separated = true;
            out.push(c);
        }
    }
    separated.then_some(out)
}

pub(super) fn parse_uint(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (radix, rest, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..], true),
        [b'0', b'b', ..] => (2, &lower[2..], true),
        [b'0', b'o', ..] => (8, &lower[2..], true),
        [b'0', _, ..] => (8, &lower[1..], true),
        _ => (10, &lower[..], false),
    };
    let digits = digits(rest, prefixed)?;
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

pub(super) fn parse_int(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = i128::from(parse_uint(rest)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

pub(super) fn parse_float(text: &str) -> Option<f64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let lower = rest.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return Some(sign * parse_hex_float(hex)?);
    }
    // Underscores need a base prefix, which a decimal float has not.
    if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') || lower.contains('_') {
        return None;
    }
    let value: f64 = lower.parse().ok()?;
    value.is_finite().then_some(sign * value)
}

fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let mut value = 0.0;
    let mut scale = 0;
    let mut fraction = false;
    for c in mantissa.chars() {
        match c {
            '.' if !fraction => fraction = true,
            '_' => {}
            c => {
                value = value * 16.0 + f64::from(c.to_digit(16)?);
                scale -= if fraction { 4 } else { 0 };
            }
        }
    }
    let exponent: i32 = exponent.parse().ok()?;
    let value = value * 2.0_f64.powi(exponent.checked_add(scale)?);
    value.is_finite().then_some(value)
}

//! Go's `fmt` verbs.

use std::fmt::Write as _;

use super::value::{MAX_NESTING, Value};

/// The most bytes that one function makes at once.
pub const LIMIT: usize = 16 << 20;

/// What `fmt.Sprint` makes of one value, cut after [`LIMIT`] bytes.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    let _ = Printer::new(LIMIT).value(&mut out, value, &Spec::verb('v'), 0);
    out
}

/// What `fmt.Sprint` makes of one value; nothing if that is more than `limit` bytes.
pub(super) fn bounded(value: &Value, limit: usize) -> Option<String> {
    let mut out = String::new();
    Printer::new(limit)
        .value(&mut out, value, &Spec::verb('v'), 0)
        .ok()?;
    Some(out)
}

const TOO_LONG: &str = "the text is too long";

/// `fmt.Sprint`: a space between operands when neither is a string.
pub fn sprint(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut printer = Printer::new(LIMIT);
    let mut was_string = true;
    for (i, arg) in args.iter().enumerate() {
        let is_string = matches!(arg, Value::String(_));
        if i > 0 && !is_string && !was_string {
            out.push(' ');
        }
        printer.value(&mut out, arg, &Spec::verb('v'), 0)?;
        was_string = is_string;
    }
    Ok(out)
}

/// `fmt.Sprintln`: a space between all operands, and a new line.
pub fn sprintln(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut printer = Printer::new(LIMIT);
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        printer.value(&mut out, arg, &Spec::verb('v'), 0)?;
    }
    out.push('\n');
    Ok(out)
}

/// The flags, width, precision and verb of one directive.
#[derive(Clone, Debug, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    verb: char,
}

impl Spec {
    fn verb(verb: char) -> Self {
        Self {
            verb,
            ..Self::default()
        }
    }
}

/// Go's largest width and precision.
const MAX_WIDTH: i64 = 1_000_000;

/// `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut printer = Printer::new(LIMIT);
    let mut directives = Directives {
        rest: format,
        args,
        next: 0,
        reordered: false,
        good_index: true,
    };
    while let Some(start) = directives.rest.find('%') {
        out.push_str(&directives.rest[..start]);
        directives.rest = &directives.rest[start + 1..];
        directives.directive(&mut printer, &mut out)?;
        printer.check(&out)?;
    }
    out.push_str(directives.rest);
    if !directives.reordered && directives.next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, arg) in args[directives.next..].iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            if arg.is_nil() {
                out.push_str("<nil>");
            } else {
                out.push_str(&arg.type_name());
                out.push('=');
                printer.value(&mut out, arg, &Spec::verb('v'), 0)?;
            }
        }
        out.push(')');
    }
    printer.check(&out)?;
    Ok(out)
}

struct Directives<'f> {
    rest: &'f str,
    args: &'f [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
}

impl Directives<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        let mut chars = self.rest.chars();
        let _ = chars.next();
        self.rest = chars.as_str();
    }

    /// Reads an argument index such as `[2]`.
    fn index(&mut self) -> bool {
        if !self.rest.starts_with('[') {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            self.good_index = false;
            self.skip();
            return false;
        };
        let number = self.rest[1..end].parse::<usize>().ok();
        self.rest = &self.rest[end + 1..];
        match number {
            Some(n) if n >= 1 && n <= self.args.len() => {
                self.next = n - 1;
                true
            }
            _ => {
                self.good_index = false;
                true
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.len()
            - self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        if digits == 0 {
            return None;
        }
        let number = self.rest[..digits].parse::<i64>().ok();
        self.rest = &self.rest[digits..];
        match number {
            Some(n) if n <= MAX_WIDTH => usize::try_from(n).ok(),
            _ => None,
        }
    }

    /// The argument for `*`.
    fn star(&mut self) -> Option<i64> {
        self.skip();
        let arg = self.args.get(self.next)?;
        self.next += 1;
        let n = arg.plain().as_int()?;
        (-MAX_WIDTH..=MAX_WIDTH).contains(&n).then_some(n)
    }

    fn directive(&mut self, printer: &mut Printer, out: &mut String) -> Result<(), String> {
        let mut spec = Spec::default();
        self.good_index = true;
        let mut after_index = false;
        while let Some(c) = self.peek() {
            match c {
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                ' ' => spec.space = true,
                _ => break,
            }
            self.skip();
        }
        after_index |= self.index();
        if self.peek() == Some('*') {
            match self.star() {
                Some(n) => {
                    if n < 0 {
                        spec.minus = true;
                        spec.zero = false;
                    }
                    spec.width = usize::try_from(n.unsigned_abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            spec.width = self.number();
            if after_index && spec.width.is_some() {
                self.good_index = false;
            }
        }
        if self.peek() == Some('.') {
            self.skip();
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.peek() == Some('*') {
                match self.star() {
                    Some(n) => spec.precision = usize::try_from(n).ok(),
                    None => out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            let _ = self.index();
        }
        let Some(verb) = self.peek() else {
            out.push_str("%!(NOVERB)");
            return Ok(());
        };
        self.skip();
        spec.verb = verb;
        if verb == '%' {
            out.push('%');
        } else if !self.good_index {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            printer.arg(out, arg, &spec)?;
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
        Ok(())
    }
}

/// Prints values up to a limit.
struct Printer {
    limit: usize,
}

impl Printer {
    fn new(limit: usize) -> Self {
        Self { limit }
    }

    fn check(&self, out: &str) -> Result<(), String> {
        if out.len() > self.limit {
            return Err(TOO_LONG.to_owned());
        }
        Ok(())
    }

    /// An argument of a directive.
    fn arg(&mut self, out: &mut String, value: &Value, spec: &Spec) -> Result<(), String> {
        match (spec.verb, value) {
            ('T', value) => pad(out, &value.type_name(), spec),
            ('p', value) => bad_verb(out, value, spec),
            ('v', Value::Absent | Value::Nil) => pad(out, "<nil>", spec),
            (verb, Value::Absent | Value::Nil) => {
                let _ = write!(out, "%!{verb}(<nil>)");
            }
            _ => return self.value(out, value, spec, 0),
        }
        Ok(())
    }

    fn value(
        &mut self,
        out: &mut String,
        value: &Value,
        spec: &Spec,
        depth: usize,
    ) -> Result<(), String> {
        if depth > MAX_NESTING {
            return Err("the value is nested too deeply".to_owned());
        }
        match value {
            Value::Absent | Value::Nil => {
                let nil = if spec.verb == 'v' && spec.sharp && depth > 0 {
                    "interface {}(nil)"
                } else if spec.verb == 'v' || depth == 0 {
                    "<nil>"
                } else {
                    let _ = write!(out, "%!{}(<nil>)", spec.verb);
                    ""
                };
                pad(out, nil, spec);
            }
            Value::Bool(b) => match spec.verb {
                't' | 'v' => pad(out, if *b { "true" } else { "false" }, spec),
                _ => bad_verb(out, value, spec),
            },
            Value::Int(n) | Value::Int64(n) => {
                let sign = *n < 0;
                integer(out, value, n.unsigned_abs(), sign, spec);
            }
            Value::Uint(n) => integer(out, value, *n, false, &unsigned(spec)),
            Value::Byte(n) => integer(out, value, u64::from(*n), false, &unsigned(spec)),
            Value::Float(f) => float(out, value, *f, spec),
            Value::String(text) => string(out, value, text, spec),
            Value::List(list) => {
                if spec.verb == 'v' && spec.sharp {
                    out.push_str(&value.type_name());
                }
                let (open, close, between) = if spec.verb == 'v' && spec.sharp {
                    ("{", "}", ", ")
                } else {
                    ("[", "]", " ")
                };
                out.push_str(open);
                for (i, item) in list.items().iter().enumerate() {
                    if i > 0 {
                        out.push_str(between);
                    }
                    self.value(out, item, spec, depth + 1)?;
                    self.check(out)?;
                }
                out.push_str(close);
            }
            Value::Map(map) => {
                let sharp = spec.verb == 'v' && spec.sharp;
                if sharp {
                    out.push_str(&value.type_name());
                }
                out.push_str(if sharp { "{" } else { "map[" });
                for (i, (key, item)) in map.entries().iter().enumerate() {
                    if i > 0 {
                        out.push_str(if sharp { ", " } else { " " });
                    }
                    string(out, &Value::String(key.clone()), key, spec);
                    out.push(':');
                    self.value(out, item, spec, depth + 1)?;
                    self.check(out)?;
                }
                out.push_str(if sharp { "}" } else { "]" });
            }
            Value::Object(object) => match (spec.verb, object.scalar()) {
                ('v' | 's', _) | (_, None) => pad(out, &object.print(), spec),
                (_, Some(scalar)) => return self.value(out, &scalar, spec, depth),
            },
        }
        self.check(out)
    }
}

/// `%#v` of an unsigned number is hexadecimal.
fn unsigned(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    if spec.verb == 'v' && spec.sharp {
        spec.verb = 'x';
    }
    spec
}

fn bad_verb(out: &mut String, value: &Value, spec: &Spec) {
    let _ = write!(out, "%!{}({}=", spec.verb, value.type_name());
    let plain = Spec::verb('v');
    let _ = Printer::new(LIMIT).value(out, value, &plain, 0);
    out.push(')');
}

/// Writes a text in the wanted width.
fn pad(out: &mut String, text: &str, spec: &Spec) {
    let width = spec.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        let fill = if spec.zero { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(fill, missing));
        out.push_str(text);
    }
}

/// Without the zero flag: what is padded is complete already.
fn spaced(spec: &Spec) -> Spec {
    Spec {
        zero: false,
        ..spec.clone()
    }
}

fn integer(out: &mut String, value: &Value, magnitude: u64, negative: bool, spec: &Spec) {
    let (digits, prefix) = match spec.verb {
        'v' | 'd' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), if spec.sharp { "0b" } else { "" }),
        'o' => (
            format!("{magnitude:o}"),
            if spec.sharp && magnitude != 0 {
                "0"
            } else {
                ""
            },
        ),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if spec.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(magnitude).ok().and_then(char::from_u32);
            let c = c
                .filter(|_| !negative)
                .unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = match spec.verb {
                'c' => c.to_string(),
                'q' => quoted_char(c),
                _ => format!("U+{magnitude:04X}"),
            };
            return pad(out, &text, &spaced(spec));
        }
        _ => return bad_verb(out, value, spec),
    };
    let sign = sign(negative, spec);
    let mut digits = digits;
    if let Some(precision) = spec.precision {
        if precision == 0 && magnitude == 0 {
            return pad(out, "", &spaced(spec));
        }
        digits = format!("{digits:0>precision$}");
    } else if spec.zero && !spec.minus {
        let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
        digits = format!("{digits:0>width$}");
    }
    pad(out, &format!("{sign}{prefix}{digits}"), &spaced(spec));
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn float(out: &mut String, value: &Value, number: f64, spec: &Spec) {
    let verb = match spec.verb {
        'v' => 'g',
        'F' => 'f',
        verb @ ('e' | 'E' | 'f' | 'g' | 'G') => verb,
        _ => return bad_verb(out, value, spec),
    };
    let precision = match (spec.precision, verb) {
        (None, 'e' | 'E' | 'f') => Some(6),
        (precision, _) => precision,
    };
    let body = if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        "Inf".to_owned()
    } else {
        format_float(number.abs(), verb, precision)
    };
    let mut sign = sign(number.is_sign_negative() && !number.is_nan(), spec);
    if number.is_infinite() && sign.is_empty() {
        sign = "+";
    }
    let mut body = body;
    if spec.zero && !spec.minus && number.is_finite() {
        let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
        body = format!("{body:0>width$}");
    }
    pad(out, &format!("{sign}{body}"), &spaced(spec));
}

/// Go's `strconv.FormatFloat` of a number that is finite and not negative; no precision means the fewest digits that
/// read back as the same number.
pub(super) fn format_float(number: f64, verb: char, precision: Option<usize>) -> String {
    match (verb, precision) {
        ('f', Some(precision)) => format!("{number:.precision$}"),
        ('f', None) => format!("{number}"),
        ('e' | 'E', Some(precision)) => exponent(&format!("{number:.precision$e}"), verb),
        ('e' | 'E', None) => exponent(&format!("{number:e}"), verb),
        (_, precision) => {
            let digits = precision.map(|digits| digits.max(1));
            let scientific = match digits {
                Some(digits) => format!("{number:.*e}", digits - 1),
                None => format!("{number:e}"),
            };
            let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            let power: i32 = power.parse().unwrap_or(0);
            let mantissa = if mantissa.contains('.') {
                mantissa.trim_end_matches('0').trim_end_matches('.')
            } else {
                mantissa
            };
            let count = mantissa.len() - usize::from(mantissa.contains('.'));
            // Without a precision Go decides as if it were 6, unless more digits precede the point anyway.
            let threshold = match digits {
                None => 21,
                Some(digits) if digits > count && i32::try_from(count).is_ok_and(|n| n > power) => {
                    count
                }
                Some(digits) => digits,
            };
            let threshold = if precision.is_none() { 6 } else { threshold };
            if power < -4 || i64::from(power) >= threshold as i64 {
                let e = if verb == 'G' { 'E' } else { 'e' };
                return exponent(&format!("{mantissa}e{power}"), e);
            }
            let places = i32::try_from(count).unwrap_or(i32::MAX) - 1 - power;
            let places = usize::try_from(places).unwrap_or(0);
            format!("{number:.places$}")
        }
    }
}

/// Writes the exponent with a sign and two digits.
fn exponent(text: &str, e: char) -> String {
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{mantissa}{e}{sign}{power:0>2}")
}

fn string(out: &mut String, value: &Value, text: &str, spec: &Spec) {
    let cut: String;
    let text = match spec.precision {
        Some(precision) => {
            cut = text.chars().take(precision).collect();
            &cut
        }
        None => text,
    };
    match spec.verb {
        'v' if spec.sharp => pad(out, &quoted(text), spec),
        'v' | 's' => pad(out, text, spec),
        'q' => {
            let raw = spec.sharp
                && !text.contains('`')
                && !text.chars().any(|c| c.is_control() && c != '\t');
            let text = if raw {
                format!("`{text}`")
            } else if spec.plus {
                quoted_with(text, true)
            } else {
                quoted(text)
            };
            pad(out, &text, spec);
        }
        'x' | 'X' => {
            let mut hex = String::with_capacity(text.len() * 2);
            for (i, byte) in text.bytes().enumerate() {
                if spec.space && i > 0 {
                    hex.push(' ');
                }
                if spec.sharp && (i == 0 || spec.space) {
                    hex.push_str(if spec.verb == 'x' { "0x" } else { "0X" });
                }
                let _ = if spec.verb == 'x' {
                    write!(hex, "{byte:02x}")
                } else {
                    write!(hex, "{byte:02X}")
                };
            }
            pad(out, &hex, spec);
        }
        _ => bad_verb(out, value, spec),
    }
}

/// Go's `strconv.Quote`.
pub fn quoted(text: &str) -> String {
    quoted_with(text, false)
}

fn quoted_with(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        escape(&mut out, c, '"', ascii);
    }
    out.push('"');
    out
}

fn quoted_char(c: char) -> String {
    let mut out = "'".to_owned();
    escape(&mut out, c, '\'', false);
    out.push('\'');
    out
}

fn escape(out: &mut String, c: char, quote: char, ascii: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        c if u32::from(c) < 0x80 => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if ascii || !is_print(c) => {
            let code = u32::from(c);
            let _ = if code < 0x1_0000 {
                write!(out, "\\u{code:04x}")
            } else {
                write!(out, "\\U{code:08x}")
            };
        }
        c => out.push(c),
    }
}

/// About Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the plain space.
pub(super) fn is_print(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    let hidden = matches!(u32::from(c),
        0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff0..=0xfffb
        | 0xe000..=0xf8ff | 0xfffe..=0xffff | 0xe0000..=0xe0fff | 0xf0000..);
    !(c.is_control() || c.is_whitespace() || hidden)
}

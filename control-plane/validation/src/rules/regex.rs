//! Regular expressions as RE2 reads them, since Envoy refuses the whole resource for one that it cannot read.

use crate::Check;

/// The longest expression that Istio 1.31 accepts.
const MAX_LENGTH: usize = 1024;

/// The largest repetition that RE2 accepts.
const MAX_REPEAT: u32 = 1000;

/// An expression of a field. Istio 1.31: `validateStringRegexp`.
pub fn expression(pattern: &str, field: &str) -> Check {
    if pattern.len() > MAX_LENGTH {
        return Err(format!(
            "{field:?}: regex is too large, max length allowed is {MAX_LENGTH}"
        ));
    }
    regex(pattern).map_err(|why| {
        format!(
            "{field:?}: {why}; Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)"
        )
    })
}

/// Whether RE2 compiles an expression of any length. RE2 and the syntax of Rust's engine agree but for a few spellings,
/// which are treated here. Nothing is compiled: how large a program would be is nobody's question.
pub fn regex(pattern: &str) -> Check {
    let complaint = |why: &str| format!("error parsing regexp: {why}: `{pattern}`");
    let translated = translate(pattern).map_err(|why| complaint(&why))?;
    match regex_syntax::Parser::new().parse(&translated) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            // The engine draws a picture over several lines; the last one says what is wrong.
            let why = text.lines().last().unwrap_or("").trim();
            Err(complaint(why.strip_prefix("error: ").unwrap_or(why)))
        }
    }
}

/// The same expression for Rust's engine.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' => escape(rest, &mut out)?,
            '[' => class(rest, &mut out)?,
            '(' => group(rest, &mut out)?,
            '*' | '+' | '?' | '{' => {
                let length = repetition(rest)?;
                if length == 0 {
                    out.push_str("\\{");
                    repeated = false;
                    rest = &rest[1..];
                    continue;
                }
                if repeated {
                    return Err("a repetition is repeated".to_owned());
                }
                let lazy = usize::from(rest[length..].starts_with('?'));
                out.push_str(&rest[..length + lazy]);
                rest = &rest[length + lazy..];
                repeated = true;
                continue;
            }
            '}' => {
                out.push_str("\\}");
                1
            }
            _ => {
                out.push(c);
                c.len_utf8()
            }
        };
        repeated = false;
        rest = &rest[taken..];
    }
    Ok(out)
}

/// The length of the repetition operator at the beginning; 0 for a brace that is a plain character.
fn repetition(text: &str) -> Result<usize, String> {
    let Some(inner) = text.strip_prefix('{') else {
        return Ok(1);
    };
    let Some((bounds, _)) = inner.split_once('}') else {
        return Ok(0);
    };
    let (low, high) = bounds.split_once(',').unwrap_or((bounds, bounds));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(0);
    }
    for bound in [low, high].into_iter().filter(|b| !b.is_empty()) {
        if bound.parse::<u32>().map_or(true, |n| n > MAX_REPEAT) {
            return Err(format!("a repetition is larger than {MAX_REPEAT}"));
        }
    }
    Ok(bounds.len() + 2)
}

/// `\Q…\E` and `\C` are RE2's own; `\<`, `\>`, `\u` and `\U` are not known to it.
fn escape(text: &str, out: &mut String) -> Result<usize, String> {
    let Some(next) = text[1..].chars().next() else {
        return Err("it ends with a backslash".to_owned());
    };
    match next {
        'Q' => {
            let quoted = &text[2..];
            let (literal, length) = match quoted.find("\\E") {
                Some(end) => (&quoted[..end], end + 4),
                None => (quoted, text.len()),
            };
            out.push_str(&regex_syntax::escape(literal));
            return Ok(length);
        }
        'C' => out.push_str("(?s:.)"),
        '<' | '>' => out.push(next),
        'u' | 'U' => return Err(format!("\\{next} is not known")),
        'b' if text[2..].starts_with('{') => out.push_str("\\b\\{"),
        // A property or a number in braces, which repeat nothing.
        'p' | 'P' | 'x' if text[2..].starts_with('{') => {
            let end = text.find('}').ok_or("a brace is not closed")? + 1;
            out.push_str(&text[..end]);
            return Ok(end);
        }
        _ => {
            out.push('\\');
            out.push(next);
            return Ok(1 + next.len_utf8());
        }
    }
    Ok(if next == 'b' { 3 } else { 1 + next.len_utf8() })
}

/// A character class. RE2 has no nested classes and no set operations, so those characters are plain.
fn class(text: &str, out: &mut String) -> Result<usize, String> {
    out.push('[');
    let mut at = 1;
    if text[at..].starts_with('^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    loop {
        let Some(c) = text[at..].chars().next() else {
            return Err("a character class is not closed".to_owned());
        };
        match c {
            ']' if at > first => {
                out.push(']');
                return Ok(at + 1);
            }
            '[' if text[at..].starts_with("[:") && text[at..].contains(":]") => {
                let end = at + text[at..].find(":]").unwrap_or(0) + 2;
                out.push_str(&text[at..end]);
                at = end;
                continue;
            }
            '\\' => {
                let next = text[at + 1..].chars().next();
                let next = next.ok_or("it ends with a backslash")?;
                out.push('\\');
                out.push(next);
                at += 1 + next.len_utf8();
                continue;
            }
            '[' | ']' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        at += c.len_utf8();
    }
}

/// A group: RE2 knows names and the flags i, m, s and U; it has no look-around.
fn group(text: &str, out: &mut String) -> Result<usize, String> {
    let Some(inner) = text.strip_prefix("(?") else {
        out.push('(');
        return Ok(1);
    };
    if inner.starts_with("P<")
        || (inner.starts_with('<') && !inner.starts_with("<=") && !inner.starts_with("<!"))
    {
        out.push_str("(?");
        return Ok(2);
    }
    let flags = inner.find([':', ')']).unwrap_or(inner.len());
    if inner[..flags].chars().all(|c| "imsU-".contains(c)) {
        out.push_str(&text[..flags + 3]);
        return Ok(flags + 3);
    }
    Err(format!(
        "\"(?{}\" is not known to RE2, which has no look-around",
        &inner[..flags.min(2)]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_re2() {
        for (pattern, good) in [
            ("/api/v[0-9]+/.*", true),
            (".*", true),
            ("^(.*?;)?(user=jason)(;.*)?$", true),
            ("/a/{id}", true),
            ("a{", true),
            ("}", true),
            ("[[]", true),
            ("[]a]", true),
            ("[a&&b]", true),
            ("[[:alpha:]-]+", true),
            (r"\Qa.b(\E+", true),
            (r"\/x\-\.", true),
            ("(?i)abc", true),
            ("(?i:abc)x", true),
            ("(?P<x>a)", true),
            ("(?<x>a)", true),
            ("a{2,5}?", true),
            ("a+?", true),
            (r"/\p{L}{2}\pN[\p{Greek}]\P{Lu}+", true),
            (r"\x{1F}\x41[\x{1F600}]", true),
            (r"\p{Nobodys}", false),
            (r"\p{L", false),
            ("*", false),
            ("a**", false),
            ("a+*", false),
            ("(", false),
            ("[", false),
            ("a{1001}", false),
            ("(?=a)", false),
            ("(?<!a)b", false),
            ("(?x) a", false),
            (r"\1", false),
            (r"a\", false),
            ("", true),
            (r"\w{1000}", true),
        ] {
            assert_eq!(
                regex(pattern).is_ok(),
                good,
                "{pattern} {:?}",
                regex(pattern)
            );
        }
        assert!(regex(&"a".repeat(1025)).is_ok());
        assert!(expression(&"a".repeat(1025), "uri").is_err());
    }
}

//! Strings.

use super::{int, stringified, text};
use crate::template::builtin::check_length;
use crate::template::functions::{Functions, Param, Signature};
use crate::template::print;
use crate::template::value::{Elem, Entries, List, Map, Value};

const S: Param = Param::String;
const I: Param = Param::Int;

pub(super) fn add(functions: &mut Functions) {
    let one = Signature::of(&[S]);
    let two = Signature::of(&[S, S]);
    let sized = Signature::of(&[I, S]);
    let any = Signature::and_more(&[], Param::Any);
    functions.add_typed("trim", one, |args| Ok(Value::from(text(args, 0).trim())));
    for name in ["trimAll", "trimall"] {
        functions.add_typed(name, two, |args| {
            let cut = text(args, 0);
            Ok(Value::from(text(args, 1).trim_matches(|c| cut.contains(c))))
        });
    }
    functions.add_typed("trimSuffix", two, |args| {
        let whole = text(args, 1);
        Ok(Value::from(
            whole.strip_suffix(text(args, 0)).unwrap_or(whole),
        ))
    });
    functions.add_typed("trimPrefix", two, |args| {
        let whole = text(args, 1);
        Ok(Value::from(
            whole.strip_prefix(text(args, 0)).unwrap_or(whole),
        ))
    });
    functions.add_typed("contains", two, |args| {
        Ok(Value::Bool(text(args, 1).contains(text(args, 0))))
    });
    functions.add_typed("hasPrefix", two, |args| {
        Ok(Value::Bool(text(args, 1).starts_with(text(args, 0))))
    });
    functions.add_typed("hasSuffix", two, |args| {
        Ok(Value::Bool(text(args, 1).ends_with(text(args, 0))))
    });
    functions.add_typed("repeat", sized, |args| {
        repeat(int(args, 0), text(args, 1)).map(Value::from)
    });
    functions.add_typed("replace", Signature::of(&[S, S, S]), |args| {
        replaced(text(args, 2), text(args, 0), text(args, 1)).map(Value::from)
    });
    functions.add_typed("indent", sized, |args| {
        indented(int(args, 0), text(args, 1)).map(Value::from)
    });
    functions.add_typed("nindent", sized, |args| {
        Ok(Value::from(format!(
            "\n{}",
            indented(int(args, 0), text(args, 1))?
        )))
    });
    functions.add_typed("trunc", sized, |args| {
        let (count, whole) = (int(args, 0), text(args, 1));
        let length = length(whole);
        match count {
            count if count < 0 && length + count > 0 => cut(whole, length + count, length),
            count if count >= 0 && length > count => cut(whole, 0, count),
            _ => Ok(args[1].clone()),
        }
    });
    functions.add_typed("substr", Signature::of(&[I, I, S]), |args| {
        let (start, end, whole) = (int(args, 0), int(args, 1), text(args, 2));
        let length = length(whole);
        match (start, end) {
            (start, end) if start < 0 => cut(whole, 0, end),
            (start, end) if end < 0 || end > length => cut(whole, start, length),
            (start, end) => cut(whole, start, end),
        }
    });
    functions.add_typed("abbrev", sized, |args| {
        abbreviated(0, int(args, 0), text(args, 1))
    });
    functions.add_typed("abbrevboth", Signature::of(&[I, I, S]), |args| {
        let (left, right) = (int(args, 0), int(args, 1));
        if right < 4 || left > 0 && right < 7 {
            return Ok(args[2].clone());
        }
        abbreviated(left, right, text(args, 2))
    });
    functions.add_typed("wrap", sized, |args| {
        wrapped(int(args, 0), "\n", false, text(args, 1)).map(Value::from)
    });
    functions.add_typed("wrapWith", Signature::of(&[I, S, S]), |args| {
        wrapped(int(args, 0), text(args, 1), true, text(args, 2)).map(Value::from)
    });
    functions.add_typed("quote", any, |args| {
        let mut quoted = Vec::new();
        for arg in args.iter().filter(|arg| !is_untyped_nil(arg)) {
            quoted.push(print::quoted(&stringified(arg)?));
        }
        Ok(Value::from(quoted.join(" ")))
    });
    functions.add_typed("squote", any, |args| {
        let mut quoted = Vec::new();
        for arg in args.iter().filter(|arg| !is_untyped_nil(arg)) {
            quoted.push(format!("'{}'", stringified(arg)?));
        }
        Ok(Value::from(quoted.join(" ")))
    });
    functions.add_typed("cat", any, |args| {
        let texts = texts(args)?;
        Ok(Value::from(texts.join(" ")))
    });
    functions.add_typed("toString", Signature::of(&[Param::Any]), |args| {
        stringified(&args[0]).map(Value::String)
    });
    functions.add_typed("toStrings", Signature::of(&[Param::Any]), |args| {
        Ok(Value::List(List::strings(strings_of(&args[0])?)))
    });
    functions.add_typed("join", Signature::of(&[S, Param::Any]), |args| {
        let (between, texts) = (text(args, 0), strings_of(&args[1])?);
        let whole: Option<usize> = texts.iter().try_fold(0_usize, |sum, text| {
            sum.checked_add(text.len())?.checked_add(between.len())
        });
        let _ = check_length(whole)?;
        Ok(Value::from(texts.join(between)))
    });
    functions.add_typed("splitList", two, |args| {
        let parts = split(text(args, 1), text(args, 0), -1);
        Ok(Value::List(List::strings(parts)))
    });
    functions.add_typed("split", two, |args| {
        Ok(numbered(split(text(args, 1), text(args, 0), -1)))
    });
    functions.add_typed("splitn", Signature::of(&[S, I, S]), |args| {
        Ok(numbered(split(text(args, 2), text(args, 0), int(args, 1))))
    });
    functions.add_typed("plural", Signature::of(&[S, S, I]), |args| {
        Ok(args[if int(args, 2) == 1 { 0 } else { 1 }].clone())
    });
}

fn is_untyped_nil(value: &Value) -> bool {
    matches!(value, Value::Absent | Value::Nil)
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// The bytes from one place to another, as a Go slice expression.
fn cut(text: &str, from: i64, to: i64) -> Result<Value, String> {
    let problem = if to < 0 {
        format!("[:{to}]")
    } else if to > length(text) {
        format!("[:{to}] with length {}", text.len())
    } else if from < 0 {
        format!("[{from}:]")
    } else if from > to {
        format!("[{from}:{to}]")
    } else {
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        let bytes = text.as_bytes().get(range).unwrap_or_default();
        return Ok(Value::from(String::from_utf8_lossy(bytes).into_owned()));
    };
    Err(format!(
        "runtime error: slice bounds out of range {problem}"
    ))
}

fn repeat(count: i64, text: &str) -> Result<String, String> {
    let Ok(count) = usize::try_from(count) else {
        return Err("strings: negative Repeat count".to_owned());
    };
    let _ = check_length(text.len().checked_mul(count))?;
    Ok(text.repeat(count))
}

fn replaced(whole: &str, old: &str, new: &str) -> Result<String, String> {
    if new.len() > old.len() {
        let count = whole.matches(old).count();
        let length = count
            .checked_mul(new.len())
            .and_then(|n| n.checked_add(whole.len()));
        let _ = check_length(length)?;
    }
    Ok(whole.replace(old, new))
}

fn indented(spaces: i64, whole: &str) -> Result<String, String> {
    let pad = repeat(spaces, " ")?;
    Ok(format!(
        "{pad}{}",
        replaced(whole, "\n", &format!("\n{pad}"))?
    ))
}

fn abbreviated(offset: i64, width: i64, whole: &str) -> Result<Value, String> {
    let length = length(whole);
    if width < 4 || length <= width {
        return Ok(Value::from(whole));
    }
    let kept = width - 3;
    let mut offset = offset.min(length);
    if length - offset < kept {
        offset = length - kept;
    }
    let cut_text = |from, to| cut(whole, from, to).map(|value| value.to_string());
    if offset <= 4 {
        return Ok(Value::from(format!("{}...", cut_text(0, kept)?)));
    }
    if width < 7 {
        return Ok(Value::from(""));
    }
    if offset + kept < length {
        let rest = cut_text(offset, length)?;
        return Ok(Value::from(format!("...{}", abbreviated(0, kept, &rest)?)));
    }
    Ok(Value::from(format!(
        "...{}",
        cut_text(length - kept, length)?
    )))
}

/// Breaks lines at spaces; words that are longer than a line only with `breaks_words`.
fn wrapped(width: i64, line_end: &str, breaks_words: bool, whole: &str) -> Result<String, String> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let line_end = if line_end.is_empty() { "\n" } else { line_end };
    let lines = whole.len() / width + whole.matches(' ').count() + 1;
    let _ = check_length(
        lines
            .checked_mul(line_end.len())
            .and_then(|n| n.checked_add(whole.len())),
    )?;
    let bytes = whole.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(whole.len());
    let mut offset = 0;
    while bytes.len() - offset > width {
        if bytes[offset] == b' ' {
            offset += 1;
            continue;
        }
        let line = &bytes[offset..=offset + width];
        let (kept, skipped) = match line.iter().rposition(|b| *b == b' ') {
            Some(space) => (space, space + 1),
            None if breaks_words => (width, width),
            None => match bytes[offset + width..].iter().position(|b| *b == b' ') {
                Some(space) => (width + space, width + space + 1),
                None => break,
            },
        };
        out.extend_from_slice(&bytes[offset..offset + kept]);
        out.extend_from_slice(line_end.as_bytes());
        offset += skipped;
    }
    out.extend_from_slice(&bytes[offset..]);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The elements, or the value itself, as strings; nils are left out.
pub(super) fn strings_of(value: &Value) -> Result<Vec<std::sync::Arc<str>>, String> {
    match value {
        Value::List(list) => texts(list.items()),
        value => texts(std::slice::from_ref(value)),
    }
}

fn texts(values: &[Value]) -> Result<Vec<std::sync::Arc<str>>, String> {
    let values = values.iter().filter(|value| !is_untyped_nil(value));
    values.map(stringified).collect()
}

/// Go's `strings.SplitN`.
fn split(whole: &str, separator: &str, limit: i64) -> Vec<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Vec::new();
    }
    if !separator.is_empty() {
        return whole.splitn(limit, separator).map(str::to_owned).collect();
    }
    // Without a separator each character is a part.
    let mut parts = Vec::new();
    let mut rest = whole.chars();
    while parts.len() + 1 < limit
        && let Some(c) = rest.next()
    {
        parts.push(c.to_string());
    }
    if !rest.as_str().is_empty() {
        parts.push(rest.as_str().to_owned());
    }
    parts
}

fn numbered(parts: Vec<String>) -> Value {
    let parts = parts.into_iter().enumerate();
    let entries: Entries = parts
        .map(|(i, part)| (format!("_{i}").into(), Value::from(part)))
        .collect();
    Value::Map(Map::new(Elem::String, entries))
}

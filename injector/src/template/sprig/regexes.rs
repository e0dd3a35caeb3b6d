//! Regular expressions.

use regex::{Captures, NoExpand, Regex, RegexBuilder};

use super::{int, text};
use crate::template::builtin::check_length;
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::{List, Value};

const S: Param = Param::String;

/// The largest compiled expression in bytes. A larger one takes milliseconds to compile, at each call.
const MAX_SIZE: usize = 1 << 20;

pub(super) fn add(functions: &mut Functions) {
    let two = Signature::of(&[S, S]);
    let three = Signature::of(&[S, S, S]);
    let limited = Signature::of(&[S, S, Param::Int]);
    functions.add_costly("regexMatch", two, |args| {
        // A wrong expression matches nothing.
        Ok(Value::Bool(
            compiled(args, true).is_ok_and(|regex| regex.is_match(text(args, 1))),
        ))
    });
    functions.add_costly("mustRegexMatch", two, |args| {
        Ok(Value::Bool(compiled(args, true)?.is_match(text(args, 1))))
    });
    functions.add_typed("regexQuoteMeta", Signature::of(&[S]), |args| {
        Ok(Value::from(quoted(text(args, 0))))
    });
    type Call = fn(&Regex, &[Value]) -> Result<Value, String>;
    let table: [(&str, &str, Signature, Call); 5] = [
        ("regexFind", "mustRegexFind", two, |regex, args| {
            Ok(Value::from(
                regex.find(text(args, 1)).map_or("", |found| found.as_str()),
            ))
        }),
        (
            "regexFindAll",
            "mustRegexFindAll",
            limited,
            |regex, args| {
                let limit = usize::try_from(int(args, 2)).unwrap_or(usize::MAX);
                let found = regex.find_iter(text(args, 1)).take(limit);
                Ok(Value::List(List::strings(
                    found.map(|found| found.as_str()),
                )))
            },
        ),
        (
            "regexReplaceAll",
            "mustRegexReplaceAll",
            three,
            |regex, args| {
                replaced(regex, text(args, 1), |captures, out| {
                    captures.expand(text(args, 2), out)
                })
            },
        ),
        (
            "regexReplaceAllLiteral",
            "mustRegexReplaceAllLiteral",
            three,
            |regex, args| {
                replaced(regex, text(args, 1), |_, out| {
                    out.push_str(NoExpand(text(args, 2)).0)
                })
            },
        ),
        ("regexSplit", "mustRegexSplit", limited, |regex, args| {
            Ok(Value::List(List::strings(split(
                regex,
                text(args, 1),
                int(args, 2),
            ))))
        }),
    ];
    for (name, must, signature, call) in table {
        functions.add_costly(name, signature, move |args| {
            call(&compiled(args, false)?, args)
        });
        functions.add_costly(must, signature, move |args| {
            call(&compiled(args, true)?, args)
        });
    }
}

/// The expression in the first argument. Only the `must` functions give the bare problem; the others panic in Go.
fn compiled(args: &[Value], bare: bool) -> Result<Regex, String> {
    let source = text(args, 0);
    let built = RegexBuilder::new(&translated(source))
        .size_limit(MAX_SIZE)
        .build();
    built.map_err(|problem| {
        let problem = match problem {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            problem => problem
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
        if bare {
            format!("error parsing regexp: {problem}: `{source}`")
        } else {
            format!(
                "regexp: Compile({}): error parsing regexp: {problem}",
                quoted_source(source)
            )
        }
    })
}

fn quoted_source(source: &str) -> String {
    if source.contains('`') {
        crate::template::print::quoted(source)
    } else {
        format!("`{source}`")
    }
}

/// Go's classes `\d`, `\s`, `\w` and `\b` know ASCII only, and its brackets neither nest nor intersect.
fn translated(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match (c, inside) {
            ('\\', _) => {
                let Some(next) = chars.next() else {
                    out.push('\\');
                    break;
                };
                let class = match next {
                    'd' | 'D' => "0-9",
                    's' | 'S' => "\\t\\n\\f\\r ",
                    'w' | 'W' => "0-9A-Za-z_",
                    'b' | 'B' if !inside => {
                        out.push_str(if next == 'b' {
                            "(?-u:\\b)"
                        } else {
                            "(?-u:\\B)"
                        });
                        continue;
                    }
                    next => {
                        out.push('\\');
                        out.push(next);
                        continue;
                    }
                };
                match (next.is_ascii_uppercase(), inside) {
                    (true, _) => out.push_str(&format!("[^{class}]")),
                    (false, false) => out.push_str(&format!("[{class}]")),
                    (false, true) => out.push_str(class),
                }
            }
            ('[', false) => {
                inside = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ('[', true) if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ('[' | '&' | '~', true) => {
                out.push('\\');
                out.push(c);
            }
            (']', true) => {
                inside = false;
                out.push(']');
            }
            (c, _) => out.push(c),
        }
    }
    out
}

fn replaced(
    regex: &Regex,
    whole: &str,
    write: impl Fn(&Captures<'_>, &mut String),
) -> Result<Value, String> {
    let mut out = String::new();
    let mut end = 0;
    for captures in regex.captures_iter(whole) {
        let Some(found) = captures.get(0) else {
            continue;
        };
        out.push_str(&whole[end..found.start()]);
        write(&captures, &mut out);
        end = found.end();
        let _ = check_length(Some(out.len()))?;
    }
    out.push_str(&whole[end..]);
    Ok(Value::from(out))
}

/// Go's `Regexp.Split`.
fn split<'t>(regex: &Regex, whole: &'t str, limit: i64) -> Vec<&'t str> {
    if limit == 0 {
        return Vec::new();
    }
    if !regex.as_str().is_empty() && whole.is_empty() {
        return vec![""];
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let (mut start, mut end) = (0, 0);
    for found in regex.find_iter(whole) {
        if parts.len() + 1 >= limit {
            break;
        }
        end = found.start();
        // An empty match at the beginning separates nothing.
        if found.end() != 0 {
            parts.push(&whole[start..end]);
        }
        start = found.end();
    }
    if end != whole.len() {
        parts.push(&whole[start..]);
    }
    parts
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

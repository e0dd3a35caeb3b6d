//! Upper and lower case, and the ways to write compound words.

use super::{Change, text};
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::Value;

pub(super) fn add(functions: &mut Functions) {
    let table: &[(&str, Change)] = &[
        ("upper", str::to_uppercase),
        ("lower", str::to_lowercase),
        ("title", title),
        ("untitle", untitle),
        ("swapcase", swap),
        ("nospace", |text| {
            text.chars().filter(|c| !c.is_whitespace()).collect()
        }),
        ("initials", initials),
        ("camelcase", pascal),
        ("snakecase", |text| separated(text, '_')),
        ("kebabcase", |text| separated(text, '-')),
    ];
    for (name, change) in table {
        functions.add_typed(name, Signature::of(&[Param::String]), move |args| {
            Ok(Value::from(change(text(args, 0))))
        });
    }
}

fn upper(c: char) -> char {
    c.to_uppercase().next().unwrap_or(c)
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Go's `strings.Title`.
fn title(text: &str) -> String {
    let mut inside = false;
    let capitalised = text.chars().map(|c| {
        let first = !inside;
        inside = c.is_alphanumeric() || c == '_' || !(c.is_ascii() || c.is_whitespace());
        if first { upper(c) } else { c }
    });
    capitalised.collect()
}

fn untitle(text: &str) -> String {
    let mut first = true;
    let changed = text.chars().map(|c| {
        if c.is_whitespace() {
            first = true;
            c
        } else if std::mem::take(&mut first) {
            lower(c)
        } else {
            c
        }
    });
    changed.collect()
}

fn swap(text: &str) -> String {
    let swapped = text.chars().map(|c| {
        if c.is_uppercase() {
            lower(c)
        } else if c.is_lowercase() {
            upper(c)
        } else {
            c
        }
    });
    swapped.collect()
}

fn initials(text: &str) -> String {
    text.split_whitespace()
        .filter_map(|word| word.chars().next())
        .collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// Words are joined, each with an upper case first letter. Connectors at the ends stay, and of several between two
/// words all but one.
fn pascal(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    let mut before = loop {
        match chars.next() {
            None => return out,
            Some(c) if is_connector(c) => out.push(c),
            Some(c) => break c,
        }
    };
    // A word that begins with several capitals is lowered behind the first.
    let mut lowering = before.is_uppercase();
    before = upper(before);
    for mut c in chars {
        match (is_connector(before), is_connector(c)) {
            (true, true) => out.push(before),
            (true, false) => {
                lowering = c.is_uppercase();
                c = upper(c);
            }
            (false, _) => {
                if lowering {
                    if c.is_uppercase() {
                        c = lower(c);
                    } else {
                        lowering = false;
                    }
                }
                out.push(before);
            }
        }
        before = c;
    }
    out.push(before);
    out
}

/// What a run of characters is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Number,
    Upper,
    Lower,
    Connector,
    Punctuation,
    Other,
}

fn run_of(c: char) -> Run {
    if is_connector(c) {
        Run::Connector
    } else if is_punctuation(c) {
        Run::Punctuation
    } else if c.is_uppercase() {
        Run::Upper
    } else if c.is_alphabetic() {
        Run::Lower
    } else if c.is_numeric() {
        Run::Number
    } else {
        Run::Other
    }
}

fn is_punctuation(c: char) -> bool {
    // Unicode counts these ASCII characters as symbols.
    c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

/// The runs of a text: capitals followed by lower case give their last to the next run, so that `HTTPServer` is
/// `HTTP` and `Server`.
fn runs(text: &str) -> Vec<(Run, &str)> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = run_of(first);
        let mut end = first.len_utf8();
        let tail = &rest[end..];
        let take = |wanted: Run| -> usize {
            let other = tail.find(|c| run_of(c) != wanted);
            other.unwrap_or(tail.len())
        };
        if kind == Run::Upper {
            let capitals = take(Run::Upper);
            if capitals > 0 {
                end += capitals;
                let followed = rest[end..]
                    .chars()
                    .next()
                    .is_some_and(|c| run_of(c) == Run::Lower);
                if followed {
                    let last = rest[..end].chars().next_back().map_or(0, char::len_utf8);
                    end -= last;
                }
            } else {
                end += take(Run::Lower);
            }
        } else {
            end += take(kind);
        }
        runs.push((kind, &rest[..end]));
        rest = &rest[end..];
    }
    runs
}

/// Lower case words with a connector between them. A number belongs to the word before it, unless lower case letters
/// follow it.
fn separated(text: &str, connector: char) -> String {
    let runs = runs(text);
    let kind = |i: usize| runs.get(i).map(|run| run.0);
    let mut out = String::new();
    let write = |out: &mut String, i: usize| {
        if let Some((kind, word)) = runs.get(i) {
            match kind {
                Run::Connector => out.extend(word.chars().map(|_| connector)),
                _ => out.extend(word.chars().map(lower)),
            }
        }
    };
    let solid =
        |kind: Option<Run>| kind.is_some_and(|k| k != Run::Connector && k != Run::Punctuation);
    let mut i = 0;
    while i + 1 < runs.len() {
        write(&mut out, i);
        let previous = kind(i);
        i += 1;
        match previous {
            Some(Run::Number) => {
                while matches!(kind(i), Some(Run::Lower | Run::Number)) {
                    write(&mut out, i);
                    i += 1;
                }
                if solid(kind(i)) {
                    out.push(connector);
                }
            }
            Some(Run::Connector | Run::Punctuation) | None => {}
            Some(_) if kind(i) != Some(Run::Number) => {
                if solid(kind(i)) {
                    out.push(connector);
                }
            }
            Some(_) => {
                if i + 1 >= runs.len() {
                    continue;
                }
                if kind(i + 1) == Some(Run::Lower) {
                    out.push(connector);
                    write(&mut out, i);
                    i += 1;
                    while matches!(kind(i), Some(Run::Lower | Run::Number)) {
                        write(&mut out, i);
                        i += 1;
                    }
                } else {
                    write(&mut out, i);
                    i += 1;
                }
                if solid(kind(i)) {
                    out.push(connector);
                }
            }
        }
    }
    write(&mut out, i);
    out
}

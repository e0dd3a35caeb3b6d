//! Paths: how Envoy normalizes them, what routes see of them, and how they are rewritten.

use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::PathWithEscapedSlashesAction as Escaped;
use meltemi_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use crate::matching::compiled;

/// What becomes of a path before routes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Normalized {
    /// It goes on with this one.
    Path(String),
    /// The client is sent to this one.
    Redirect(String),
    /// The request is refused.
    Refused,
}

/// Normalizes as the connection manager is told. Envoy: escaped slashes first, then dot segments and escapes, then
/// repeated slashes; the query stays as it is, and paths that begin with no slash do, too.
pub(crate) fn normalize(path: &str, manager: &HttpConnectionManager) -> Normalized {
    let path = path.split_once('#').map_or(path, |(before, _)| before);
    if !path.starts_with('/') {
        return Normalized::Path(path.to_owned());
    }
    let (mut only, query) = split(path);
    let escaped = has_escaped_slash(only);
    let action = Escaped::try_from(manager.path_with_escaped_slashes_action);
    let unescaped;
    let mut redirect = false;
    match action {
        Ok(Escaped::RejectRequest) if escaped => return Normalized::Refused,
        Ok(action @ (Escaped::UnescapeAndRedirect | Escaped::UnescapeAndForward)) if escaped => {
            unescaped = unescape_slashes(only);
            only = &unescaped;
            redirect = action == Escaped::UnescapeAndRedirect;
        }
        _ => {}
    }
    let mut result = only.to_owned();
    if manager.normalize_path.is_some_and(|flag| flag.value) {
        result = canonical(&result);
    }
    if manager.merge_slashes {
        result = merged(&result);
    }
    result.push_str(query);
    if redirect {
        Normalized::Redirect(result)
    } else {
        Normalized::Path(result)
    }
}

/// The path without its query, and the query with its question mark.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

fn has_escaped_slash(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.contains("%2f") || lower.contains("%5c")
}

fn unescape_slashes(path: &str) -> String {
    let replaced = path.replace("%2f", "/").replace("%2F", "/");
    replaced.replace("%5c", "\\").replace("%5C", "\\")
}

/// RFC 3986: unreserved characters unescaped, others escaped, dot segments removed; backslashes become slashes.
fn canonical(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%')
            .then(|| Some((hex(*bytes.get(at + 1)?)? << 4) | hex(*bytes.get(at + 2)?)?))
            .flatten();
        match escape {
            Some(plain) if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => {
                decoded.push(char::from(plain));
                at += 3;
            }
            Some(_) => {
                decoded.extend(bytes[at..at + 3].iter().map(|b| char::from(*b)));
                at += 3;
            }
            None => {
                match byte {
                    b'\\' => decoded.push('/'),
                    b' ' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | 0..=31 | 127..=255 => {
                        decoded.push_str(&format!("%{byte:02X}"));
                    }
                    _ => decoded.push(char::from(byte)),
                }
                at += 1;
            }
        }
    }
    without_dots(&decoded)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    format!("/{}", segments.join("/"))
}

fn merged(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}

/// Replaces what a route matched at the beginning of a path.
pub(crate) fn replace_prefix(path: &str, matched: usize, prefix: &str) -> String {
    match path.get(matched..) {
        Some(rest) => format!("{prefix}{rest}"),
        None => prefix.to_owned(),
    }
}

/// Replaces every match of the expression in the path without its query. Envoy: RE2's substitution, `\1` names a group.
pub(crate) fn replace_regex(path: &str, rewrite: &RegexMatchAndSubstitute) -> String {
    let (only, query) = split(path);
    substituted(only, rewrite) + query
}

/// Replaces every match of the expression. An expression that cannot be compiled leaves the text as it is.
pub(crate) fn substituted(text: &str, rewrite: &RegexMatchAndSubstitute) -> String {
    let pattern = rewrite.pattern.as_ref().map_or("", |p| p.regex.as_str());
    let Some(regex) = compiled(pattern) else {
        return text.to_owned();
    };
    let replaced = regex.replace_all(text, |found: &regex::Captures<'_>| {
        let mut out = String::new();
        let mut characters = rewrite.substitution.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                out.push(character);
                continue;
            }
            match characters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    let group = digit.to_digit(10).and_then(|n| usize::try_from(n).ok());
                    let group = group.and_then(|n| found.get(n));
                    out.push_str(group.map_or("", |m| m.as_str()));
                }
                Some(other) => out.push(other),
                None => {}
            }
        }
        out
    });
    replaced.into_owned()
}

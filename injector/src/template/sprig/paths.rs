//! Paths and URLs.

use std::fmt::Write as _;

use super::{Change, kind, text};
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::{Map, Value};

pub(super) fn add(functions: &mut Functions) {
    let one = Signature::of(&[Param::String]);
    let table: &[(&str, &str, Change)] = &[
        ("base", "osBase", base),
        ("dir", "osDir", dir),
        ("clean", "osClean", clean),
        ("ext", "osExt", ext),
    ];
    for (name, os_name, part) in table {
        for name in [name, os_name] {
            functions.add_typed(name, one, move |args| Ok(Value::from(part(text(args, 0)))));
        }
    }
    for name in ["isAbs", "osIsAbs"] {
        functions.add_typed(name, one, |args| {
            Ok(Value::Bool(text(args, 0).starts_with('/')))
        });
    }
    functions.add_typed("urlParse", one, |args| {
        Ok(parse(text(args, 0))
            .map_err(|problem| format!("unable to parse url: {problem}"))?
            .value())
    });
    functions.add_typed("urlJoin", Signature::of(&[Param::Map]), |args| {
        join(&args[0]).map(Value::from)
    });
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    let _ = parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn base(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

fn ext(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.rfind('.')
        .map_or(String::new(), |dot| file[dot..].to_owned())
}

/// The parts of a URL under sprig's names.
#[derive(Default)]
struct Url {
    scheme: String,
    userinfo: String,
    host: String,
    path: String,
    query: String,
    opaque: String,
    fragment: String,
}

impl Url {
    fn hostname(&self) -> &str {
        let host = &self.host[..];
        if let Some(end) = host.find(']')
            && host.starts_with('[')
        {
            return &host[1..end];
        }
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    }

    fn value(&self) -> Value {
        let entries = [
            ("scheme", &self.scheme[..]),
            ("userinfo", &self.userinfo),
            ("host", &self.host),
            ("hostname", self.hostname()),
            ("path", &self.path),
            ("query", &self.query),
            ("opaque", &self.opaque),
            ("fragment", &self.fragment),
        ];
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.into(), Value::from(value)));
        Value::Map(Map::any(entries.collect()))
    }
}

fn parse(whole: &str) -> Result<Url, String> {
    let shown = crate::template::print::quoted(whole);
    let mut url = Url::default();
    if whole.chars().any(|c| c.is_ascii_control()) {
        return Err(format!(
            "parse {shown}: net/url: invalid control character in URL"
        ));
    }
    let (rest, fragment) = whole.split_once('#').unwrap_or((whole, ""));
    url.fragment = unescaped(fragment).map_err(|problem| format!("parse {shown}: {problem}"))?;
    let mut rest = rest;
    if let Some((scheme, after)) = rest.split_once(':')
        && !scheme.contains(['/', '?'])
    {
        if scheme.is_empty() {
            return Err(format!("parse {shown}: missing protocol scheme"));
        }
        let first = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let valid = scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if first && valid {
            url.scheme = scheme.to_ascii_lowercase();
            rest = after;
        } else {
            return Err(format!(
                "parse {shown}: first path segment in URL cannot contain colon"
            ));
        }
    }
    if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_owned();
        rest = before;
    }
    if !rest.starts_with('/') && !url.scheme.is_empty() {
        url.opaque = rest.to_owned();
        return Ok(url);
    }
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        let authority = &after[..end];
        rest = &after[end..];
        match authority.rsplit_once('@') {
            Some((userinfo, host)) => {
                url.userinfo = userinfo.to_owned();
                url.host = host.to_owned();
            }
            None => url.host = authority.to_owned(),
        }
    }
    url.path = unescaped(rest).map_err(|problem| format!("parse {shown}: {problem}"))?;
    Ok(url)
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let Some(code) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            let end = after.len().min(2);
            let shown = format!("%{}", String::from_utf8_lossy(&after[..end]));
            return Err(format!(
                "invalid URL escape {}",
                crate::template::print::quoted(&shown)
            ));
        };
        bytes.push(code);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Escapes what may not stand in a path or fragment.
fn escaped(text: &str, allowed: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || allowed.contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn join(dict: &Value) -> Result<String, String> {
    let part = |key: &str| -> Result<String, String> {
        let Value::Map(map) = dict else {
            return Ok(String::new());
        };
        match map.get(key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.to_string()),
            Some(value) => {
                let kind = kind(&value);
                Err(format!(
                    "unable to parse {key} key, must be of type string, but {kind} found"
                ))
            }
        }
    };
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, opaque, fragment) = (part("query")?, part("opaque")?, part("fragment")?);
    let userinfo = part("userinfo")?;
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&userinfo);
                out.push('@');
            }
            out.push_str(&host);
        }
        let path = escaped(&path, "-_.~$&+,/:;=@");
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&path);
    } else {
        out.push_str(&opaque);
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escaped(&fragment, "-_.~$&+,/:;=?@!()*"));
    }
    Ok(out)
}

//! URLs as Go reads them (`net/url`).

use crate::Check;

/// What rules need of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// In lower case; empty when there is none.
    pub scheme: String,
}

/// Any reference. Go: `url.Parse`.
pub fn parse(text: &str) -> Result<Url, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let url = read(rest, false).and_then(|url| {
        check_escapes(fragment)?;
        Ok(url)
    });
    url.map_err(|why| format!("parse {text:?}: {why}"))
}

/// An absolute URL or an absolute path. Go: `url.ParseRequestURI`.
fn parse_request(text: &str) -> Result<Url, String> {
    read(text, true).map_err(|why| format!("parse {text:?}: {why}"))
}

fn read(text: &str, request: bool) -> Result<Url, String> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && request {
        return Err("empty url".to_owned());
    }
    let nothing = Url {
        scheme: String::new(),
    };
    if text == "*" {
        return Ok(nothing);
    }
    let (scheme, rest) = scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(Url { scheme });
        }
        if request {
            return Err("invalid URI for request".to_owned());
        }
        let first = rest.split('/').next().unwrap_or(rest);
        if first.contains(':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    let named = !scheme.is_empty() || (!request && !rest.starts_with("///"));
    if named && let Some(authority) = rest.strip_prefix("//") {
        let end = authority.find('/').unwrap_or(authority.len());
        check_authority(&authority[..end])?;
        path = &authority[end..];
    }
    check_escapes(path)?;
    Ok(Url { scheme })
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..i], &text[i + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn check_authority(authority: &str) -> Check {
    let host = match authority.rsplit_once('@') {
        None => authority,
        Some((user, host)) => {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
            if !user.bytes().all(good) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            check_escapes(user)?;
            host
        }
    };
    let (name, port) = if let Some(open) = host.find('[') {
        if open > 0 {
            return Err(format!("invalid character \"[\" in host name {host:?}"));
        }
        let Some(close) = host.rfind(']') else {
            return Err("missing ']' in host".to_owned());
        };
        (&host[..=close], &host[close + 1..])
    } else {
        host.find(':')
            .map_or((host, ""), |colon| host.split_at(colon))
    };
    let digits = port.strip_prefix(':');
    if !port.is_empty() && !digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("invalid port {port:?} after host"));
    }
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        // Only bytes outside of ASCII may be escaped in a name, and the sign itself in a zone.
        match escaped(&rest[at..]) {
            Some(b'%') => {}
            Some(byte) if byte >= 0x80 || name.starts_with('[') => {}
            _ => return Err(format!("invalid URL escape {:?}", cut(&rest[at..]))),
        }
        rest = &rest[at + 3..];
    }
    let good =
        |b: u8| b >= 0x80 || b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&b);
    match name.chars().find(|c| c.is_ascii() && !good(*c as u8)) {
        Some(c) => Err(format!(
            "invalid character {:?} in host name",
            c.to_string()
        )),
        None => Ok(()),
    }
}

/// Every `%` begins two hexadecimal digits.
fn check_escapes(text: &str) -> Check {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if escaped(&rest[at..]).is_none() {
            return Err(format!("invalid URL escape {:?}", cut(&rest[at..])));
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}

fn escaped(text: &str) -> Option<u8> {
    let digits = text.as_bytes().get(1..3)?;
    let hex = |b: &u8| char::from(*b).to_digit(16);
    let value = hex(&digits[0])? * 16 + hex(&digits[1])?;
    u8::try_from(value).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(3).collect()
}

/// Where keys of tokens are fetched. Istio 1.31: `ParseJwksURI`.
pub fn jwks_uri(text: &str) -> Check {
    let url = parse(text)?;
    if matches!(&*url.scheme, "http" | "https") {
        return Ok(());
    }
    Err(format!("URI scheme {:?} is not supported", url.scheme))
}

/// Where a Wasm module is fetched; without a scheme it is an image. Istio 1.31: `validateWasmPluginURL`.
pub fn wasm_module(text: &str) -> Check {
    if text.is_empty() {
        return Err("url field needs to be set".to_owned());
    }
    let (url, whole) = match parse_request(text) {
        Ok(url) => (url, text.to_owned()),
        Err(why) => {
            let whole = format!("http://{text}");
            let url = parse_request(&whole).map_err(|_| format!("failed to parse url: {why}"))?;
            (url, whole)
        }
    };
    parse(&whole).map_err(|why| format!("failed to strict parse url: {why}"))?;
    if matches!(&*url.scheme, "" | "file" | "http" | "https" | "oci") {
        return Ok(());
    }
    Err(format!("url contains unsupported scheme: {}", url.scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        for (text, good) in [
            ("https://a.b/c?d#e", true),
            ("http://a:80/", true),
            ("http://a:b/", false),
            ("http://[::1]:80/", true),
            ("http://[::1/", false),
            ("http://u:p@a/", true),
            ("http://a b/", false),
            ("http://a/%zz", false),
            ("http://a/%20", true),
            ("a b", true),
            ("a:b", true),
            ("1a:b", false),
            (":x", false),
            ("/x", true),
            ("", true),
            ("a\n", false),
        ] {
            assert_eq!(parse(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn modules_have_schemes_of_their_own() {
        for (text, good) in [
            ("oci://a/b:latest", true),
            ("a.io/b/c:v1", true),
            ("a/b", true),
            ("file:///x", true),
            ("ftp://x", false),
            // Read again as http://http://a:b, which has a host, no port and a path.
            ("http://a:b", true),
            ("", false),
        ] {
            assert_eq!(wasm_module(text).is_ok(), good, "{text}");
        }
    }
}

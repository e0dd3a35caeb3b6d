//! Names and values of HTTP headers.

use super::host::is_dns_label;
use crate::Check;

fn name_of(name: &str, good: impl Fn(u8) -> bool) -> Check {
    if name.is_empty() {
        return Err("header name cannot be empty".to_owned());
    }
    if name.bytes().all(good) {
        return Ok(());
    }
    Err(format!("header name {name} is not a valid header name"))
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A header name in the narrow sense. Istio 1.31: `ValidateStrictHTTPHeaderName`.
pub fn strict_name(name: &str) -> Check {
    name_of(name, |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
    })
}

/// A header of a probe, as Kubernetes accepts it. Istio 1.31: `ValidateProbeHeaderName`.
pub fn probe_name(name: &str) -> Check {
    name_of(name, |b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A header name of a CORS policy; `*` is all. Istio 1.31: `ValidateCORSHTTPHeaderName`.
pub fn cors_name(name: &str) -> Check {
    name_of(name, is_token)
}

/// A header that requests are matched by: a token (RFC 9110), a pseudo header, or a claim of a token.
/// Istio 1.31: `ValidateHTTPHeaderNameOrJwtClaimRoute`.
pub fn match_name(name: &str) -> Check {
    const PSEUDO: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];
    if is_claim(name) || PSEUDO.contains(&name) {
        return Ok(());
    }
    name_of(name, is_token)
}

/// Whether a header stands for a claim of a token, such as `@request.auth.claims.sub`. Istio 1.31: `jwt.ToRoutingClaim`.
pub fn is_claim(name: &str) -> bool {
    const PREFIX: &str = "@request.auth.claims";
    let Some((prefix, claim)) = name.split_at_checked(PREFIX.len()) else {
        return false;
    };
    let bracketed = claim.len() > 2 && claim.starts_with('[') && claim.ends_with(']');
    prefix.eq_ignore_ascii_case(PREFIX) && (claim.len() > 1 && claim.starts_with('.') || bracketed)
}

/// Whether a header is the host under either of its names.
pub fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// A header that a request gets. Istio 1.31: `ValidateHTTPHeaderWithAuthorityOperationName`.
pub fn request_name(name: &str) -> Check {
    if name.is_empty() {
        return Err("header name cannot be empty".to_owned());
    }
    if name.starts_with(':') && !is_authority(name) {
        return Err(colon(name));
    }
    Ok(())
}

/// A header that is removed, or that a response gets. Istio 1.31: `ValidateHTTPHeaderOperationName`.
pub fn operation_name(name: &str) -> Check {
    if name.is_empty() {
        return Err("header name cannot be empty".to_owned());
    }
    if name.eq_ignore_ascii_case("host") {
        return Err(format!("invalid header {name:?}: cannot set Host header"));
    }
    if name.starts_with(':') {
        return Err(colon(name));
    }
    Ok(())
}

fn colon(name: &str) -> String {
    format!("invalid header {name:?}: header cannot have \":\" prefix")
}

/// A namespace that a request comes from.
pub fn source_namespace(name: &str) -> Check {
    if name.is_empty() || is_dns_label(name) {
        return Ok(());
    }
    Err(format!("sourceNamespace match {name} is invalid"))
}

/// A header value in Envoy's format: `%NAME%` and `%NAME(arguments)%` are replaced, `%%` is a percent sign. Whether
/// Envoy knows the name is not asked. Istio 1.31: `ValidateHTTPHeaderValue`.
pub fn value(value: &str) -> Check {
    if value
        .chars()
        .any(|c| (c < ' ' && c != '\t') || c == '\u{7f}')
    {
        return Err(format!("header value configuration {value} is invalid"));
    }
    match walk(value) {
        Ok(State::Literal) => Ok(()),
        Ok(_) => Err(format!(
            "header value configuration: invalid header configuration. Un-terminated variable expression '{value}'"
        )),
        Err(why) => Err(format!(
            "header value configuration: invalid header configuration. {why}"
        )),
    }
}

/// Where in a value the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Literal,
    Name,
    /// After `(`.
    Arguments,
    /// In a list, before a string.
    BeforeString,
    InString,
    /// In a list, after a string.
    AfterString,
    /// After the list.
    BeforeClose,
    /// After `)`.
    BeforeEnd,
}

fn walk(value: &str) -> Result<State, &'static str> {
    let mut state = State::Literal;
    let mut bytes = value.bytes().peekable();
    while let Some(b) = bytes.next() {
        state = match (state, b) {
            (State::Literal, b'%') => match bytes.peek() {
                None => return Err("Un-escaped %"),
                Some(b'%') => {
                    bytes.next();
                    State::Literal
                }
                Some(_) => State::Name,
            },
            (State::Name, b'%') => State::Literal,
            (State::Name, b'(') => State::Arguments,
            (State::Arguments, b'[') => State::BeforeString,
            (State::Arguments, b) if b != b' ' => State::InString,
            (State::BeforeString, b'"') => State::InString,
            (State::BeforeString, b) if b != b' ' => return Err("Expecting '\"'"),
            (State::InString, b'\\') => {
                bytes
                    .next()
                    .ok_or("Un-terminated backslash in JSON string")?;
                State::InString
            }
            (State::InString, b')') => State::BeforeEnd,
            (State::InString, b'"') => State::AfterString,
            (State::AfterString, b',') => State::BeforeString,
            (State::AfterString, b']') => State::BeforeClose,
            (State::AfterString, b) if b != b' ' => {
                return Err("Expecting ',', ']', or whitespace");
            }
            (State::BeforeClose, b')') => State::BeforeEnd,
            (State::BeforeClose, b) if b != b' ' => return Err("Expecting ')' or whitespace"),
            (State::BeforeEnd, b'%') => State::Literal,
            (State::BeforeEnd, b) if b != b' ' => return Err("Expecting '%' or whitespace after"),
            (state, _) => state,
        };
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_istio_reads_them() {
        for (text, good) in [
            ("plain", true),
            ("", true),
            ("%HOSTNAME%", true),
            ("%REQ(x-y?:path)% b", true),
            ("%START_TIME(%s.%3f)%", true),
            ("%UPSTREAM_METADATA([\"ns\", \"key\"])%", true),
            ("%UPSTREAM_METADATA([\"ns\" \"key\"])%", false),
            ("%UPSTREAM_METADATA([ns])%", false),
            ("%A([\"x\"]x)%", false),
            ("%REQ(x)y%", false),
            ("100%%", true),
            ("abc%123", false),
            ("%START_TIME%%", false),
            ("100%", false),
            ("% %", true),
            ("%REQ(x%", false),
            ("%REQ(x\\", false),
            ("a\nb", false),
            ("a\tb", true),
        ] {
            assert_eq!(value(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn claims_have_two_spellings() {
        for (name, claim) in [
            ("@request.auth.claims.sub", true),
            ("@Request.Auth.Claims[a][b]", true),
            ("@request.auth.claims", false),
            ("@request.auth.claims.", false),
            ("@request.auth.claims[]", false),
            ("@request.auth.claims-x", false),
            ("x", false),
        ] {
            assert_eq!(is_claim(name), claim, "{name}");
            assert_eq!(match_name(name).is_ok(), claim || name == "x", "{name}");
        }
    }
}

//! `x-forwarded-client-cert` from a gateway that ends TLS in front of us.

use super::{Caller, Credentials, Source};
use crate::identity::Identity;
use crate::settings::Callers;

/// Istio 1.31: peers in `TRUSTED_GATEWAY_CIDR` and on the loopback device are believed. Istio takes every URI, DNS name
/// and common name of every element as an identity; here there must be exactly one element, and its URIs must be
/// identities of our trust domain, since a certificate will be made of them.
pub(super) fn caller(settings: &Callers, credentials: &Credentials<'_>) -> Result<Caller, String> {
    let header = credentials
        .metadata
        .get("x-forwarded-client-cert")
        .ok_or("the header is absent")?;
    let remote = credentials
        .remote
        .ok_or("the peer has no address")?
        .ip()
        .to_canonical();
    let trusted = settings
        .trusted_gateways
        .iter()
        .any(|net| net.contains(&remote));
    if !trusted && !remote.is_loopback() {
        return Err(format!("{remote} is not in the trusted network"));
    }
    let header = header.to_str().map_err(|_| "the header is no text")?;
    let elements = elements(header)?;
    let [element] = elements.as_slice() else {
        return Err(format!("{} elements instead of one", elements.len()));
    };
    let mut identities = Vec::new();
    for (key, value) in element {
        if !key.eq_ignore_ascii_case("URI") {
            continue;
        }
        match value.parse::<Identity>() {
            Ok(identity) if identity.trust_domain == settings.trust_domain => {
                identities.push(value.clone());
            }
            _ => return Err(format!("{value:?} is no identity of this mesh")),
        }
    }
    if identities.is_empty() {
        return Err("no URI in the header".to_owned());
    }
    Ok(Caller {
        identities,
        pod: None,
        by: Source::Gateway,
    })
}

type Element = Vec<(String, String)>;

/// Elements are separated by commas, fields by semicolons; values may stand in quotes with `\"` inside (Envoy:
/// x-forwarded-client-cert).
fn elements(header: &str) -> Result<Vec<Element>, String> {
    let mut elements = vec![Element::new()];
    let mut key = String::new();
    let mut value = None::<String>;
    let mut quoted = false;
    let mut chars = header.chars();
    loop {
        let next = chars.next();
        match (next, quoted) {
            (None, true) => return Err("a quote has no end".to_owned()),
            (Some('\\'), true) => {
                let escaped = chars.next().ok_or("a quote has no end")?;
                value.get_or_insert_default().push(escaped);
            }
            (Some('"'), _) if value.is_some() => quoted = !quoted,
            (None | Some(';' | ','), false) => {
                let key = std::mem::take(&mut key);
                match (key.trim(), value.take()) {
                    ("", None) => {}
                    (key, Some(value)) if !key.is_empty() => {
                        if let Some(element) = elements.last_mut() {
                            element.push((key.to_owned(), value));
                        }
                    }
                    _ => return Err("a field is not <key>=<value>".to_owned()),
                }
                match next {
                    None => return Ok(elements),
                    Some(',') => elements.push(Element::new()),
                    Some(_) => {}
                }
            }
            (Some('='), false) if value.is_none() => value = Some(String::new()),
            (Some(c), _) => match &mut value {
                Some(value) => value.push(c),
                None => key.push(c),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_separators() {
        let header =
            r#"By=spiffe://a;Hash=1;Subject="CN=a,O=\"b;c\"";URI=spiffe://td/ns/a/sa/b,By=x;URI=y"#;
        let read = elements(header).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            read[0][2],
            ("Subject".to_owned(), "CN=a,O=\"b;c\"".to_owned())
        );
        assert_eq!(read[0][3].1, "spiffe://td/ns/a/sa/b");
        assert_eq!(
            read[1],
            [
                ("By".to_owned(), "x".to_owned()),
                ("URI".to_owned(), "y".to_owned())
            ]
        );
    }

    #[test]
    fn broken_headers_are_refused() {
        for header in [r#"Subject="a"#, "URI", "=x", r#"Subject="a\"#] {
            assert!(elements(header).is_err(), "{header}");
        }
    }
}

//! Webhooks that go to a control plane in another cluster.

use std::net::IpAddr;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{has, text};
use crate::{Input, Kind, Object};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let validating = input
        .of(Kind::ValidatingWebhookConfiguration)
        .filter(|c| c.name == "istiod-default-validator" || c.name.starts_with("istio-validator"));
    let mutating = input
        .of(Kind::MutatingWebhookConfiguration)
        .filter(|c| c.name.starts_with("istio-sidecar-injector"));
    for configuration in validating.chain(mutating) {
        check(configuration, found);
    }
}

fn check<'a>(configuration: &'a Object, found: &mut Found<'a>) {
    for hook in configuration.list("/webhooks") {
        let name = text(hook, "/name");
        let url = text(hook, "/clientConfig/url");
        let problem = if has(hook, "/clientConfig/url") {
            match host(url) {
                Some(host) if host.parse::<IpAddr>().is_ok() => {
                    let kind = &types::EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME;
                    found.add(kind, configuration, "", &[&url, &name]);
                    continue;
                }
                Some(_) => continue,
                None => "was provided in an invalid format",
            }
        } else if has(hook, "/clientConfig/service") {
            continue;
        } else {
            "is blank"
        };
        let kind = &types::INVALID_EXTERNAL_CONTROL_PLANE_CONFIG;
        found.add(kind, configuration, "", &[&url, &name, &problem]);
    }
}

/// The host of a URL; `None` where Go would not read it.
fn host(url: &str) -> Option<&str> {
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return None;
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // A path; its first part has no colon.
        let first = url.split('/').next().unwrap_or("");
        return (!first.contains(':')).then_some("");
    };
    let mut letters = scheme.chars();
    let is_scheme = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let address = authority.rsplit('@').next().unwrap_or("");
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest)
        }
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    port.chars().all(|c| c.is_ascii_digit()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts_of_urls() {
        for (url, want) in [
            ("https://a.b:15017/inject", Some("a.b")),
            ("https://[::1]:5100/x", Some("::1")),
            ("https://1.1.1.1", Some("1.1.1.1")),
            ("https://a:b/", None),
            ("1.1.1.1:5100/x", None),
            ("a/b", Some("")),
            ("", Some("")),
            ("http s://a", None),
        ] {
            assert_eq!(host(url), want, "{url}");
        }
    }
}

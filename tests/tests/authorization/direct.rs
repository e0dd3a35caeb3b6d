//! What a policy says to a request, computed from the policy as users write it, field by field, without Envoy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// The trust domain of the mesh and its aliases.
pub(crate) const TRUST_DOMAINS: [&str; 2] = ["td.test", "old.test"];

/// A request, or a connection that carries none.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; none for plaintext.
    pub(crate) identity: Option<String>,
    pub(crate) source: IpAddr,
    /// `x-forwarded-for`.
    pub(crate) forwarded: Option<String>,
    pub(crate) destination: (IpAddr, u16),
    pub(crate) server_name: String,
    /// What a filter of that name left.
    pub(crate) metadata: Value,
    /// None for a connection.
    pub(crate) http: Option<Http>,
}

/// What only requests have.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// The claims of its token; null without one.
    pub(crate) claims: Value,
}

/// How a rule takes what a connection does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// A rule that allows is met by no connection.
    Never,
    /// Others are met by more connections.
    Ignore,
}

/// Whether the policies let it pass, if every provider that is asked refuses. `providers`: those that connections can
/// be asked about, then those that only requests can.
pub(crate) fn passes(policies: &[Value], request: &Request, providers: [&str; 2]) -> bool {
    let counted: Vec<&Value> = policies
        .iter()
        .filter(|p| p["metadata"]["annotations"]["istio.io/dry-run"] != "true")
        .collect();
    let of = |action: &str| {
        let found = counted.iter().filter(|p| {
            let said = p["spec"]["action"].as_str().unwrap_or("ALLOW");
            said == action
        });
        found.copied().collect::<Vec<&Value>>()
    };
    let met = |policy: &&Value, doubt: Doubt| {
        let namespace = policy["metadata"]["namespace"].as_str().expect("text");
        list(&policy["spec"]["rules"])
            .iter()
            .any(|rule| rule_met(rule, request, namespace, doubt))
    };
    let named: Vec<&Value> = policies
        .iter()
        .filter(|p| p["spec"]["action"] == "CUSTOM")
        .collect();
    let first = named.first().map(|p| &p["spec"]["provider"]["name"]);
    let several = named
        .iter()
        .any(|p| Some(&p["spec"]["provider"]["name"]) != first);
    let custom = of("CUSTOM").into_iter().any(|policy| {
        let name = policy["spec"]["provider"]["name"].as_str().expect("text");
        let usable = !several && providers.contains(&name);
        // A provider that speaks HTTP is not asked about connections.
        let asked = !usable || request.http.is_some() || name == providers[0];
        asked && met(&policy, Doubt::Ignore)
    });
    let denied = of("DENY").iter().any(|policy| met(policy, Doubt::Ignore));
    let allow = of("ALLOW");
    let allowed = allow.is_empty() || allow.iter().any(|policy| met(policy, Doubt::Never));
    !custom && !denied && allowed
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn rule_met(rule: &Value, request: &Request, namespace: &str, doubt: Doubt) -> bool {
    let asks_of_request = list(&rule["from"]).iter().any(|from| {
        has(
            &from["source"],
            &["requestPrincipals", "notRequestPrincipals"],
        )
    }) || list(&rule["to"]).iter().any(|to| {
        let fields = [
            "hosts",
            "methods",
            "paths",
            "notHosts",
            "notMethods",
            "notPaths",
        ];
        has(&to["operation"], &fields)
    }) || list(&rule["when"]).iter().any(|when| {
        let key = when["key"].as_str().expect("text");
        key.starts_with("request.")
    });
    if request.http.is_none() && asks_of_request && doubt == Doubt::Never {
        return false;
    }
    let from = list(&rule["from"]);
    let to = list(&rule["to"]);
    (from.is_empty()
        || from
            .iter()
            .any(|from| source_met(&from["source"], request, namespace)))
        && (to.is_empty() || to.iter().any(|to| operation_met(&to["operation"], request)))
        && list(&rule["when"])
            .iter()
            .all(|when| condition_met(when, request, namespace))
}

fn has(object: &Value, fields: &[&str]) -> bool {
    fields.iter().any(|field| !list(&object[*field]).is_empty())
}

/// `field` and its negation.
fn field(object: &Value, name: &str, is: impl Fn(&str) -> bool) -> bool {
    let not = format!("not{}{}", name[..1].to_uppercase(), &name[1..]);
    either(&object[name], &object[not.as_str()], is)
}

/// One of those, and none of these; nothing is asked where there are none.
fn either(any: &Value, none: &Value, is: impl Fn(&str) -> bool) -> bool {
    let texts = |value| {
        list(value)
            .iter()
            .map(|text: &Value| text.as_str().expect("text"))
    };
    let mut none = texts(none);
    (list(any).is_empty() || texts(any).any(&is)) && !none.any(&is)
}

fn source_met(source: &Value, request: &Request, namespace: &str) -> bool {
    field(source, "principals", |text| principal_is(request, text))
        && (request.http.is_none()
            || field(source, "requestPrincipals", |text| {
                request_principal_is(request, text)
            }))
        && field(source, "namespaces", |text| namespace_is(request, text))
        && field(source, "serviceAccounts", |text| {
            account_is(request, text, namespace)
        })
        && field(source, "trustDomains", |text| {
            trust_domain_is(request, text)
        })
        && field(source, "ipBlocks", |text| in_block(request.source, text))
        && field(source, "remoteIpBlocks", |text| {
            in_block(remote(request), text)
        })
}

fn operation_met(operation: &Value, request: &Request) -> bool {
    let port = field(operation, "ports", |text| {
        text == request.destination.1.to_string()
    });
    let Some(http) = &request.http else {
        return port;
    };
    port && field(operation, "hosts", |text| {
        text_is(&http.host.to_lowercase(), &text.to_lowercase())
    }) && field(operation, "methods", |text| text_is(&http.method, text))
        && field(operation, "paths", |text| path_is(http, text))
}

fn condition_met(when: &Value, request: &Request, namespace: &str) -> bool {
    let key = when["key"].as_str().expect("text");
    if request.http.is_none() && key.starts_with("request.") {
        return true;
    }
    let met = |is: &dyn Fn(&str) -> bool| either(&when["values"], &when["notValues"], is);
    match key {
        "source.ip" => met(&|text| in_block(request.source, text)),
        "remote.ip" => met(&|text| in_block(remote(request), text)),
        "source.namespace" => met(&|text| namespace_is(request, text)),
        "source.serviceAccount" => met(&|text| account_is(request, text, namespace)),
        "source.principal" => met(&|text| principal_is(request, text)),
        "source.trustDomain" => met(&|text| trust_domain_is(request, text)),
        "destination.ip" => met(&|text| in_block(request.destination.0, text)),
        "destination.port" => met(&|text| text == request.destination.1.to_string()),
        "connection.sni" => met(&|text| text_is(&request.server_name, text)),
        "request.auth.principal" => met(&|text| request_principal_is(request, text)),
        "request.auth.audiences" => met(&|text| claim_is(request, "[aud]", text)),
        "request.auth.presenter" => met(&|text| claim_is(request, "[azp]", text)),
        _ => {
            if let Some(path) = key.strip_prefix("request.auth.claims") {
                return met(&|text| claim_is(request, path, text));
            }
            if let Some(name) = key.strip_prefix("request.headers[") {
                let headers = request.http.as_ref().map(|http| &http.headers);
                let value = headers.and_then(|h| h.get(name.trim_end_matches(']')));
                return met(&|text| match value {
                    Some(value) => text == "*" || text_is(value, text),
                    None => false,
                });
            }
            let key = key.strip_prefix("experimental.envoy.filters.test[");
            let key = key.expect("a known key").trim_end_matches(']');
            let value = &request.metadata[key];
            met(&|text| match text.strip_prefix('[') {
                Some(element) => list(value).iter().any(|value| {
                    let value = value.as_str().expect("text");
                    text_is(value, element.trim_end_matches(']'))
                }),
                None => value.as_str().is_some_and(|value| text_is(value, text)),
            })
        }
    }
}

/// `*` is any text but none; else there may be a `*` before or after it.
fn text_is(value: &str, wanted: &str) -> bool {
    match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
        (Some(""), _) => !value.is_empty(),
        (Some(end), _) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => value == wanted,
    }
}

/// Identities of any trust domain of the mesh are the same; policies may call it `cluster.local`.
fn principal_is(request: &Request, wanted: &str) -> bool {
    let Some(identity) = &request.identity else {
        return false;
    };
    let split = |text: &'_ str| {
        let (domain, rest) = text.split_once('/').expect("an identity");
        (domain.to_owned(), rest.to_owned())
    };
    let ours = |domain: &str| TRUST_DOMAINS.contains(&domain);
    let complete = wanted.matches('/').count() == 4;
    if complete {
        let (domain, rest) = split(wanted);
        if ours(&domain) || domain == "cluster.local" {
            let (own, account) = split(identity);
            return ours(&own) && text_is(&account, &rest);
        }
    }
    text_is(identity, wanted)
}

fn part(request: &Request, at: usize) -> Option<&str> {
    request.identity.as_deref()?.split('/').nth(at)
}

fn namespace_is(request: &Request, wanted: &str) -> bool {
    let Some(namespace) = part(request, 2) else {
        return false;
    };
    wanted == "*" || text_is(namespace, wanted)
}

fn account_is(request: &Request, wanted: &str, own: &str) -> bool {
    let (namespace, name) = wanted.split_once('/').unwrap_or((own, wanted));
    part(request, 2) == Some(namespace) && part(request, 4) == Some(name)
}

fn trust_domain_is(request: &Request, wanted: &str) -> bool {
    let Some(domain) = part(request, 0) else {
        return false;
    };
    if TRUST_DOMAINS.contains(&wanted) {
        return TRUST_DOMAINS.contains(&domain);
    }
    text_is(domain, wanted)
}

/// The last address that proxies before this one told.
fn remote(request: &Request) -> IpAddr {
    let told = request
        .forwarded
        .as_deref()
        .filter(|_| request.http.is_some());
    let last = told.and_then(|text| text.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or(request.source)
}

fn in_block(address: IpAddr, block: &str) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32_u32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let (base, length) = block.split_once('/').unwrap_or((block, ""));
    let base: IpAddr = base.parse().expect("an address");
    let ((have, kind), (want, wanted_kind)) = (bits(address), bits(base));
    let length = length.parse().unwrap_or(kind);
    kind == wanted_kind && (length == 0 || (have ^ want) >> (128 - length) == 0)
}

/// `issuer/subject` of the token; it has both.
fn request_principal_is(request: &Request, wanted: &str) -> bool {
    let claims = request.http.as_ref().map(|http| &http.claims);
    let text = |name: &str| claims.and_then(|claims| claims[name].as_str());
    match (text("iss"), text("sub")) {
        (Some(issuer), Some(subject)) => text_is(&format!("{issuer}/{subject}"), wanted),
        _ => false,
    }
}

/// A claim is a text, or a list with such a text.
fn claim_is(request: &Request, path: &str, wanted: &str) -> bool {
    let mut value = &request.http.as_ref().expect("a request").claims;
    for name in path.trim_matches(['[', ']']).split("][") {
        value = &value[name];
    }
    let mut list = list(value).iter().chain(value.is_string().then_some(value));
    list.any(|value| value.as_str().is_some_and(|value| text_is(value, wanted)))
}

/// The path without its query; a template's `{*}` is one segment, `{**}` any number of them.
fn path_is(http: &Http, wanted: &str) -> bool {
    let path = http.path.split('?').next().unwrap_or_default();
    if !wanted.contains('{') {
        return text_is(path, wanted);
    }
    let segments: Vec<&str> = path.split('/').collect();
    let wanted: Vec<&str> = wanted.split('/').collect();
    segments_are(&segments, &wanted)
}

fn segments_are(path: &[&str], wanted: &[&str]) -> bool {
    match (path, wanted) {
        ([], []) => true,
        // It takes at least the slash before it.
        (path, ["{**}", rest @ ..]) if !path.is_empty() => {
            (1..=path.len()).any(|taken| segments_are(&path[taken..], rest))
        }
        ([first, path @ ..], ["{*}", rest @ ..]) => !first.is_empty() && segments_are(path, rest),
        ([first, path @ ..], [wanted, rest @ ..]) => first == wanted && segments_are(path, rest),
        _ => false,
    }
}

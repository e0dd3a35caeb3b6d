//! One rule as a policy of RBAC: what is asked of the operation becomes permissions, what is asked of the caller
//! principals. Istio 1.31: `pilot/pkg/security/authz/model`.

// Istio matches metadata in the old form, which every Envoy knows.
#![allow(deprecated)]

use meltemi_model::Str;
use meltemi_model::security::{
    Attribute, AuthorizationRule, Condition, IpRange, Operation, Source, TextMatch, Values,
};

use super::{Level, pb, text, trust_domain};

use pb::rbac::permission::{self, Rule as Is};
use pb::rbac::principal::{self, Identifier as By};
use pb::rbac::{Permission, Policy, Principal, rbac::Action};

/// Only requests have what is asked for.
#[derive(Debug)]
struct HttpOnly;

/// What is asked for, as alternatives that are already built.
type Asked<T> = Result<Values<T>, HttpOnly>;

/// The policy, unless nothing can match it: on connections a rule that allows and asks for something of a request is
/// left out, so that it allows nothing; one that denies loses that part, so that it denies more.
pub(super) fn policy(
    rule: &AuthorizationRule,
    action: Action,
    trust_domains: &[Str],
    level: Level,
) -> Option<Policy> {
    let nobody = [Source::default()];
    let nothing = [Operation::default()];
    let from = if rule.from.is_empty() {
        &nobody[..]
    } else {
        &rule.from
    };
    let to = if rule.to.is_empty() {
        &nothing[..]
    } else {
        &rule.to
    };
    let permissions = to.iter().map(|operation| {
        let own = of_operation(operation, level);
        let when = rule.when.iter().filter_map(of_condition_to);
        all(own.into_iter().chain(when), action)
    });
    let principals = from.iter().map(|source| {
        let own = of_source(source, trust_domains, level);
        let when = rule.when.iter();
        let when = when.filter_map(|c| of_condition_from(c, trust_domains, level));
        all(own.into_iter().chain(when), action)
    });
    Some(Policy {
        permissions: permissions.collect::<Option<_>>()?,
        principals: principals.collect::<Option<_>>()?,
        ..Default::default()
    })
}

/// A policy that matches nothing: that of a policy without rules.
pub(super) fn never() -> Policy {
    Policy {
        permissions: vec![Permission::anything().not()],
        principals: vec![Principal::anything().not()],
        ..Default::default()
    }
}

/// What permissions and principals have in common.
trait Term: Sized {
    fn anything() -> Self;
    fn all(terms: Vec<Self>) -> Self;
    fn any(terms: Vec<Self>) -> Self;
    fn not(self) -> Self;
}

impl Term for Permission {
    fn anything() -> Self {
        permission(Is::Any(true))
    }

    fn all(rules: Vec<Self>) -> Self {
        permission(Is::AndRules(permission::Set { rules }))
    }

    fn any(rules: Vec<Self>) -> Self {
        permission(Is::OrRules(permission::Set { rules }))
    }

    fn not(self) -> Self {
        permission(Is::NotRule(Box::new(self)))
    }
}

impl Term for Principal {
    fn anything() -> Self {
        principal(By::Any(true))
    }

    fn all(ids: Vec<Self>) -> Self {
        principal(By::AndIds(principal::Set { ids }))
    }

    fn any(ids: Vec<Self>) -> Self {
        principal(By::OrIds(principal::Set { ids }))
    }

    fn not(self) -> Self {
        principal(By::NotId(Box::new(self)))
    }
}

fn permission(rule: Is) -> Permission {
    Permission { rule: Some(rule) }
}

fn principal(identifier: By) -> Principal {
    Principal {
        identifier: Some(identifier),
    }
}

/// All of what is asked for; `None` if a rule that allows asks for what only requests have.
fn all<T: Term>(asked: impl Iterator<Item = Asked<T>>, action: Action) -> Option<T> {
    let mut terms = Vec::new();
    for values in asked {
        match values {
            Ok(values) => {
                terms.extend(values.any);
                terms.extend(values.none.into_iter().map(T::not));
            }
            Err(HttpOnly) if action == Action::Allow => return None,
            Err(HttpOnly) => {}
        }
    }
    if terms.is_empty() {
        terms.push(T::anything());
    }
    Some(T::all(terms))
}

/// Values that are compared one by one.
fn each<V, T: Term>(values: &Values<V>, term: impl Fn(&V) -> T) -> Values<T> {
    let any_of = |list: &[V]| {
        let terms: Vec<T> = list.iter().map(&term).collect();
        (!terms.is_empty()).then(|| T::any(terms))
    };
    Values {
        any: any_of(&values.any).into_iter().collect(),
        none: any_of(&values.none).into_iter().collect(),
    }
}

/// Values that one comparison takes together.
fn together<V, T>(values: &Values<V>, term: impl Fn(&[V]) -> T) -> Values<T> {
    let one = |list: &[V]| (!list.is_empty()).then(|| term(list));
    Values {
        any: one(&values.any).into_iter().collect(),
        none: one(&values.none).into_iter().collect(),
    }
}

/// What only requests have.
fn http_only<V, T>(
    values: &Values<V>,
    level: Level,
    terms: impl FnOnce() -> Values<T>,
) -> Asked<T> {
    match level {
        Level::Tcp if !values.is_empty() => Err(HttpOnly),
        _ => Ok(terms()),
    }
}

fn of_operation(operation: &Operation, level: Level) -> [Asked<Permission>; 4] {
    let Operation {
        hosts,
        methods,
        paths,
        ports,
    } = operation;
    let header = |name: &'static str, ignore_case: bool| {
        move |wanted: &TextMatch| permission(Is::Header(text::header(name, wanted, ignore_case)))
    };
    [
        http_only(hosts, level, || each(hosts, header(":authority", true))),
        http_only(methods, level, || each(methods, header(":method", false))),
        http_only(paths, level, || each(paths, |path| of_path(path))),
        Ok(each(ports, |port| of_port(*port))),
    ]
}

fn of_port(port: u16) -> Permission {
    permission(Is::DestinationPort(port.into()))
}

/// A path, or a template: `{*}` is one segment, `{**}` any number of them.
fn of_path(path: &str) -> Permission {
    use pb::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
    if !path.contains("{*}") && !path.contains("{**}") {
        return permission(Is::UrlPath(text::path(&TextMatch::parse(path))));
    }
    let template = UriTemplateMatchConfig {
        path_template: path.replace("{*}", "*").replace("{**}", "**"),
    };
    permission(Is::UriTemplate(pb::core::TypedExtensionConfig {
        name: "uri-template".to_owned(),
        typed_config: Some(pb::any(&template)),
    }))
}

/// In this order Istio puts them.
fn of_source(source: &Source, trust_domains: &[Str], level: Level) -> [Asked<Principal>; 7] {
    [
        Ok(of_principals(&source.principals, trust_domains)),
        of_request_principals(&source.request_principals, level),
        Ok(each(&source.service_accounts, of_account)),
        Ok(of_trust_domains(&source.trust_domains, trust_domains)),
        Ok(each(&source.namespaces, |name| of_namespace(name))),
        Ok(each(&source.remote_ip_blocks, |range| {
            principal(By::RemoteIp(cidr(range)))
        })),
        Ok(each(&source.ip_blocks, |range| {
            principal(By::DirectRemoteIp(cidr(range)))
        })),
    ]
}

fn of_principals(values: &Values<Str>, trust_domains: &[Str]) -> Values<Principal> {
    let migrated = Values {
        any: trust_domain::principals(&values.any, trust_domains),
        none: trust_domain::principals(&values.none, trust_domains),
    };
    each(&migrated, |name| authenticated(text::principal(name)))
}

fn of_trust_domains(values: &Values<Str>, trust_domains: &[Str]) -> Values<Principal> {
    let expanded = Values {
        any: trust_domain::domains(&values.any, trust_domains),
        none: trust_domain::domains(&values.none, trust_domains),
    };
    each(&expanded, |domain| {
        authenticated(match domain.split_once('*') {
            Some(("", "")) => pb::string_prefix("spiffe://".to_owned()),
            None => pb::string_prefix(format!("spiffe://{domain}/")),
            Some((start, end)) => text::regex(format!(
                "spiffe://{}[^/]*{}/.*",
                text::quoted(start),
                text::quoted(end)
            )),
        })
    })
}

fn of_namespace(name: &str) -> Principal {
    let parts: Vec<String> = name.split('*').map(text::quoted).collect();
    authenticated(text::regex(format!(".*/ns/{}/.*", parts.join(".*"))))
}

/// Other pairs of names and values may stand in the identity before and after the account.
fn of_account((namespace, name): &(Str, Str)) -> Principal {
    authenticated(text::regex(format!(
        "spiffe://.+/ns/{}/(.+/|)sa/{}(/.+)?",
        text::quoted(namespace),
        text::quoted(name)
    )))
}

fn authenticated(name: pb::matcher::StringMatcher) -> Principal {
    principal(By::Authenticated(principal::Authenticated {
        principal_name: Some(name),
    }))
}

fn of_request_principals(values: &Values<Str>, level: Level) -> Asked<Principal> {
    http_only(values, level, || {
        together(values, |list: &[Str]| {
            let mut list: Vec<Principal> = list.iter().map(|text| of_request(text)).collect();
            if list.len() == 1 {
                return list.swap_remove(0);
            }
            Principal::any(list)
        })
    })
}

/// `issuer/subject`; the issuer may hold slashes. A wildcard is at the very beginning or end.
fn of_request(text: &str) -> Principal {
    use TextMatch::{Any, Exact, Prefix, Suffix};
    let parts = text.rsplit_once('/');
    let (issuer, subject) = parts.unwrap_or((text, ""));
    let is_split = parts.is_some();
    let (issuer, subject) = if text == "*" {
        (Any, Any)
    } else if let Some(rest) = text.strip_prefix('*') {
        match (is_split, issuer.strip_prefix('*')) {
            (true, Some("") | None) => (Any, Exact(subject.into())),
            (true, Some(issuer)) => (Suffix(issuer.into()), Exact(subject.into())),
            (false, _) => (Any, Suffix(rest.into())),
        }
    } else if let Some(rest) = text.strip_suffix('*') {
        match (is_split, subject.strip_suffix('*')) {
            (true, Some("") | None) => (Exact(issuer.into()), Any),
            (true, Some(subject)) => (Exact(issuer.into()), Prefix(subject.into())),
            (false, _) => (Prefix(rest.into()), Any),
        }
    } else {
        (Exact(issuer.into()), Exact(subject.into()))
    };
    let is = |claim: &str, wanted: &TextMatch| {
        let value = text::value(text::text(wanted));
        principal(By::Metadata(text::claim(&[claim.into()], value)))
    };
    Principal::all(vec![is("iss", &issuer), is("sub", &subject)])
}

/// What a condition asks of the operation.
fn of_condition_to(condition: &Condition) -> Option<Asked<Permission>> {
    Some(Ok(match condition {
        Condition::DestinationIp(values) => {
            each(values, |range| permission(Is::DestinationIp(cidr(range))))
        }
        Condition::DestinationPort(values) => each(values, |port| of_port(*port)),
        Condition::Text(Attribute::ServerName, values) => each(values, |wanted| {
            permission(Is::RequestedServerName(text::text(wanted)))
        }),
        Condition::Metadata {
            filter,
            key,
            values,
        } => together(values, |list| {
            let list = list.iter().map(|text| of_metadata(text)).collect();
            let matcher = text::metadata(filter, [&**key], text::any_of(list));
            permission(Is::Metadata(matcher))
        }),
        _ => return None,
    }))
}

/// A value of metadata; in brackets it is an element of a list.
fn of_metadata(written: &str) -> pb::matcher::ValueMatcher {
    let is = |text: &str| text::value(text::text(&TextMatch::parse(text)));
    if written.starts_with('[') && written.ends_with(']') {
        return text::list_with(is(written.trim_matches(['[', ']'])));
    }
    is(written)
}

/// What a condition asks of the caller.
fn of_condition_from(
    condition: &Condition,
    trust_domains: &[Str],
    level: Level,
) -> Option<Asked<Principal>> {
    Some(match condition {
        Condition::SourceIp(values) => Ok(each(values, |range| {
            principal(By::DirectRemoteIp(cidr(range)))
        })),
        Condition::RemoteIp(values) => {
            Ok(each(values, |range| principal(By::RemoteIp(cidr(range)))))
        }
        Condition::SourceNamespace(values) => Ok(each(values, |name| of_namespace(name))),
        Condition::SourceServiceAccount(values) => Ok(each(values, of_account)),
        Condition::SourceTrustDomain(values) => Ok(of_trust_domains(values, trust_domains)),
        Condition::SourcePrincipal(values) => Ok(of_principals(values, trust_domains)),
        Condition::RequestPrincipal(values) => of_request_principals(values, level),
        Condition::Text(Attribute::Header(name), values) => http_only(values, level, || {
            each(values, |wanted| {
                principal(By::Header(text::header(name, wanted, false)))
            })
        }),
        Condition::Text(Attribute::Claim(path), values) => http_only(values, level, || {
            together(values, |list| {
                let list = list.iter().map(|wanted| text::value(text::text(wanted)));
                let one = text::any_of(list.collect());
                // The claim is a list with such an element, or such a text itself.
                let either = text::any_of(vec![text::list_with(one.clone()), one]);
                principal(By::Metadata(text::claim(path, either)))
            })
        }),
        _ => return None,
    })
}

fn cidr(range: &IpRange) -> pb::core::CidrRange {
    pb::core::CidrRange {
        address_prefix: range.address.to_string(),
        prefix_len: Some(pb::u32(range.prefix.into())),
    }
}

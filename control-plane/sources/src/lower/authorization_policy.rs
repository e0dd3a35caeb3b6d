//! security.istio.io AuthorizationPolicy.
//!
//! One that cannot be translated denies what it guards: left out, an ALLOW policy would open nothing, but the last one of
//! a workload everything, and a DENY policy what it was to deny.

use meltemi_api::authorization_policy as api;
use meltemi_model::security::{
    Attribute, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, IpRange,
    Operation, Source, TextMatch, Values,
};
use meltemi_model::{Object, Shared, Str};

use super::findings::Findings;
use super::meta::Raw;
use super::policy_target::{closed_target, target};

const DRY_RUN: &str = "istio.io/dry-run";

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: api::AuthorizationPolicy = findings.spec(raw)?;
    // One that denies and has no rules is refused by the webhook, but clear: it denies nothing.
    let is_empty = spec.action == api::Action::Deny && spec.rules.is_empty();
    if findings.is_refused() && !is_empty {
        findings.refuse();
        return None;
    }
    // A rule without a condition that somebody misspelt would be met by more than was meant.
    if let Some(path) = findings.unknown() {
        findings.error(
            path,
            "no such field; without it the policy may say something else than was meant",
        );
        return None;
    }
    let mut rules = Vec::with_capacity(spec.rules.len());
    for (i, rule) in spec.rules.iter().enumerate() {
        rules.push(lower_rule(rule, raw, &format!("spec.rules[{i}]"), findings));
    }
    Some(Object::AuthorizationPolicy(Shared::new(
        AuthorizationPolicy {
            target: target(
                spec.selector.as_ref(),
                spec.target_ref.as_ref(),
                &spec.target_refs,
                findings,
            ),
            action: match spec.action {
                api::Action::Allow => AuthorizationAction::Allow,
                api::Action::Deny => AuthorizationAction::Deny,
                api::Action::Audit => AuthorizationAction::Audit,
                api::Action::Custom => {
                    let name = spec
                        .provider
                        .as_ref()
                        .map(|provider| provider.name.as_str());
                    AuthorizationAction::Custom(name.unwrap_or_default().into())
                }
            },
            dry_run: is_dry_run(raw),
            rules,
            meta: raw.meta.clone(),
        },
    )))
}

/// What takes the place of a policy that cannot be translated. One that would only be watched is left out.
pub(super) fn closed(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec = raw.part("spec");
    if spec["action"] == "AUDIT" || is_dry_run(raw) {
        return None;
    }
    let target = closed_target(spec);
    let whose = if !target.selector.is_empty() {
        "the workloads that it selects"
    } else {
        "every workload that it may be for"
    };
    findings.warning(
        "spec",
        format!("until this is mended, the policy denies every request to {whose}"),
    );
    Some(Object::AuthorizationPolicy(Shared::new(
        AuthorizationPolicy {
            meta: raw.meta.clone(),
            target,
            action: AuthorizationAction::Deny,
            dry_run: false,
            rules: vec![AuthorizationRule::default()],
        },
    )))
}

fn is_dry_run(raw: &Raw<'_>) -> bool {
    let value = raw.meta.annotations.get(DRY_RUN);
    value.is_some_and(|value| matches!(&**value, "1" | "t" | "T" | "TRUE" | "true" | "True"))
}

fn lower_rule(
    rule: &api::Rule,
    raw: &Raw<'_>,
    path: &str,
    findings: &mut Findings,
) -> AuthorizationRule {
    let from = rule.from.iter().enumerate().map(|(i, from)| {
        let default = api::Source::default();
        let path = format!("{path}.from[{i}].source");
        lower_source(
            from.source.as_ref().unwrap_or(&default),
            raw,
            &path,
            findings,
        )
    });
    let from = from.collect();
    let to = rule.to.iter().enumerate().map(|(i, to)| {
        let default = api::Operation::default();
        let path = format!("{path}.to[{i}].operation");
        lower_operation(to.operation.as_ref().unwrap_or(&default), &path, findings)
    });
    let to = to.collect();
    let when = rule.when.iter().enumerate();
    let when = when
        .filter_map(|(i, condition)| {
            lower_condition(condition, raw, &format!("{path}.when[{i}]"), findings)
        })
        .collect();
    AuthorizationRule { from, to, when }
}

fn lower_source(
    source: &api::Source,
    raw: &Raw<'_>,
    path: &str,
    findings: &mut Findings,
) -> Source {
    let mut ranges = |field: &str, not: &str, any: &[String], none: &[String]| Values {
        any: ranges(any, &format!("{path}.{field}"), findings),
        none: ranges(none, &format!("{path}.{not}"), findings),
    };
    Source {
        principals: strings(&source.principals, &source.not_principals),
        request_principals: strings(&source.request_principals, &source.not_request_principals),
        namespaces: strings(&source.namespaces, &source.not_namespaces),
        service_accounts: accounts(&source.service_accounts, &source.not_service_accounts, raw),
        trust_domains: strings(&source.trust_domains, &source.not_trust_domains),
        ip_blocks: ranges(
            "ipBlocks",
            "notIpBlocks",
            &source.ip_blocks,
            &source.not_ip_blocks,
        ),
        remote_ip_blocks: ranges(
            "remoteIpBlocks",
            "notRemoteIpBlocks",
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
        ),
    }
}

fn lower_operation(operation: &api::Operation, path: &str, findings: &mut Findings) -> Operation {
    Operation {
        hosts: texts(&operation.hosts, &operation.not_hosts),
        methods: texts(&operation.methods, &operation.not_methods),
        paths: strings(&operation.paths, &operation.not_paths),
        ports: Values {
            any: ports(&operation.ports, &format!("{path}.ports"), findings),
            none: ports(&operation.not_ports, &format!("{path}.notPorts"), findings),
        },
    }
}

fn lower_condition(
    condition: &api::Condition,
    raw: &Raw<'_>,
    path: &str,
    findings: &mut Findings,
) -> Option<Condition> {
    let (any, none) = (&condition.values, &condition.not_values);
    let key = condition.key.as_str();
    let mut of_ranges = || Values {
        any: ranges(any, &format!("{path}.values"), findings),
        none: ranges(none, &format!("{path}.notValues"), findings),
    };
    Some(match key {
        "source.ip" => Condition::SourceIp(of_ranges()),
        "remote.ip" => Condition::RemoteIp(of_ranges()),
        "destination.ip" => Condition::DestinationIp(of_ranges()),
        "destination.port" => Condition::DestinationPort(Values {
            any: ports(any, &format!("{path}.values"), findings),
            none: ports(none, &format!("{path}.notValues"), findings),
        }),
        "source.namespace" => Condition::SourceNamespace(strings(any, none)),
        "source.serviceAccount" => Condition::SourceServiceAccount(accounts(any, none, raw)),
        "source.trustDomain" => Condition::SourceTrustDomain(strings(any, none)),
        "source.principal" => Condition::SourcePrincipal(strings(any, none)),
        "request.auth.principal" => Condition::RequestPrincipal(strings(any, none)),
        _ if key.starts_with("experimental.envoy.filters.") => {
            let Some((filter, key)) = metadata_key(key) else {
                let message =
                    format!("{key:?} is not of the form experimental.envoy.filters.NAME[KEY]");
                findings.error(format!("{path}.key"), message);
                return None;
            };
            Condition::Metadata {
                filter,
                key,
                values: strings(any, none),
            }
        }
        _ => match attribute(key) {
            Some(attribute) => Condition::Text(attribute, texts(any, none)),
            None => {
                let message = format!(
                    "{key:?} is not an attribute; write for instance source.ip, request.headers[NAME] or request.auth.claims[NAME]"
                );
                findings.error(format!("{path}.key"), message);
                return None;
            }
        },
    })
}

/// What is compared as text. Istio 1.31: `model.New`.
fn attribute(key: &str) -> Option<Attribute> {
    Some(match key {
        "connection.sni" => Attribute::ServerName,
        "request.auth.audiences" => Attribute::Claim(vec!["aud".into()]),
        "request.auth.presenter" => Attribute::Claim(vec!["azp".into()]),
        _ => {
            if let Some(name) = key.strip_prefix("request.headers") {
                Attribute::Header(bracketed(name)?.into())
            } else {
                Attribute::Claim(claim_path(key.strip_prefix("request.auth.claims")?)?)
            }
        }
    })
}

/// `experimental.envoy.filters.a.b[c]` as `envoy.filters.a.b` and `c`.
fn metadata_key(key: &str) -> Option<(Str, Str)> {
    let key = key.strip_prefix("experimental.")?;
    let (filter, key) = key.strip_suffix(']').unwrap_or(key).split_once('[')?;
    Some((filter.into(), key.into()))
}

fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// `[a][b]`. Brackets that are not so nested are part of one name, as in `[a[b]`.
fn claim_path(text: &str) -> Option<Vec<Str>> {
    let mut path = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let part = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        match part.filter(|(name, _)| !name.contains('[')) {
            Some((name, after)) => {
                path.push(name.into());
                rest = after;
            }
            None => return Some(vec![bracketed(text)?.into()]),
        }
    }
    (!path.is_empty()).then_some(path)
}

fn strings(any: &[String], none: &[String]) -> Values<Str> {
    let all = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
    Values {
        any: all(any),
        none: all(none),
    }
}

fn texts(any: &[String], none: &[String]) -> Values<TextMatch> {
    let all = |list: &[String]| list.iter().map(|text| TextMatch::parse(text)).collect();
    Values {
        any: all(any),
        none: all(none),
    }
}

/// `namespace/name`, or `name` of the policy's namespace.
fn accounts(any: &[String], none: &[String], raw: &Raw<'_>) -> Values<(Str, Str)> {
    let all = |list: &[String]| {
        let parts = list.iter().map(|text| {
            let (namespace, name) = text.split_once('/').unwrap_or((raw.namespace(), text));
            (namespace.into(), name.into())
        });
        parts.collect()
    };
    Values {
        any: all(any),
        none: all(none),
    }
}

fn ranges(list: &[String], path: &str, findings: &mut Findings) -> Vec<IpRange> {
    let parsed = list.iter().enumerate().filter_map(|(i, text)| {
        let range = IpRange::parse(text);
        if range.is_none() {
            let message = format!("{text:?} is not an address or a block such as 10.0.0.0/8");
            findings.error(format!("{path}[{i}]"), message);
        }
        range
    });
    parsed.collect()
}

fn ports(list: &[String], path: &str, findings: &mut Findings) -> Vec<u16> {
    let parsed = list.iter().enumerate().filter_map(|(i, text)| {
        let port = text.parse();
        if port.is_err() {
            let message = format!("{text:?} is not a port; write a number from 0 to 65535");
            findings.error(format!("{path}[{i}]"), message);
        }
        port.ok()
    });
    parsed.collect()
}

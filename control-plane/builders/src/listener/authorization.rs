//! AuthorizationPolicies as filters of Envoy: RBAC, and ext_authz where a provider decides. Istio 1.31:
//! `pilot/pkg/security/authz/builder`.
//!
//! The order of evaluation is that of the filters: CUSTOM, AUDIT, DENY, ALLOW. Policies of one action share a filter.
//!
//! Read first: this file (which filters), `rule.rs` (one rule as a policy of RBAC), `text.rs` (how text is compared).

mod provider;
mod rule;
#[cfg(test)]
mod tests;
mod text;
mod trust_domain;

use std::collections::{BTreeMap, HashMap};

use meltemi_model::security::{AuthorizationAction, AuthorizationPolicy};
use meltemi_model::{Shared, Str};

use super::{filters, pb};

use pb::rbac::{Policy, Rbac, rbac::Action};

pub use provider::Authorizer;

const HTTP_RBAC: &str = "envoy.filters.http.rbac";
const NETWORK_RBAC: &str = "envoy.filters.network.rbac";

/// Rules that only mark what ext_authz is asked about write their result under this name.
const EXT_AUTHZ_STATS: &str = "istio_ext_authz_";

/// The policies that guard a workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authorization {
    /// In order: those of the root namespace first, then by age.
    pub policies: Vec<Shared<AuthorizationPolicy>>,
    /// The trust domain of the mesh, then its aliases: identities of any of them are the same.
    pub trust_domains: Vec<Str>,
    /// The providers that CUSTOM policies name, as far as they can be used.
    pub providers: BTreeMap<Str, Authorizer>,
    /// PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: policies of one workload may name several providers.
    pub multiple_providers: bool,
}

/// Where rules are evaluated: what they may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Of requests.
    Http,
    /// Of connections: what only requests have is not known.
    Tcp,
}

/// Filters of an HTTP connection manager.
#[derive(Debug, Default)]
pub(super) struct HttpAuthorization {
    /// CUSTOM: before requests are authenticated.
    pub(super) custom: Vec<pb::hcm::HttpFilter>,
    /// AUDIT, DENY, ALLOW: after that.
    pub(super) rules: Vec<pb::hcm::HttpFilter>,
}

/// The filters of an HTTP connection manager.
pub(super) fn http(authorization: &Authorization) -> HttpAuthorization {
    let custom = custom(authorization, Level::Http).into_iter();
    let rules = rules(authorization, Level::Http).into_iter();
    HttpAuthorization {
        custom: custom
            .flat_map(|custom| match custom {
                Custom::Refuse(rules) => vec![http_rbac(Some(rules), None, "")],
                Custom::Ask {
                    rules,
                    dry_run,
                    name,
                    provider,
                } => vec![
                    http_rbac(dry_run, Some(rules), EXT_AUTHZ_STATS),
                    provider::http(provider, name),
                ],
            })
            .collect(),
        rules: rules
            .map(|(rules, shadow)| {
                let prefix = dry_run_stats(shadow.as_ref());
                http_rbac(rules, shadow, prefix)
            })
            .collect(),
    }
}

/// The network filters in front of a TCP proxy. Providers that speak HTTP only are not asked.
pub(super) fn tcp(authorization: &Authorization) -> Vec<pb::listener::Filter> {
    let mut list = Vec::new();
    for custom in custom(authorization, Level::Tcp) {
        match custom {
            Custom::Refuse(rules) => list.push(network_rbac(Some(rules), None, "")),
            Custom::Ask {
                rules,
                dry_run,
                name,
                provider,
            } => {
                if let Some(ask) = provider::network(provider, name) {
                    list.push(network_rbac(dry_run, Some(rules), EXT_AUTHZ_STATS));
                    list.push(ask);
                }
            }
        }
    }
    list.extend(
        rules(authorization, Level::Tcp)
            .into_iter()
            .map(|(rules, shadow)| {
                let prefix = dry_run_stats(shadow.as_ref());
                network_rbac(rules, shadow, prefix)
            }),
    );
    list
}

/// AUDIT, DENY and ALLOW, as far as there are policies: what is enforced, and what is only tried.
fn rules(authorization: &Authorization, level: Level) -> Vec<(Option<Rbac>, Option<Rbac>)> {
    let actions = [
        (AuthorizationAction::Audit, Action::Log),
        (AuthorizationAction::Deny, Action::Deny),
        (AuthorizationAction::Allow, Action::Allow),
    ];
    let of_action = actions.into_iter().filter_map(|(wanted, action)| {
        let policies = authorization.policies.iter();
        let policies: Vec<_> = policies.filter(|p| p.action == wanted).collect();
        if policies.is_empty() {
            return None;
        }
        let rbac = |dry_run: bool| {
            let list = policies.iter().filter(|p| p.dry_run == dry_run);
            let mut list = list.peekable();
            list.peek()?;
            let mut out = HashMap::new();
            for policy in list {
                add(&mut out, policy, "", action, authorization, level);
            }
            Some(rbac(action, out))
        };
        Some((rbac(false), rbac(true)))
    });
    of_action.collect()
}

/// What becomes of the policies of one provider.
enum Custom<'a> {
    /// It cannot be asked, so what they match is refused.
    Refuse(Rbac),
    /// It is asked about what they match.
    Ask {
        rules: Rbac,
        dry_run: Option<Rbac>,
        name: &'a str,
        provider: &'a Authorizer,
    },
}

/// The CUSTOM policies by provider, in the order of the providers' names.
fn custom(authorization: &Authorization, level: Level) -> Vec<Custom<'_>> {
    let mut of_provider: BTreeMap<&str, [HashMap<String, Policy>; 2]> = BTreeMap::new();
    for policy in &authorization.policies {
        let AuthorizationAction::Custom(provider) = &policy.action else {
            continue;
        };
        let [enforced, tried] = of_provider.entry(provider).or_default();
        let out = if policy.dry_run { tried } else { enforced };
        let prefix = match &**provider {
            "" => format!("{}-", provider::PREFIX),
            name => format!("{}-{name}-", provider::PREFIX),
        };
        // What a provider is asked about is matched as what is denied: if in doubt, it is asked.
        add(out, policy, &prefix, Action::Deny, authorization, level);
    }
    let several = of_provider.len() > 1 && !authorization.multiple_providers;
    let customs = of_provider.into_iter().map(|(name, [enforced, tried])| {
        match authorization.providers.get(name).filter(|_| !several) {
            Some(provider) => Custom::Ask {
                rules: rbac(Action::Deny, enforced),
                dry_run: (!tried.is_empty()).then(|| rbac(Action::Deny, tried)),
                name,
                provider,
            },
            None => {
                let marked = enforced.into_iter().map(|(name, policy)| {
                    (format!("{name}-deny-due-to-bad-CUSTOM-action"), policy)
                });
                Custom::Refuse(rbac(Action::Deny, marked.collect()))
            }
        }
    });
    customs.collect()
}

/// Adds the rules of a policy, each under the name that statistics and access logs show.
fn add(
    out: &mut HashMap<String, Policy>,
    policy: &AuthorizationPolicy,
    prefix: &str,
    action: Action,
    authorization: &Authorization,
    level: Level,
) {
    let key = &policy.meta.key;
    let name = |index: usize| {
        let (namespace, name) = (&key.namespace, &key.name);
        format!("{prefix}ns[{namespace}]-policy[{name}]-rule[{index}]")
    };
    if policy.rules.is_empty() {
        out.insert(name(0), rule::never());
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        if let Some(built) = rule::policy(rule, action, &authorization.trust_domains, level) {
            out.insert(name(index), built);
        }
    }
}

fn rbac(action: Action, policies: HashMap<String, Policy>) -> Rbac {
    Rbac {
        action: action.into(),
        policies,
        ..Default::default()
    }
}

/// Where the results of a dry run are counted. Istio 1.31 names the allowing one also where there is no dry run.
fn dry_run_stats(shadow: Option<&Rbac>) -> &'static str {
    match shadow.map(Rbac::action) {
        None | Some(Action::Allow) => "istio_dry_run_allow_",
        Some(Action::Deny) => "istio_dry_run_deny_",
        Some(Action::Log) => "",
    }
}

fn http_rbac(
    rules: Option<Rbac>,
    shadow_rules: Option<Rbac>,
    shadow_stats: &str,
) -> pb::hcm::HttpFilter {
    let config = pb::extensions::filters::http::rbac::v3::Rbac {
        rules,
        shadow_rules,
        shadow_rules_stat_prefix: shadow_stats.to_owned(),
        ..Default::default()
    };
    filters::http_filter(HTTP_RBAC, pb::any(&config))
}

fn network_rbac(
    rules: Option<Rbac>,
    shadow_rules: Option<Rbac>,
    shadow_stats: &str,
) -> pb::listener::Filter {
    let config = pb::extensions::filters::network::rbac::v3::Rbac {
        rules,
        shadow_rules,
        shadow_rules_stat_prefix: shadow_stats.to_owned(),
        stat_prefix: "tcp.".to_owned(),
        ..Default::default()
    };
    filters::network(NETWORK_RBAC, pb::any(&config))
}

//! AuthorizationPolicies. Istio 1.31: `ValidateAuthorizationPolicy`.

use meltemi_api::authorization_policy::{
    Action, AuthorizationPolicy, Condition, Operation, Rule, Source,
};

use crate::object::{Meta, elements};
use crate::rules::{access, selector};
use crate::{Check, Findings};

/// An AuthorizationPolicy.
pub fn validate(meta: &Meta<'_>, policy: &AuthorizationPolicy) -> Findings {
    let mut found = Findings::default();
    selector::attachment(
        &mut found,
        policy.selector.as_ref(),
        policy.target_ref.as_ref(),
        &policy.target_refs,
    );
    action(&mut found, policy);
    for (i, (at, rule)) in elements("spec.rules", &policy.rules).enumerate() {
        let tcp = rule_parts(&mut found, &at, i, rule);
        if policy.action == Action::Deny && !tcp {
            found.warning(
                at,
                "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP attributes in a DENY rule; it is recommended to explicitly specify the port",
            );
        }
    }
    for error in &mut found.errors {
        error.message = format!(
            "invalid policy {}.{}: {}",
            meta.name, meta.namespace, error.message
        );
    }
    found
}

/// What an action asks for.
fn action(found: &mut Findings, policy: &AuthorizationPolicy) {
    let meaningless = |action: &str| {
        format!(
            "{action} action without `rules` is meaningless as it will never be triggered, add an empty rule `{{}}` if you want it be triggered for every request"
        )
    };
    let provider = policy.provider.as_ref();
    if policy.action == Action::Custom {
        if policy.rules.is_empty() {
            found.error("spec.rules", meaningless("CUSTOM"));
        } else if provider.is_none_or(|provider| provider.name.is_empty()) {
            found.error("spec.provider.name", "`provider.name` must not be empty");
        }
        for (at, rule) in elements("spec.rules", &policy.rules) {
            custom(found, &at, rule);
        }
    } else if provider.is_some() {
        found.error(
            "spec.provider",
            format!(
                "`provider` must not be with non CUSTOM action, found {}",
                policy.action.as_str()
            ),
        );
    }
    if policy.action == Action::Deny && policy.rules.is_empty() {
        found.error("spec.rules", meaningless("DENY"));
    }
}

/// What the external authorizer is not asked about.
fn custom(found: &mut Findings, at: &str, rule: &Rule) {
    let unsupported = |name: &str| format!("{name} is currently not supported with CUSTOM action");
    for (at, from) in elements(&format!("{at}.from"), &rule.from) {
        let Some(source) = &from.source else { continue };
        for (values, name) in [
            (&source.namespaces, "From.Namespaces"),
            (&source.not_namespaces, "From.NotNamespaces"),
            (&source.service_accounts, "From.ServiceAccounts"),
            (&source.not_service_accounts, "From.NotServiceAccounts"),
            (&source.trust_domains, "From.TrustDomains"),
            (&source.not_trust_domains, "From.NotTrustDomains"),
            (&source.principals, "From.Principals"),
            (&source.not_principals, "From.NotPrincipals"),
            (&source.request_principals, "From.RequestPrincipals"),
            (&source.not_request_principals, "From.NotRequestPrincipals"),
        ] {
            if !values.is_empty() {
                found.error(format!("{at}.source"), unsupported(name));
            }
        }
    }
    for (at, condition) in elements(&format!("{at}.when"), &rule.when) {
        let key = &condition.key;
        let identity = matches!(
            key.as_str(),
            "source.namespace"
                | "source.serviceAccount"
                | "source.trustDomain"
                | "source.principal"
        );
        if identity || key.starts_with("request.auth.") {
            found.error(format!("{at}.key"), unsupported(key));
        }
    }
}

/// The parts of a rule. The answer says whether it can be applied to plain TCP without denying all of it.
fn rule_parts(found: &mut Findings, at: &str, index: usize, rule: &Rule) -> bool {
    let (mut sources, mut tcp_sources) = (false, false);
    for (at, from) in elements(&format!("{at}.from"), &rule.from) {
        match &from.source {
            None => found.error(
                at,
                format!("`from.source` must not be nil, found at rule {index}"),
            ),
            Some(part) => {
                sources = true;
                source(found, &format!("{at}.source"), index, part);
                tcp_sources |= is_for_tcp(part);
            }
        }
    }
    let (mut operations, mut tcp_operations) = (false, false);
    for (at, to) in elements(&format!("{at}.to"), &rule.to) {
        match &to.operation {
            None => found.error(
                at,
                format!("`to.operation` must not be nil, found at rule {index}"),
            ),
            Some(part) => {
                operations = true;
                operation(found, &format!("{at}.operation"), index, part);
                tcp_operations |= !part.ports.is_empty() || !part.not_ports.is_empty();
            }
        }
    }
    for (at, part) in elements(&format!("{at}.when"), &rule.when) {
        condition(found, &at, part);
    }
    let http_only = (sources && !operations && !tcp_sources) || (operations && !tcp_operations);
    !http_only
}

fn is_for_tcp(source: &Source) -> bool {
    let of_connections = [
        &source.principals,
        &source.not_principals,
        &source.ip_blocks,
        &source.not_ip_blocks,
        &source.namespaces,
        &source.not_namespaces,
        &source.remote_ip_blocks,
        &source.not_remote_ip_blocks,
        &source.service_accounts,
        &source.not_service_accounts,
    ];
    of_connections.into_iter().any(|values| !values.is_empty())
}

fn source(found: &mut Findings, at: &str, index: usize, source: &Source) {
    let any = |lists: &[&Vec<String>]| lists.iter().any(|list| !list.is_empty());
    let identities = any(&[
        &source.principals,
        &source.not_principals,
        &source.namespaces,
        &source.not_namespaces,
    ]);
    if identities && any(&[&source.service_accounts, &source.not_service_accounts]) {
        found.error(
            at,
            format!(
                "cannot set serviceAccounts with namespaces or principals, found at rule {index}"
            ),
        );
    }
    if *source == Source::default() {
        let message = format!("`from.source` must not be empty, found at rule {index}");
        found.error(at, message);
    }
    let blocks = [
        (&source.ip_blocks, "ipBlocks"),
        (&source.not_ip_blocks, "notIpBlocks"),
        (&source.remote_ip_blocks, "remoteIpBlocks"),
        (&source.not_remote_ip_blocks, "notRemoteIpBlocks"),
    ];
    for (values, field) in blocks {
        for message in access::ip_blocks(values) {
            found.error(format!("{at}.{field}"), message);
        }
    }
    type Rule = fn(&str, &[String]) -> Check;
    let lists: [(&Vec<String>, &str, &str, Rule); 14] = [
        (
            &source.principals,
            "principals",
            "Principals",
            access::not_empty,
        ),
        (
            &source.request_principals,
            "requestPrincipals",
            "RequestPrincipals",
            access::not_empty,
        ),
        (
            &source.namespaces,
            "namespaces",
            "Namespaces",
            access::not_empty,
        ),
        (
            &source.service_accounts,
            "serviceAccounts",
            "ServiceAccounts",
            access::service_accounts,
        ),
        (
            &source.trust_domains,
            "trustDomains",
            "TrustDomains",
            access::trust_domains,
        ),
        (&source.ip_blocks, "ipBlocks", "IpBlocks", access::not_empty),
        (
            &source.remote_ip_blocks,
            "remoteIpBlocks",
            "RemoteIpBlocks",
            access::not_empty,
        ),
        (
            &source.not_principals,
            "notPrincipals",
            "NotPrincipals",
            access::not_empty,
        ),
        (
            &source.not_request_principals,
            "notRequestPrincipals",
            "NotRequestPrincipals",
            access::not_empty,
        ),
        (
            &source.not_namespaces,
            "notNamespaces",
            "NotNamespaces",
            access::not_empty,
        ),
        (
            &source.not_service_accounts,
            "notServiceAccounts",
            "NotServiceAccounts",
            access::service_accounts,
        ),
        (
            &source.not_trust_domains,
            "notTrustDomains",
            "NotTrustDomains",
            access::trust_domains,
        ),
        (
            &source.not_ip_blocks,
            "notIpBlocks",
            "NotIpBlocks",
            access::not_empty,
        ),
        (
            &source.not_remote_ip_blocks,
            "notRemoteIpBlocks",
            "NotRemoteIpBlocks",
            access::not_empty,
        ),
    ];
    for (values, field, name, rule) in lists {
        found.check(format!("{at}.{field}"), rule(name, values));
    }
}

fn operation(found: &mut Findings, at: &str, index: usize, operation: &Operation) {
    if *operation == Operation::default() {
        let message = format!("`to.operation` must not be empty, found at rule {index}");
        found.error(at, message);
    }
    for (values, field) in [
        (&operation.ports, "ports"),
        (&operation.not_ports, "notPorts"),
    ] {
        for message in access::ports(values) {
            found.error(format!("{at}.{field}"), message);
        }
    }
    for (values, field, name) in [
        (&operation.ports, "ports", "Ports"),
        (&operation.methods, "methods", "Methods"),
        (&operation.paths, "paths", "Paths"),
        (&operation.hosts, "hosts", "Hosts"),
        (&operation.not_ports, "notPorts", "NotPorts"),
        (&operation.not_methods, "notMethods", "NotMethods"),
        (&operation.not_paths, "notPaths", "NotPaths"),
        (&operation.not_hosts, "notHosts", "NotHosts"),
    ] {
        found.check(format!("{at}.{field}"), access::not_empty(name, values));
    }
    for (values, field, name) in [
        (&operation.paths, "paths", "Paths"),
        (&operation.not_paths, "notPaths", "NotPaths"),
    ] {
        found.check(
            format!("{at}.{field}"),
            access::path_templates(name, values),
        );
    }
}

fn condition(found: &mut Findings, at: &str, condition: &Condition) {
    let key = &condition.key;
    if key.is_empty() {
        found.error(format!("{at}.key"), "`key` must not be empty");
        return;
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        found.error(
            at,
            format!("at least one of `values` or `notValues` must be set for key {key}"),
        );
        return;
    }
    for (values, field, name) in [
        (&condition.values, "values", "value"),
        (&condition.not_values, "notValues", "notValue"),
    ] {
        found.check(
            format!("{at}.{field}"),
            access::attribute(key, values)
                .map_err(|why| format!("invalid `{name}` for `key` {key}: {why}")),
        );
    }
}

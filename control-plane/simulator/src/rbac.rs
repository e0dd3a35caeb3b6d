//! RBAC: which policy of a set matches a connection or a request, and what follows from that.

// Envoy still takes the old forms of metadata and source matchers.
#![allow(deprecated)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::core::v3::{CidrRange, TypedExtensionConfig};
use meltemi_proto::envoy::config::rbac::v3::permission::Rule;
use meltemi_proto::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use meltemi_proto::envoy::config::rbac::v3::rbac::Action;
use meltemi_proto::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac};
use meltemi_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use meltemi_proto::envoy::r#type::matcher::v3::{PathMatcher, path_matcher};
use meltemi_proto::google::protobuf::Struct;
use prost::Message as _;

use crate::address::prefix_match;
use crate::http::Request;
use crate::matching;

const URI_TEMPLATE: &str = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
/// Nesting of permissions and principals that is followed; what is deeper matches nothing.
const DEEPEST: usize = 100;

/// What rules may ask about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The address of the connection's other end.
    pub(crate) direct: IpAddr,
    /// The address of the client, as far as proxies before this one are believed.
    pub(crate) remote: IpAddr,
    /// Where the client connected to.
    pub(crate) destination: (IpAddr, u16),
    /// The name in the client's certificate. None without TLS; empty for a client without a certificate.
    pub(crate) principal: Option<&'a str>,
    /// The server name of the handshake; empty for none.
    pub(crate) server_name: &'a str,
    /// None where only the connection is known.
    pub(crate) request: Option<&'a Request>,
    /// What filters before this one wrote.
    pub(crate) metadata: &'a BTreeMap<String, Struct>,
}

/// What a set of policies says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    /// Whether the request may go on.
    pub(crate) allowed: bool,
    /// The first policy that matches, in the order of names.
    pub(crate) policy: Option<&'a str>,
}

/// Evaluates a set of policies. Envoy: `RoleBasedAccessControlEngineImpl`.
pub(crate) fn evaluate<'a>(rules: &'a Rbac, facts: &Facts<'_>) -> Said<'a> {
    // Which of several is met first is decided by the names.
    let policies: BTreeMap<&String, &Policy> = rules.policies.iter().collect();
    let mut met = policies
        .into_iter()
        .filter(|(_, policy)| matches(policy, facts));
    let policy = met.next().map(|(name, _)| name.as_str());
    let allowed = match rules.action() {
        Action::Allow => policy.is_some(),
        Action::Deny => policy.is_none(),
        Action::Log => true,
    };
    Said { allowed, policy }
}

fn matches(policy: &Policy, facts: &Facts<'_>) -> bool {
    let mut permissions = policy.permissions.iter();
    let mut principals = policy.principals.iter();
    permissions.any(|p| permission(p, facts, 0)) && principals.any(|p| principal(p, facts, 0))
}

fn permission(permission_: &Permission, facts: &Facts<'_>, depth: usize) -> bool {
    let next = depth + 1;
    match &permission_.rule {
        _ if depth > DEEPEST => false,
        Some(Rule::AndRules(set)) => set.rules.iter().all(|p| permission(p, facts, next)),
        Some(Rule::OrRules(set)) => set.rules.iter().any(|p| permission(p, facts, next)),
        Some(Rule::NotRule(inner)) => depth < DEEPEST && !permission(inner, facts, next),
        Some(Rule::Any(any)) => *any,
        Some(Rule::Header(matcher)) => header(matcher, facts),
        Some(Rule::UrlPath(matcher)) => path(matcher, facts),
        Some(Rule::UriTemplate(config)) => template(config, facts),
        Some(Rule::DestinationIp(range)) => within(range, facts.destination.0),
        Some(Rule::DestinationPort(port)) => u32::from(facts.destination.1) == *port,
        Some(Rule::DestinationPortRange(range)) => {
            (range.start..range.end).contains(&i32::from(facts.destination.1))
        }
        Some(Rule::Metadata(matcher)) => matching::dynamic_metadata(matcher, facts.metadata),
        Some(Rule::RequestedServerName(matcher)) => matching::string(matcher, facts.server_name),
        // Extensions of Envoy that Istio does not use.
        Some(Rule::Matcher(_) | Rule::SourcedMetadata(_)) | None => false,
    }
}

fn principal(principal_: &Principal, facts: &Facts<'_>, depth: usize) -> bool {
    let next = depth + 1;
    match &principal_.identifier {
        _ if depth > DEEPEST => false,
        Some(Identifier::AndIds(set)) => set.ids.iter().all(|p| principal(p, facts, next)),
        Some(Identifier::OrIds(set)) => set.ids.iter().any(|p| principal(p, facts, next)),
        Some(Identifier::NotId(inner)) => depth < DEEPEST && !principal(inner, facts, next),
        Some(Identifier::Any(any)) => *any,
        Some(Identifier::Authenticated(wanted)) => authenticated(wanted, facts),
        Some(Identifier::SourceIp(range) | Identifier::DirectRemoteIp(range)) => {
            within(range, facts.direct)
        }
        Some(Identifier::RemoteIp(range)) => within(range, facts.remote),
        Some(Identifier::Header(matcher)) => header(matcher, facts),
        Some(Identifier::UrlPath(matcher)) => path(matcher, facts),
        Some(Identifier::Metadata(matcher)) => matching::dynamic_metadata(matcher, facts.metadata),
        // Extensions of Envoy that Istio uses in waypoints only.
        Some(_) | None => false,
    }
}

/// Envoy: without TLS nobody is authenticated; with it, everybody is who asks for no name.
fn authenticated(wanted: &Authenticated, facts: &Facts<'_>) -> bool {
    let Some(shown) = facts.principal else {
        return false;
    };
    let wanted = wanted.principal_name.as_ref();
    wanted.is_none_or(|wanted| matching::string(wanted, shown))
}

fn header(
    matcher: &meltemi_proto::envoy::config::route::v3::HeaderMatcher,
    facts: &Facts<'_>,
) -> bool {
    let value = facts.request.and_then(|r| r.header(&matcher.name));
    matching::header(matcher, value.as_deref())
}

/// A path without its query.
fn bare_path<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let path = facts.request?.path.as_str();
    path.split(['?', '#']).next()
}

fn path(matcher: &PathMatcher, facts: &Facts<'_>) -> bool {
    let Some(path_matcher::Rule::Path(wanted)) = &matcher.rule else {
        return false;
    };
    bare_path(facts).is_some_and(|path| matching::string(wanted, path))
}

fn template(config: &TypedExtensionConfig, facts: &Facts<'_>) -> bool {
    let Some(any) = config.typed_config.as_ref() else {
        return false;
    };
    if type_name(&any.type_url) != URI_TEMPLATE {
        return false;
    }
    let Ok(config) = UriTemplateMatchConfig::decode(any.value.as_slice()) else {
        return false;
    };
    let path = bare_path(facts);
    path.is_some_and(|path| matching::regex_matches(&template_regex(&config.path_template), path))
}

/// A path template as an expression. Envoy: `*` is one segment, `**` any number of them; both take only the characters that
/// a path may hold unescaped, but `=` and `*`.
fn template_regex(template: &str) -> String {
    const CHARACTERS: &str = r"a-zA-Z0-9\-._~%!$\&'()+,;:@";
    let mut out = String::new();
    let mut rest = template;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("**") {
            out += &format!("[{CHARACTERS}/]*");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            out += &format!("[{CHARACTERS}]+");
            rest = after;
        } else {
            let end = rest.find('*').unwrap_or(rest.len());
            let (literal, after) = rest.split_at(end);
            out += &regex::escape(literal);
            rest = after;
        }
    }
    out
}

fn within(range: &CidrRange, address: IpAddr) -> bool {
    prefix_match(range, address).is_some()
}

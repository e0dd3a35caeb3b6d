//! AuthorizationPolicies, lowered: values are read, so that what is left is a condition that Envoy can evaluate.

use std::net::IpAddr;

use super::PolicyTarget;
use crate::Str;
use crate::object::Meta;

/// An AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthorizationPolicy {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workloads that it guards.
    pub target: PolicyTarget,
    /// What becomes of requests that a rule matches.
    pub action: AuthorizationAction,
    /// `istio.io/dry-run`: evaluated and counted only.
    pub dry_run: bool,
    /// A request matches if it meets any of them; without rules none does.
    pub rules: Vec<AuthorizationRule>,
}

/// `action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AuthorizationAction {
    /// They are allowed; others are not, unless another such policy allows them.
    Allow,
    /// They are refused.
    Deny,
    /// They are marked for the access log.
    Audit,
    /// The extension provider of this name decides.
    Custom(Str),
}

/// An entry of `rules`: somebody of `from`, something of `to`, and all of `when`. Empty lists ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AuthorizationRule {
    /// Who.
    pub from: Vec<Source>,
    /// What.
    pub to: Vec<Operation>,
    /// In which circumstances.
    pub when: Vec<Condition>,
}

/// Any of these and none of those; two empty lists ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Values<T> {
    /// Any of these.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            none: Vec::new(),
        }
    }
}

impl<T> Values<T> {
    /// Whether they ask for nothing.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

/// `from[].source`; all of its fields must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// Identities, without `spiffe://`.
    pub principals: Values<Str>,
    /// `iss/sub` of the request's token.
    pub request_principals: Values<Str>,
    /// Namespaces of the caller, `*` for any text in them.
    pub namespaces: Values<Str>,
    /// `namespace/name` of the caller's account.
    pub service_accounts: Values<(Str, Str)>,
    /// Trust domains of the caller, with one `*` at most.
    pub trust_domains: Values<Str>,
    /// Addresses of the connection's other end.
    pub ip_blocks: Values<IpRange>,
    /// Addresses of the client as proxies before this one tell it.
    pub remote_ip_blocks: Values<IpRange>,
}

/// `to[].operation`; all of its fields must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Hosts, compared without regard to case.
    pub hosts: Values<TextMatch>,
    /// Methods.
    pub methods: Values<TextMatch>,
    /// Paths, or templates of them.
    pub paths: Values<Str>,
    /// Ports of the connection.
    pub ports: Values<u16>,
}

/// An entry of `when`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `source.ip`.
    SourceIp(Values<IpRange>),
    /// `remote.ip`.
    RemoteIp(Values<IpRange>),
    /// `source.namespace`.
    SourceNamespace(Values<Str>),
    /// `source.serviceAccount`, as (namespace, name).
    SourceServiceAccount(Values<(Str, Str)>),
    /// `source.trustDomain`.
    SourceTrustDomain(Values<Str>),
    /// `source.principal`.
    SourcePrincipal(Values<Str>),
    /// `request.auth.principal`.
    RequestPrincipal(Values<Str>),
    /// `destination.ip`.
    DestinationIp(Values<IpRange>),
    /// `destination.port`.
    DestinationPort(Values<u16>),
    /// `experimental.envoy.filters.NAME[key]`: dynamic metadata. A value in brackets is an element of a list.
    Metadata {
        /// The filter that wrote it.
        filter: Str,
        /// The key.
        key: Str,
        /// As written.
        values: Values<Str>,
    },
    /// One of the others, which compare text.
    Text(Attribute, Values<TextMatch>),
}

/// What is compared as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `request.headers[name]`.
    Header(Str),
    /// `request.auth.audiences`, `request.auth.presenter` and `request.auth.claims[a][b]`: the path to a claim of the
    /// request's token.
    Claim(Vec<Str>),
    /// `connection.sni`.
    ServerName,
}

/// A text, with a wildcard before or after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextMatch {
    /// `*`: any that is not empty.
    Any,
    /// The text itself.
    Exact(Str),
    /// `text*`.
    Prefix(Str),
    /// `*text`.
    Suffix(Str),
}

impl TextMatch {
    /// Reads it as policies spell it: a `*` at the beginning is looked at first.
    pub fn parse(text: &str) -> Self {
        match (text, text.strip_prefix('*'), text.strip_suffix('*')) {
            ("*", ..) => Self::Any,
            (_, Some(rest), _) => Self::Suffix(rest.into()),
            (_, None, Some(rest)) => Self::Prefix(rest.into()),
            (text, None, None) => Self::Exact(text.into()),
        }
    }
}

/// A CIDR block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpRange {
    /// Its address, as written: bits beyond the prefix may be set.
    pub address: IpAddr,
    /// How many bits count.
    pub prefix: u8,
}

impl IpRange {
    /// Reads an address or a block; a bare address is a block of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(text) => text.parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        Some(Self { address, prefix })
    }
}

//! RouteConfigurations (RDS): what a virtual host answers for, and what its routes do.
//!
//! The inputs hold choices that the plan has made (which VirtualService, which cluster, which hash policy); nothing is
//! looked up here. A RouteConfiguration is written from the canonical bytes of its virtual hosts, so that these can be
//! memoised one by one: repeated protobuf fields concatenate.
//!
//! Read first: this file, `route/rule.rs` (one route of a VirtualService), `route/default.rs` (routes nobody wrote).

use std::collections::BTreeSet;

use bytes::Bytes;
use meltemi_model::routing::{HttpMatch, HttpRoute, Retries, VirtualService};
use meltemi_model::traffic::HashKey;
use meltemi_model::{ObjectKey, ResourceType, Shared, Str};

use crate::{Built, Input};

mod action;
mod default;
mod encode;
mod headers;
mod matching;
mod policy;
mod retry;
mod rule;
#[cfg(test)]
mod tests;
mod wire;

pub use default::inbound_route_config;
pub use encode::encode_virtual_host;
pub use matching::is_catch_all;

use wire::rt;

/// The name of a default route. Istio 1.31: `DefaultRouteName`.
pub const DEFAULT_ROUTE: &str = "default";
/// The cluster that passes traffic to where the client sent it.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// The cluster that resolves unknown hosts by name.
pub const DYNAMIC_DNS_CLUSTER: &str = "AllowAnyDynamicDNSCluster";

/// A RouteConfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteInput {
    /// Its name, as listeners refer to it.
    pub name: Str,
    /// Its virtual hosts, in order.
    pub virtual_hosts: Vec<Shared<VirtualHostInput>>,
    /// Whether it has the limits that Istio gives to outbound and gateway routes: port-agnostic host matching and
    /// 1 MiB for direct responses. An answer for a listener that is going away has none.
    pub limits: bool,
}

/// A virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VirtualHostInput {
    /// `host:port`, or the name of a catch-all.
    pub name: Str,
    /// The authorities it answers for, no two of them equal within a RouteConfiguration.
    pub domains: Vec<Str>,
    /// Groups of routes: one per VirtualService. Catch-all routes are moved behind the routes of all groups.
    pub routes: Vec<Shared<Vec<RouteSpec>>>,
    /// `include_request_attempt_count`.
    pub attempt_count: bool,
    /// Redirect plain HTTP to HTTPS.
    pub require_tls: bool,
    /// The objects that decided it besides the VirtualServices of its routes, for `explain`.
    pub from: Vec<ObjectKey>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteSpec {
    /// To a service that no VirtualService is for.
    Default(DefaultRoute),
    /// One condition of one rule of a VirtualService.
    Rule(RuleRoute),
    /// To this cluster, without a decorator: `allow_any` or `allow_any_dynamic_dns`.
    AllowAny {
        /// The name of the route.
        name: Str,
        /// The cluster.
        cluster: Str,
    },
    /// 502 for unknown hosts: `block_all`.
    BlockAll,
}

/// The route of a service that no VirtualService is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DefaultRoute {
    /// The cluster.
    pub cluster: Str,
    /// The decorator's operation: `host:port/*`.
    pub operation: Str,
    /// The mesh's default retry policy.
    pub retries: Option<Retries>,
    /// The hash key of the service's DestinationRule.
    pub hash: Option<HashKey>,
}

/// One condition of one rule of a VirtualService, with its destinations resolved to clusters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleRoute {
    /// The VirtualService.
    pub virtual_service: Shared<VirtualService>,
    /// Index into its `http`.
    pub rule: usize,
    /// Index into the rule's `matches`; `None`: everything matches.
    pub condition: Option<usize>,
    /// The port that redirects and decorators mean by "the request's".
    pub port: u16,
    /// Whether the listener terminates TLS.
    pub tls: bool,
    /// The clusters of the rule's destinations, in the rule's order.
    pub destinations: Vec<ResolvedDestination>,
    /// The clusters of the rule's mirrors, in the rule's order.
    pub mirrors: Vec<Str>,
    /// The mesh's default retry policy, where the rule has none of its own; else `None`.
    pub default_retries: Option<Retries>,
}

/// A destination, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResolvedDestination {
    /// The cluster.
    pub cluster: Str,
    /// The hash key that the host's DestinationRule has for the subset and port.
    pub hash: Option<HashKey>,
}

impl RuleRoute {
    /// The rule, unless the index is out of range (the plan makes none such).
    fn rule(&self) -> Option<&HttpRoute> {
        self.virtual_service.http.get(self.rule)
    }

    /// The condition.
    fn matched(&self) -> Option<&HttpMatch> {
        self.rule()?.matches.get(self.condition?)
    }
}

impl RouteSpec {
    /// Whether every request takes it, so that no route after it can be reached. Istio 1.31: `IsCatchAllRoute`.
    pub fn is_catch_all(&self) -> bool {
        match self {
            RouteSpec::Rule(rule) => is_catch_all(rule.matched()),
            RouteSpec::Default(_) | RouteSpec::AllowAny { .. } | RouteSpec::BlockAll => true,
        }
    }
}

impl Input for RouteInput {
    const TYPE: ResourceType = ResourceType::Route;
    type Part = VirtualHostInput;
    type Shape = ();

    fn parts(&mut self) -> &mut [Shared<VirtualHostInput>] {
        &mut self.virtual_hosts
    }

    fn build(&self) -> Built {
        let hosts: Vec<&Bytes> = self
            .virtual_hosts
            .iter()
            .map(|host| host.encoded(encode_virtual_host))
            .collect();
        let mut from = BTreeSet::new();
        for host in &self.virtual_hosts {
            from.extend(host.from.iter().cloned());
            for spec in host.routes.iter().flat_map(|group| group.iter()) {
                if let RouteSpec::Rule(rule) = spec {
                    from.insert(rule.virtual_service.meta.key.clone());
                }
            }
        }
        Built {
            name: self.name.clone(),
            body: encode::route_configuration(self, hosts.iter().copied()),
            from: from.into_iter().collect(),
        }
    }
}

/// The message of a virtual host: the oracle of [`encode_virtual_host`].
fn virtual_host(input: &VirtualHostInput) -> rt::VirtualHost {
    rt::VirtualHost {
        name: input.name.to_string(),
        domains: input.domains.iter().map(ToString::to_string).collect(),
        routes: in_order(input).map(route).collect(),
        ..virtual_host_settings(input)
    }
}

/// The routes in the order in which Envoy tries them: it takes the first that matches, and VirtualServices of one host are
/// concatenated, so the catch-all of the first must not hide the second. Istio 1.31: `SortVHostRoutes`.
fn in_order(input: &VirtualHostInput) -> impl Iterator<Item = &RouteSpec> {
    let all = || input.routes.iter().flat_map(|group| group.iter());
    let specific = all().filter(|spec| !spec.is_catch_all());
    specific.chain(all().filter(|spec| spec.is_catch_all()))
}

/// The fields with numbers above that of `routes`.
fn virtual_host_settings(input: &VirtualHostInput) -> rt::VirtualHost {
    rt::VirtualHost {
        require_tls: if input.require_tls {
            rt::virtual_host::TlsRequirementType::All as i32
        } else {
            0
        },
        include_request_attempt_count: input.attempt_count,
        ..Default::default()
    }
}

fn route(spec: &RouteSpec) -> rt::Route {
    match spec {
        RouteSpec::Default(route) => default::service_route(route),
        RouteSpec::Rule(rule) => rule::route(rule),
        RouteSpec::AllowAny { name, cluster } => default::allow_any(name, cluster),
        RouteSpec::BlockAll => default::block_all(),
    }
}

//! EnvoyFilters, lowered: patches whose values were read as messages of Envoy's API already.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use regex::Regex;

use crate::object::Meta;
use crate::{Hostname, Labels, ObjectKey, Shared, Str};

/// An EnvoyFilter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvoyFilter {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// `workloadSelector`; empty: all workloads of the namespace, or of the mesh in the root namespace.
    pub selector: Labels,
    /// `targetRefs`: the Gateways (of the Gateway API) that it is for, by name; `None`: it has no `targetRefs`.
    pub gateways: Option<Vec<Str>>,
    /// Smaller ones are applied first.
    pub priority: i32,
    /// `envoyfilter.istio.io/referenced-services`: services whose clusters a gateway keeps although no route of it leads
    /// there, with their namespace where it is said.
    pub references: Vec<(Option<Str>, Hostname)>,
    /// The patches that can be applied, in order.
    pub patches: Vec<Shared<Patch>>,
}

impl EnvoyFilter {
    /// Whether it is for a workload with these labels; namespaces were compared before. Istio 1.31: `ShouldAttachPolicy`.
    pub fn selects(&self, labels: &Labels) -> bool {
        match (&self.gateways, labels.get(GATEWAY_NAME)) {
            (None, _) => labels.satisfies(&self.selector),
            (Some(names), Some(gateway)) => names.contains(gateway),
            (Some(_), None) => false,
        }
    }
}

/// The label by which a proxy tells the Gateway (of the Gateway API) that it belongs to.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Patch {
    /// The EnvoyFilter.
    pub from: ObjectKey,
    /// Its index in `configPatches`.
    pub index: usize,
    /// What it patches.
    pub apply_to: ApplyTo,
    /// What it does there.
    pub operation: Operation,
    /// On which side of a proxy.
    pub context: Context,
    /// What must hold for the proxy; `None`: nothing.
    pub proxy: Option<ProxyCondition>,
    /// What must hold for the object that is patched.
    pub condition: Condition,
    /// The canonical bytes of a message of the type that `apply_to` patches; absent for REMOVE.
    pub value: Option<Bytes>,
    /// The type of the filter that the value configures, without `type.googleapis.com/`; empty where it configures none.
    pub extension: Str,
}

/// `applyTo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ApplyTo {
    Listener,
    ListenerFilter,
    FilterChain,
    NetworkFilter,
    HttpFilter,
    RouteConfiguration,
    VirtualHost,
    HttpRoute,
    Cluster,
    ExtensionConfig,
}

impl ApplyTo {
    /// The type of the message that is patched.
    pub fn type_name(self) -> &'static str {
        match self {
            ApplyTo::Listener => "envoy.config.listener.v3.Listener",
            ApplyTo::ListenerFilter => "envoy.config.listener.v3.ListenerFilter",
            ApplyTo::FilterChain => "envoy.config.listener.v3.FilterChain",
            ApplyTo::NetworkFilter => "envoy.config.listener.v3.Filter",
            ApplyTo::HttpFilter => {
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
            }
            ApplyTo::RouteConfiguration => "envoy.config.route.v3.RouteConfiguration",
            ApplyTo::VirtualHost => "envoy.config.route.v3.VirtualHost",
            ApplyTo::HttpRoute => "envoy.config.route.v3.Route",
            ApplyTo::Cluster => "envoy.config.cluster.v3.Cluster",
            ApplyTo::ExtensionConfig => "envoy.config.core.v3.TypedExtensionConfig",
        }
    }

    /// As the metric `pilot_envoy_filter_status` calls it; `None`: it is not counted. Istio 1.31: `PatchType`.
    pub fn counted_as(self) -> Option<&'static str> {
        Some(match self {
            ApplyTo::Listener => "listener",
            ApplyTo::ListenerFilter => "listenerfilter",
            ApplyTo::FilterChain => "filterchain",
            ApplyTo::NetworkFilter => "networkfilter",
            ApplyTo::HttpFilter => "httpfilter",
            ApplyTo::RouteConfiguration | ApplyTo::HttpRoute => "route",
            ApplyTo::VirtualHost => "vhost",
            ApplyTo::Cluster => "cluster",
            ApplyTo::ExtensionConfig => return None,
        })
    }

    /// Whether it is a part of listeners.
    pub fn is_of_listener(self) -> bool {
        matches!(
            self,
            ApplyTo::Listener
                | ApplyTo::ListenerFilter
                | ApplyTo::FilterChain
                | ApplyTo::NetworkFilter
                | ApplyTo::HttpFilter
        )
    }

    /// Whether it is a part of route configurations.
    pub fn is_of_route(self) -> bool {
        matches!(
            self,
            ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute
        )
    }
}

/// `patch.operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    Merge,
    MergeAndReplaceList,
    Add,
    Remove,
    InsertFirst,
    InsertBefore,
    InsertAfter,
    Replace,
}

impl Operation {
    /// Whether the value is merged into what is there.
    pub fn is_merge(self) -> bool {
        matches!(self, Operation::Merge | Operation::MergeAndReplaceList)
    }
}

/// The side of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Context {
    Any,
    SidecarInbound,
    SidecarOutbound,
    Gateway,
    Waypoint,
}

impl Context {
    /// Whether a patch for this context is for that of a proxy.
    pub fn covers(self, proxy: Context) -> bool {
        self == Context::Any || self == proxy
    }
}

/// What must hold for the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyCondition {
    /// A pattern that ISTIO_VERSION must contain.
    pub version: Option<VersionPattern>,
    /// Metadata that must be equal, as text.
    pub metadata: BTreeMap<Str, Str>,
}

impl ProxyCondition {
    /// Whether it holds. `text` gives the proxy's metadata, where they are text. Istio 1.31: `proxyMatch`.
    pub fn holds<'a>(&self, text: impl Fn(&str) -> Option<&'a str>) -> bool {
        let version = || text("ISTIO_VERSION").unwrap_or_default();
        let versions = self.version.as_ref().is_none_or(|v| v.is_in(version()));
        versions
            && self
                .metadata
                .iter()
                .all(|(key, value)| text(key) == Some(&**value))
    }
}

/// A regular expression for versions, compiled once.
#[derive(Clone)]
pub struct VersionPattern {
    text: Str,
    /// `None`: matches nothing.
    regex: Option<Regex>,
}

impl VersionPattern {
    /// The longest pattern that is compiled; a longer one matches nothing. Istio 1.31: `maxProxyVersionLen`.
    pub const MAX_LEN: usize = 1024;

    /// Compiles a pattern; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = match text.len() {
            0..=Self::MAX_LEN => Some(Regex::new(text).map_err(|e| e.to_string())?),
            _ => None,
        };
        Ok(Self {
            text: text.into(),
            regex,
        })
    }

    /// Whether the pattern is found in a version; a proxy without one never matches.
    fn is_in(&self, version: &str) -> bool {
        let regex = self.regex.as_ref();
        !version.is_empty() && regex.is_some_and(|regex| regex.is_match(version))
    }
}

impl fmt::Debug for VersionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl PartialEq for VersionPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for VersionPattern {}

impl PartialOrd for VersionPattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VersionPattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for VersionPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// What must hold for the object that is patched. Empty texts and zeros match everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing.
    None,
    /// Of the listener.
    Listener(ListenerCondition),
    /// Of the route configuration.
    Route(RouteCondition),
    /// Of the cluster.
    Cluster(ClusterCondition),
}

impl Condition {
    /// The condition on listeners.
    pub fn listener(&self) -> Option<&ListenerCondition> {
        match self {
            Condition::Listener(condition) => Some(condition),
            _ => None,
        }
    }

    /// The condition on route configurations.
    pub fn route(&self) -> Option<&RouteCondition> {
        match self {
            Condition::Route(condition) => Some(condition),
            _ => None,
        }
    }

    /// The condition on clusters.
    pub fn cluster(&self) -> Option<&ClusterCondition> {
        match self {
            Condition::Cluster(condition) => Some(condition),
            _ => None,
        }
    }
}

/// `match.listener`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ListenerCondition {
    /// Its port.
    pub port: u32,
    /// Its name.
    pub name: Str,
    /// A listener filter, by name.
    pub listener_filter: Str,
    /// The filter chain.
    pub chain: Option<ChainCondition>,
}

/// `match.listener.filterChain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ChainCondition {
    /// Its name.
    pub name: Str,
    /// One of its server names.
    pub sni: Str,
    /// The transport protocol that it is for.
    pub transport_protocol: Str,
    /// Protocols that must all be among those that it is for.
    pub application_protocols: Vec<Str>,
    /// The destination port that it is for.
    pub destination_port: u32,
    /// A network filter, by name.
    pub filter: Option<Str>,
    /// An HTTP filter inside it, by name.
    pub sub_filter: Option<Str>,
}

/// `match.routeConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RouteCondition {
    /// The port of the listener, or of the gateway's server.
    pub port: u32,
    /// The name of the gateway's port.
    pub port_name: Str,
    /// The gateway, as `namespace/name`.
    pub gateway: Str,
    /// Its name.
    pub name: Str,
    /// The virtual host.
    pub virtual_host: Option<VirtualHostCondition>,
}

/// `match.routeConfiguration.vhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct VirtualHostCondition {
    /// Its name.
    pub name: Str,
    /// One of its domains.
    pub domain: Str,
    /// The route.
    pub route: Option<HttpRouteCondition>,
}

/// `match.routeConfiguration.vhost.route`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HttpRouteCondition {
    /// Its name.
    pub name: Str,
    /// What it does; `None`: anything.
    pub action: Option<RouteAction>,
}

/// `match.routeConfiguration.vhost.route.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum RouteAction {
    Route,
    Redirect,
    DirectResponse,
}

/// `match.cluster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClusterCondition {
    /// The service's port, or the workload's for inbound clusters.
    pub port: u32,
    /// The service's host name.
    pub service: Str,
    /// The subset.
    pub subset: Str,
    /// Its name; then nothing else counts.
    pub name: Str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::testing::{labels, meta};

    #[test]
    fn versions_and_metadata_decide_for_which_proxies_a_patch_is() {
        let condition = |version: &str, metadata: &[(&str, &str)]| ProxyCondition {
            version: (!version.is_empty()).then(|| VersionPattern::new(version).unwrap()),
            metadata: metadata
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        };
        let long = "1".repeat(VersionPattern::MAX_LEN + 1);
        for (condition, version, want) in [
            (condition("", &[]), "", true),
            (condition(r"^1\.31.*", &[]), "1.31.0", true),
            (condition(r"^1\.30.*", &[]), "1.31.0", false),
            (condition("31", &[]), "1.31.0", true),
            (condition(".*", &[]), "", false),
            (condition(&long, &[]), &long, false),
            (condition("", &[("A", "b")]), "1.31.0", true),
            (condition("", &[("A", "c")]), "1.31.0", false),
            (condition("", &[("B", "")]), "1.31.0", false),
        ] {
            let text = |key: &str| match key {
                "ISTIO_VERSION" => Some(version),
                "A" => Some("b"),
                _ => None,
            };
            assert_eq!(condition.holds(text), want, "{condition:?} {version}");
        }
        assert!(VersionPattern::new("(").is_err());
    }

    #[test]
    fn selectors_and_target_refs_choose_workloads() {
        let filter = |selector: &str, gateways: Option<&[&str]>| EnvoyFilter {
            meta: meta(Kind::EnvoyFilter, "ns", "f"),
            selector: labels(selector),
            gateways: gateways.map(|g| g.iter().map(|n| (*n).into()).collect()),
            priority: 0,
            references: Vec::new(),
            patches: Vec::new(),
        };
        let gateway = "app=x,gateway.networking.k8s.io/gateway-name=gw";
        for (selector, gateways, workload, want) in [
            ("", None, "app=x", true),
            ("app=x", None, "app=x", true),
            ("app=y", None, "app=x", false),
            ("app=x", None, gateway, true),
            ("", Some(["gw"].as_slice()), gateway, true),
            ("", Some(["other"].as_slice()), gateway, false),
            ("", Some(["gw"].as_slice()), "app=x", false),
        ] {
            let selects = filter(selector, gateways).selects(&labels(workload));
            assert_eq!(selects, want, "{selector} {gateways:?} {workload}");
        }
    }
}

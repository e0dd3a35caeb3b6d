//! EnvoyFilters. Istio 1.31: `ValidateEnvoyFilter`.

mod value;

use meltemi_api::envoy_filter::{
    ApplyTo, EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, EnvoyFilter, FilterMatch,
    PatchContext, PatchOperation,
};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::{regex, selector};

/// What is said of every EnvoyFilter.
pub const NOTICE: &str = "EnvoyFilter exposes internal implementation details that may change at any time. Prefer other APIs if possible, and exercise extreme caution, especially around upgrades.";

/// Longer expressions for versions of proxies are ignored.
const MAX_PROXY_VERSION: usize = 1024;

const HCM: &str = "envoy.filters.network.http_connection_manager";

/// An EnvoyFilter.
pub fn validate(_: &Meta<'_>, filter: &EnvoyFilter) -> Findings {
    let mut found = Findings::default();
    found.warning("", NOTICE);
    if !selector::workloads(
        &mut found,
        "Envoy filter",
        filter.workload_selector.as_ref(),
    ) {
        return found;
    }
    for (at, patch) in elements("spec.configPatches", &filter.config_patches) {
        config_patch(&mut found, &at, patch);
    }
    found
}

fn config_patch(found: &mut Findings, at: &str, config: &EnvoyConfigObjectPatch) {
    let matched = config.r#match.as_ref();
    // Nobody has rules for waypoints yet.
    if matched.is_some_and(|m| m.context == PatchContext::Waypoint) {
        return;
    }
    if config.apply_to == ApplyTo::Invalid {
        found.error(format!("{at}.applyTo"), "Envoy filter: missing applyTo");
        return;
    }
    let Some(patch) = &config.patch else {
        found.error(format!("{at}.patch"), "Envoy filter: missing patch");
        return;
    };
    if patch.operation == PatchOperation::Invalid {
        found.error(
            format!("{at}.patch.operation"),
            "Envoy filter: missing patch operation",
        );
        return;
    }
    if patch.operation != PatchOperation::Remove && patch.value.is_none() {
        found.error(
            format!("{at}.patch.value"),
            "Envoy filter: missing patch value for non-remove operation",
        );
        return;
    }
    if let Some(matched) = matched {
        let at = format!("{at}.match");
        let fits = proxy_version(found, &at, matched)
            && object_match(found, &at, config.apply_to, matched);
        if !fits {
            return;
        }
    }
    if let Some(value) = &patch.value {
        value::value(found, &format!("{at}.patch.value"), config.apply_to, value);
    }
}

/// Whether the expression for versions of proxies can be read.
fn proxy_version(found: &mut Findings, at: &str, matched: &EnvoyConfigObjectMatch) -> bool {
    let version = matched.proxy.as_ref().map(|proxy| &*proxy.proxy_version);
    let at = format!("{at}.proxy.proxyVersion");
    match version {
        Some(version) if version.len() > MAX_PROXY_VERSION => {
            found.warning(
                at,
                format!(
                    "Envoy filter: proxyVersion match exceeds {MAX_PROXY_VERSION} characters and will be ignored"
                ),
            );
            true
        }
        Some(version) => match regex::regex(version) {
            Ok(()) => true,
            Err(why) => {
                let message = format!("Envoy filter: invalid regex for proxy version, [{why}]");
                found.error(at, message);
                false
            }
        },
        None => true,
    }
}

/// What is matched must fit what is patched. False means that the value is not looked at.
fn object_match(
    found: &mut Findings,
    at: &str,
    apply_to: ApplyTo,
    matched: &EnvoyConfigObjectMatch,
) -> bool {
    let any = matched.listener.is_some()
        || matched.route_configuration.is_some()
        || matched.cluster.is_some()
        || matched.waypoint.is_some();
    match apply_to {
        ApplyTo::Listener | ApplyTo::FilterChain | ApplyTo::NetworkFilter | ApplyTo::HttpFilter => {
            let Some(listener) = &matched.listener else {
                if any {
                    found.error(
                        at,
                        "Envoy filter: applyTo for listener class objects cannot have non listener match",
                    );
                }
                return !any;
            };
            let chain = listener.filter_chain.as_ref();
            match chain.and_then(|chain| chain.filter.as_ref()) {
                Some(filter) => {
                    let at = format!("{at}.listener.filterChain.filter");
                    filter_match(found, &at, apply_to, filter)
                }
                None => true,
            }
        }
        ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => {
            if any && matched.route_configuration.is_none() {
                found.error(
                    at,
                    "Envoy filter: applyTo for http route class objects cannot have non route configuration match",
                );
            }
            true
        }
        ApplyTo::Cluster => {
            if any && matched.cluster.is_none() {
                found.error(
                    at,
                    "Envoy filter: applyTo for cluster class objects cannot have non cluster match",
                );
            }
            true
        }
        _ => true,
    }
}

fn filter_match(found: &mut Findings, at: &str, apply_to: ApplyTo, filter: &FilterMatch) -> bool {
    if matches!(apply_to, ApplyTo::Listener | ApplyTo::FilterChain) {
        found.warning(
            at,
            format!(
                "Envoy filter: filter match has no effect when used with {}",
                apply_to.as_str()
            ),
        );
    }
    let sub_filter = filter.sub_filter.as_ref();
    let sub = |field: &str| format!("{at}.subFilter{field}");
    let wrong = if filter.name.is_empty() {
        Some((
            format!("{at}.name"),
            "Envoy filter: filter match has no name to match on".to_owned(),
        ))
    } else {
        sub_filter.and_then(|sub_filter| {
            if apply_to != ApplyTo::HttpFilter {
                let message =
                    "Envoy filter: subfilter match can be used with applyTo HTTP_FILTER only";
                Some((sub(""), message.to_owned()))
            } else if !matches!(&*filter.name, HCM | "envoy.http_connection_manager") {
                let message =
                    format!("Envoy filter: subfilter match requires filter match with {HCM}");
                Some((format!("{at}.name"), message))
            } else if sub_filter.name.is_empty() {
                let message = "Envoy filter: subfilter match has no name to match on";
                Some((sub(".name"), message.to_owned()))
            } else {
                None
            }
        })
    };
    if let Some((at, message)) = wrong {
        found.error(at, message);
        return false;
    }
    let names = [Some(&filter.name), sub_filter.map(|sub| &sub.name)];
    for name in names.into_iter().flatten() {
        if let Some((_, new)) = DEPRECATED.iter().find(|(old, _)| old == name) {
            found.warning(
                at,
                format!("using deprecated filter name {name:?}; use {new:?} instead"),
            );
        }
    }
    true
}

/// Names of filters that Envoy has given up, and what they are called now. `envoy.ext_authz` was two filters; Istio
/// tells of either. Istio 1.31: `DeprecatedFilterNames`.
const DEPRECATED: [(&str, &str); 27] = [
    ("envoy.buffer", "envoy.filters.http.buffer"),
    ("envoy.cors", "envoy.filters.http.cors"),
    ("envoy.csrf", "envoy.filters.http.csrf"),
    ("envoy.http_dynamo_filter", "envoy.filters.http.dynamo"),
    ("envoy.ext_authz", "envoy.filters.http.ext_authz"),
    ("envoy.fault", "envoy.filters.http.fault"),
    (
        "envoy.grpc_http1_bridge",
        "envoy.filters.http.grpc_http1_bridge",
    ),
    (
        "envoy.grpc_json_transcoder",
        "envoy.filters.http.grpc_json_transcoder",
    ),
    ("envoy.grpc_web", "envoy.filters.http.grpc_web"),
    ("envoy.gzip", "envoy.filters.http.gzip"),
    ("envoy.health_check", "envoy.filters.http.health_check"),
    ("envoy.ip_tagging", "envoy.filters.http.ip_tagging"),
    ("envoy.lua", "envoy.filters.http.lua"),
    ("envoy.rate_limit", "envoy.filters.http.ratelimit"),
    ("envoy.router", "envoy.filters.http.router"),
    ("envoy.squash", "envoy.filters.http.squash"),
    (
        "envoy.listener.http_inspector",
        "envoy.filters.listener.http_inspector",
    ),
    (
        "envoy.listener.original_dst",
        "envoy.filters.listener.original_dst",
    ),
    (
        "envoy.listener.original_src",
        "envoy.filters.listener.original_src",
    ),
    (
        "envoy.listener.proxy_protocol",
        "envoy.filters.listener.proxy_protocol",
    ),
    (
        "envoy.listener.tls_inspector",
        "envoy.filters.listener.tls_inspector",
    ),
    (
        "envoy.client_ssl_auth",
        "envoy.filters.network.client_ssl_auth",
    ),
    (
        "envoy.http_connection_manager",
        "envoy.filters.network.http_connection_manager",
    ),
    ("envoy.mongo_proxy", "envoy.filters.network.mongo_proxy"),
    ("envoy.ratelimit", "envoy.filters.network.ratelimit"),
    ("envoy.redis_proxy", "envoy.filters.network.redis_proxy"),
    ("envoy.tcp_proxy", "envoy.filters.network.tcp_proxy"),
];

//! What a route of a VirtualService does: forward, redirect or respond.

use std::time::Duration;

use meltemi_model::routing::{
    DirectResponse, HttpDestination, HttpRoute, Redirect, RedirectPort, ResponseBody, Rewrite,
};

use super::headers::{Headers, headers};
use super::policy::{hash_policy, mirror_policy};
use super::rule::Semantics;
use super::wire::{core, duration, limit_grpc, matcher, number, regex, rt};
use super::{ResolvedDestination, RuleRoute, retry};

/// Forwards to the rule's destinations. Istio 1.31: `applyHTTPRouteDestination`. A single destination's header
/// operations join those of the route.
pub(super) fn forward(
    input: &RuleRoute,
    rule: &HttpRoute,
    destinations: &[HttpDestination],
    semantics: Semantics,
    matched: &rt::RouteMatch,
    route_headers: &mut Headers,
) -> rt::route::Action {
    let mut action = rt::RouteAction::default();
    let timeout = rule.timeout.unwrap_or(Duration::ZERO);
    action.timeout = Some(duration(timeout));
    limit_grpc(&mut action, timeout);
    if semantics == Semantics::Gateway {
        // The Gateway API asks for 500 where a backend does not exist.
        action.cluster_not_found_response_code =
            rt::route_action::ClusterNotFoundResponseCode::InternalServerError as i32;
    }
    let mut authority = route_headers.authority.take();
    if let Some(rewrite) = &rule.rewrite {
        rewrite_path(&mut action, rewrite, semantics, matched);
        if !rewrite.authority.is_empty() {
            authority = Some(rewrite.authority.to_string());
        }
    }
    action.request_mirror_policies = rule
        .copies()
        .iter()
        .zip(&input.mirrors)
        .filter_map(|(mirror, to)| mirror_policy(mirror, to))
        .collect();
    let retries = rule.retries.as_ref().or(input.default_retries.as_ref());
    let resolved: Vec<_> = destinations.iter().zip(&input.destinations).collect();
    if let [(destination, to)] = resolved[..] {
        let own = headers(&destination.headers);
        if authority.is_none() {
            authority.clone_from(&own.authority);
        }
        route_headers.extend(own);
        action.cluster_specifier = Some(rt::route_action::ClusterSpecifier::Cluster(
            to.cluster.to_string(),
        ));
        action.hash_policy = to.hash.as_ref().and_then(hash_policy).into_iter().collect();
        action.retry_policy = retry::policy(retries, to.hash.is_some());
    } else {
        let used: Vec<_> = resolved
            .into_iter()
            .filter(|(destination, _)| destination.weight > 0)
            .collect();
        if used.is_empty() {
            // Envoy refuses a weighted cluster without members, and with it the whole configuration.
            return status(500);
        }
        action.hash_policy = used
            .iter()
            .filter_map(|(_, to)| to.hash.as_ref().and_then(hash_policy))
            .collect();
        action.cluster_specifier = Some(rt::route_action::ClusterSpecifier::WeightedClusters(
            rt::WeightedCluster {
                clusters: used.into_iter().map(weighted).collect(),
                ..Default::default()
            },
        ));
        action.retry_policy = retry::policy(retries, false);
    }
    action.host_rewrite_specifier =
        authority.map(rt::route_action::HostRewriteSpecifier::HostRewriteLiteral);
    rt::route::Action::Route(action)
}

fn weighted(
    (destination, to): (&HttpDestination, &ResolvedDestination),
) -> rt::weighted_cluster::ClusterWeight {
    use rt::weighted_cluster::cluster_weight::HostRewriteSpecifier;
    let own = headers(&destination.headers);
    rt::weighted_cluster::ClusterWeight {
        name: to.cluster.to_string(),
        weight: Some(number(destination.weight)),
        request_headers_to_add: own.request_add,
        request_headers_to_remove: own.request_remove,
        response_headers_to_add: own.response_add,
        response_headers_to_remove: own.response_remove,
        host_rewrite_specifier: own.authority.map(HostRewriteSpecifier::HostRewriteLiteral),
        ..Default::default()
    }
}

fn rewrite_path(
    action: &mut rt::RouteAction,
    rewrite: &Rewrite,
    semantics: Semantics,
    matched: &rt::RouteMatch,
) {
    let by_regex = |pattern: &str, substitution: &str| matcher::RegexMatchAndSubstitute {
        pattern: Some(regex(pattern)),
        substitution: substitution.to_owned(),
    };
    if let Some((pattern, substitution)) = &rewrite.regex {
        action.regex_rewrite = Some(by_regex(pattern, substitution));
    } else if semantics == Semantics::Gateway && &*rewrite.uri == "/" {
        let prefix = match &matched.path_specifier {
            Some(rt::route_match::PathSpecifier::PathSeparatedPrefix(prefix)) => prefix.as_str(),
            _ => "",
        };
        // A rewrite to "/" removes the prefix, but at least one slash remains.
        action.regex_rewrite = Some(by_regex(&format!("^{}(/?)(.*)", quoted(prefix)), "/\\2"));
    } else {
        action.prefix_rewrite = rewrite.uri.to_string();
    }
}

/// Text as an RE2 expression that matches just it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Answers with a redirect. Istio 1.31: `ApplyRedirect`.
pub(super) fn redirect(to: &Redirect, request_port: u16, tls: bool) -> rt::route::Action {
    use rt::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
    let code = match to.code {
        0 | 301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        // Envoy knows no other; Istio sends a route without an action, which Envoy refuses.
        _ => return status(404),
    };
    let scheme = match &*to.scheme {
        "" if tls => "https",
        "" => "http",
        scheme => scheme,
    };
    let port = match to.port {
        Some(RedirectPort::Number(port)) => port,
        // Envoy cannot derive it, but the route belongs to a listener with a port.
        Some(RedirectPort::FromRequestPort) => request_port,
        Some(RedirectPort::FromProtocolDefault) | None => 0,
    };
    let implied = matches!((port, scheme), (80, "http") | (443, "https"));
    let path = if to.prefix.is_empty() {
        PathRewriteSpecifier::PathRedirect(to.uri.to_string())
    } else {
        PathRewriteSpecifier::PrefixRewrite(to.prefix.to_string())
    };
    rt::route::Action::Redirect(rt::RedirectAction {
        host_redirect: to.authority.to_string(),
        port_redirect: if implied { 0 } else { port.into() },
        response_code: code as i32,
        scheme_rewrite_specifier: (!to.scheme.is_empty())
            .then(|| SchemeRewriteSpecifier::SchemeRedirect(to.scheme.to_string())),
        path_rewrite_specifier: Some(path),
        ..Default::default()
    })
}

/// Answers with a fixed body. Istio 1.31: `ApplyDirectResponse`.
pub(super) fn respond(response: &DirectResponse) -> rt::route::Action {
    use core::data_source::Specifier;
    let body = response.body.as_ref().map(|body| core::DataSource {
        specifier: Some(match body {
            ResponseBody::Text(text) => Specifier::InlineString(text.to_string()),
            ResponseBody::Bytes(bytes) => Specifier::InlineBytes(bytes.clone()),
        }),
        ..Default::default()
    });
    rt::route::Action::DirectResponse(rt::DirectResponseAction {
        status: response.status,
        body,
        ..Default::default()
    })
}

/// Answers with a status and no body.
pub(super) fn status(status: u32) -> rt::route::Action {
    rt::route::Action::DirectResponse(rt::DirectResponseAction {
        status,
        ..Default::default()
    })
}

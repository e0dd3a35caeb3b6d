//! HTTP routes. Istio 1.31: `validateHTTPRoute`.

use meltemi_api::virtual_service::{
    HttpMatchRequest, HttpMirrorPolicy, HttpRoute, HttpRouteDestination,
};

use super::{cors, fault, headers, route as parts};
use crate::Findings;
use crate::object::{elements, entries};
use crate::rules::gateway_name::gateway_names;
use crate::rules::labels::labels;
use crate::rules::{duration, header, number, port, string_match};

/// One route; `delegate` if others hand requests to it, `converted` if it was made of a route of the Gateway API.
pub fn route(found: &mut Findings, at: &str, route: &HttpRoute, delegate: bool, converted: bool) {
    conflicts(found, at, route, delegate);
    for (at, condition) in elements(&format!("{at}.match"), &route.r#match) {
        compared(found, &at, condition);
    }
    for (at, condition) in elements(&format!("{at}.match"), &route.r#match) {
        origin(found, &at, condition);
    }
    if let Some(operations) = &route.headers {
        headers::headers(found, &format!("{at}.headers"), operations);
    }
    if let Some(policy) = &route.cors_policy {
        cors::cors_policy(found, &format!("{at}.corsPolicy"), policy);
    }
    if let Some(settings) = &route.fault {
        fault::fault(found, &format!("{at}.fault"), settings);
    }
    mirrors(found, at, route);
    if let Some(redirect) = &route.redirect {
        let check = parts::redirect(redirect, &route.r#match);
        found.check(format!("{at}.redirect"), check);
    }
    if let Some(response) = &route.direct_response {
        parts::direct_response(found, &format!("{at}.directResponse"), response);
    }
    if let Some(retries) = &route.retries {
        parts::retries(found, &format!("{at}.retries"), retries);
    }
    if let Some(rewrite) = &route.rewrite {
        found.check(format!("{at}.rewrite"), parts::rewrite(rewrite));
    }
    headers::authority(
        found,
        &format!("{at}.headers"),
        route.rewrite.as_ref(),
        route.headers.as_ref(),
    );
    destinations(found, &format!("{at}.route"), &route.route, converted);
    found.check(format!("{at}.timeout"), duration::optional(route.timeout));
}

/// What excludes each other. Istio 1.31: `validateHTTPRouteConflict`.
fn conflicts(found: &mut Findings, at: &str, route: &HttpRoute, delegate: bool) {
    if route.delegate.is_some() && !delegate {
        for (set, what) in [
            (route.redirect.is_some(), "redirect"),
            (!route.route.is_empty(), "route"),
        ] {
            if set {
                let name = &route.name;
                let message = format!("root HTTP route {name} must not specify {what}");
                found.error(format!("{at}.{what}"), message);
            }
        }
        return;
    }
    if route.delegate.is_some() {
        found.error(
            format!("{at}.delegate"),
            "delegate HTTP route cannot contain delegate",
        );
    }
    let (answers, what) = if route.redirect.is_some() {
        (true, "redirect")
    } else {
        (route.direct_response.is_some(), "direct_response")
    };
    if answers {
        let both = route.redirect.is_some() && route.direct_response.is_some();
        for (set, message) in [
            (
                !route.route.is_empty(),
                format!("HTTP route cannot contain both route and {what}"),
            ),
            (
                route.fault.is_some(),
                format!("HTTP route cannot contain both fault and {what}"),
            ),
            (
                route.rewrite.is_some(),
                format!("HTTP route rule cannot contain both rewrite and {what}"),
            ),
            (
                both,
                format!("HTTP route rule cannot contain both direct_response and {what}"),
            ),
        ] {
            if set {
                found.error(at, message);
            }
        }
    } else if route.route.is_empty() {
        found.error(at, "HTTP route, redirect or direct_response is required");
    }
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        found.error(at, "HTTP route cannot contain both mirror and mirrors");
    }
}

fn compared(found: &mut Findings, at: &str, condition: &HttpMatchRequest) {
    for (at, name, value) in entries(&format!("{at}.headers"), &condition.headers) {
        found.check(&at, header::match_name(name));
        found.check(at, string_match::string_match(value, "headers"));
    }
    let without = format!("{at}.withoutHeaders");
    for (at, name, value) in entries(&without, &condition.without_headers) {
        found.check(&at, header::match_name(name));
        // `*` is no expression: it says that the header is there.
        if value.regex.as_deref() != Some("*") {
            found.check(at, string_match::string_match(value, "withoutHeaders"));
        }
    }
    if let Some(uri) = &condition.uri {
        found.check(format!("{at}.uri"), string_match::regex_only(uri, "uri"));
    }
    for (field, value) in [
        ("scheme", &condition.scheme),
        ("method", &condition.method),
        ("authority", &condition.authority),
    ] {
        if let Some(value) = value {
            let check = string_match::string_match(value, field);
            found.check(format!("{at}.{field}"), check);
        }
    }
    for (at, _, value) in entries(&format!("{at}.queryParams"), &condition.query_params) {
        found.check(at, string_match::string_match(value, "queryParams"));
    }
}

fn origin(found: &mut Findings, at: &str, condition: &HttpMatchRequest) {
    found.check(format!("{at}.port"), port::optional(condition.port));
    labels(
        found,
        &format!("{at}.sourceLabels"),
        &condition.source_labels,
    );
    let mut names = Findings::default();
    gateway_names(
        &mut names,
        &format!("{at}.gateways"),
        &condition.gateways,
        false,
    );
    // Istio tells of old spellings on the VirtualService only.
    found.extend_errors(names);
    found.check(
        format!("{at}.sourceNamespace"),
        header::source_namespace(&condition.source_namespace),
    );
}

fn mirrors(found: &mut Findings, at: &str, route: &HttpRoute) {
    if let Some(percent) = route.mirror_percent {
        let at = format!("{at}.mirrorPercent");
        if percent > 100 {
            let message = format!("mirror_percent must have a max value of 100 (it has {percent})");
            found.error(&at, message);
        }
        found.warning(
            at,
            "using deprecated setting \"mirrorPercent\", use \"mirrorPercentage\" instead",
        );
    }
    if let Some(percentage) = &route.mirror_percentage {
        let check = number::mirror_percentage(percentage.value, "mirror_percentage");
        found.check(format!("{at}.mirrorPercentage"), check);
    }
    if let Some(to) = &route.mirror {
        parts::destination(found, &format!("{at}.mirror"), to);
    }
    for (at, mirror) in elements(&format!("{at}.mirrors"), &route.mirrors) {
        mirror_policy(found, &at, mirror);
    }
}

/// Istio 1.31: `validateHTTPMirrors`.
fn mirror_policy(found: &mut Findings, at: &str, mirror: &HttpMirrorPolicy) {
    let Some(to) = &mirror.destination else {
        found.error(
            format!("{at}.destination"),
            "destination is required for mirrors",
        );
        return;
    };
    parts::destination(found, &format!("{at}.destination"), to);
    if let Some(percentage) = &mirror.percentage {
        let check = number::mirror_percentage(percentage.value, "mirror percentage");
        found.check(format!("{at}.percentage"), check);
    }
}

/// Istio 1.31: `validateHTTPRouteDestinations`.
fn destinations(
    found: &mut Findings,
    at: &str,
    destinations: &[HttpRouteDestination],
    converted: bool,
) {
    for (at, entry) in elements(at, destinations) {
        if entry.destination.is_none() {
            found.error(format!("{at}.destination"), "destination is required");
        }
        if let Some(operations) = &entry.headers {
            headers::headers(found, &format!("{at}.headers"), operations);
        }
        if let (Some(to), false) = (&entry.destination, converted) {
            parts::destination(found, &format!("{at}.destination"), to);
        }
        weight(found, &at, entry.weight);
    }
    total(found, at, destinations.iter().map(|entry| entry.weight));
}

pub(super) fn weight(found: &mut Findings, at: &str, weight: i32) {
    if weight < 0 {
        found.error(format!("{at}.weight"), format!("weight {weight} < 0"));
    }
}

/// Several destinations share out the requests.
pub(super) fn total(found: &mut Findings, at: &str, weights: impl ExactSizeIterator<Item = i32>) {
    if weights.len() > 1 && weights.fold(0, i32::wrapping_add) == 0 {
        found.error(at, "total destination weight = 0");
    }
}

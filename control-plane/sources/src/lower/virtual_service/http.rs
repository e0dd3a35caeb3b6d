//! `http[]`.

use meltemi_api::virtual_service as api;
use meltemi_model::routing::{
    Delegate, DirectResponse, HttpAction, HttpDestination, HttpRoute, Mirror, Redirect,
    RedirectPort, ResponseBody, Rewrite, SingleMirror,
};

use crate::lower::checks;
use crate::lower::findings::Findings;

use super::{Scope, fault, headers, matches, retries};

/// The largest body that Istio 1.31 accepts (`validateHTTPDirectResponse`).
const MAX_BODY: usize = 1 << 20;

pub(super) fn lower(
    route: &api::HttpRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> HttpRoute {
    check_conflicts(route, path, scope, findings);
    if let Some(redirect) = &route.redirect {
        check_redirect(redirect, route, &format!("{path}.redirect"), findings);
    }
    let matches = route.r#match.iter().enumerate();
    HttpRoute {
        name: route.name.as_str().into(),
        matches: matches
            .map(|(i, m)| matches::lower(m, &format!("{path}.match[{i}]"), scope, findings))
            .collect(),
        action: action(route, path, scope, findings),
        timeout: findings.duration(format!("{path}.timeout"), route.timeout),
        retries: route
            .retries
            .as_ref()
            .map(|r| retries::lower(r, &format!("{path}.retries"), findings)),
        fault: route
            .fault
            .as_ref()
            .and_then(|f| fault::lower(f, &format!("{path}.fault"), findings)),
        mirror: mirror(route, path, scope, findings),
        mirrors: mirrors(route, path, scope, findings),
        cors: route
            .cors_policy
            .as_ref()
            .map(|c| headers::cors(c, &format!("{path}.corsPolicy"), findings)),
        headers: headers::lower(route.headers.as_ref(), &format!("{path}.headers"), findings),
        rewrite: route
            .rewrite
            .as_ref()
            .map(|r| rewrite(r, &format!("{path}.rewrite"), findings)),
        delegate: route
            .delegate
            .as_ref()
            .map(|d| delegate(d, &format!("{path}.delegate"), scope, findings)),
    }
}

/// Istio 1.31: the namespace of the root, unless another one is written.
fn delegate(
    api: &api::Delegate,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> Delegate {
    if api.name.is_empty() {
        findings.error(
            format!("{path}.name"),
            "the name is missing; write that of a VirtualService without hosts",
        );
    }
    let namespace = match api.namespace.as_str() {
        "" => scope.namespace,
        written => written,
    };
    Delegate {
        namespace: namespace.into(),
        name: api.name.as_str().into(),
    }
}

/// Istio 1.31: `validateHTTPRouteConflict`.
fn check_conflicts(route: &api::HttpRoute, path: &str, scope: &Scope<'_>, findings: &mut Findings) {
    if route.delegate.is_some() {
        check_delegate(route, path, scope, findings);
        return;
    }
    let actions = [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
    ];
    let given: Vec<&str> = actions
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| *name)
        .collect();
    match given.as_slice() {
        [] => findings.error(
            path,
            "the rule does nothing; write route, redirect or directResponse",
        ),
        [_] => {}
        many => findings.error(
            path,
            format!(
                "{} exclude each other; keep only one of them",
                many.join(" and ")
            ),
        ),
    }
    if route.redirect.is_some() || route.direct_response.is_some() {
        for (field, given) in [
            ("fault", route.fault.is_some()),
            ("rewrite", route.rewrite.is_some()),
        ] {
            if given {
                let message = format!(
                    "{field} and {} exclude each other; keep only one of them",
                    given_name(route)
                );
                findings.warning(format!("{path}.{field}"), message);
            }
        }
    }
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        findings.warning(
            format!("{path}.mirror"),
            "mirror and mirrors exclude each other; keep only one of them",
        );
    }
}

/// Delegates are one level deep, and say themselves where requests go. Istio 1.31: `validateHTTPRouteConflict`.
fn check_delegate(route: &api::HttpRoute, path: &str, scope: &Scope<'_>, findings: &mut Findings) {
    let at = format!("{path}.delegate");
    if scope.hosts.is_empty() {
        let message = "a VirtualService without hosts is a delegate itself and cannot have one; \
                       write route, redirect or directResponse";
        findings.error(at, message);
        return;
    }
    for (field, given) in [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
    ] {
        if given {
            let message = format!("{field} and delegate exclude each other; keep only one of them");
            findings.error(&at, message);
        }
    }
}

fn given_name(route: &api::HttpRoute) -> &'static str {
    if route.redirect.is_some() {
        "redirect"
    } else {
        "directResponse"
    }
}

fn action(
    route: &api::HttpRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> HttpAction {
    if let Some(api) = &route.redirect {
        return HttpAction::Redirect(redirect(api, &format!("{path}.redirect"), findings));
    }
    if let Some(response) = &route.direct_response {
        return HttpAction::Respond(respond(
            response,
            &format!("{path}.directResponse"),
            findings,
        ));
    }
    if route.route.is_empty() {
        return HttpAction::Nothing;
    }
    let weights = route.route.iter().map(|d| d.weight);
    check_weights(weights, &format!("{path}.route"), findings);
    let destinations = route.route.iter().enumerate();
    HttpAction::Forward(
        destinations
            .map(|(i, d)| destination(d, &format!("{path}.route[{i}]"), scope, findings))
            .collect(),
    )
}

fn destination(
    api: &api::HttpRouteDestination,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> HttpDestination {
    let at = format!("{path}.destination");
    HttpDestination {
        destination: findings.destination(
            &at,
            api.destination.as_ref(),
            scope.namespace,
            scope.domain,
        ),
        weight: u32::try_from(api.weight).unwrap_or(0),
        headers: headers::lower(api.headers.as_ref(), &format!("{path}.headers"), findings),
    }
}

/// Weights of several destinations. Envoy refuses a sum of 0 and one beyond 32 bits.
pub(super) fn check_weights(
    weights: impl Iterator<Item = i32>,
    path: &str,
    findings: &mut Findings,
) {
    let mut sum = 0_u64;
    let mut count = 0_usize;
    for (i, weight) in weights.enumerate() {
        match u64::try_from(weight) {
            Ok(weight) => sum += weight,
            Err(_) => {
                let message = format!("the weight {weight} is negative; write 0 or more");
                findings.error(format!("{path}[{i}].weight"), message);
            }
        }
        count += 1;
    }
    if count > 1 && sum == 0 {
        findings.error(
            path,
            "the weights of several destinations are all 0; write the share of each",
        );
    }
    if sum > u64::from(u32::MAX) {
        findings.error(
            path,
            "the weights are too large together; write shares such as 90 and 10",
        );
    }
}

/// The parts stay apart, since each of them comes from the root where a delegate does not say it.
fn mirror(
    route: &api::HttpRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> SingleMirror {
    let at = format!("{path}.mirror");
    let to = route.mirror.as_ref();
    SingleMirror {
        to: to.map(|to| findings.destination(&at, Some(to), scope.namespace, scope.domain)),
        percentage: route
            .mirror_percentage
            .as_ref()
            .map(|share| findings.percent(format!("{path}.mirrorPercentage.value"), share.value)),
        percent: route
            .mirror_percent
            .map(|share| findings.percent(format!("{path}.mirrorPercent"), f64::from(share))),
    }
}

fn mirrors(
    route: &api::HttpRoute,
    path: &str,
    scope: &Scope<'_>,
    findings: &mut Findings,
) -> Vec<Mirror> {
    let mut out = Vec::new();
    for (i, mirror) in route.mirrors.iter().enumerate() {
        let path = format!("{path}.mirrors[{i}]");
        let at = format!("{path}.destination");
        out.push(Mirror {
            destination: findings.destination(
                &at,
                mirror.destination.as_ref(),
                scope.namespace,
                scope.domain,
            ),
            share: mirror
                .percentage
                .as_ref()
                .map(|p| findings.percent(format!("{path}.percentage.value"), p.value)),
        });
    }
    out
}

fn check_redirect(
    redirect: &api::HttpRedirect,
    route: &api::HttpRoute,
    path: &str,
    findings: &mut Findings,
) {
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        findings.error(
            path,
            "uri and prefixRewrite exclude each other; keep only one of them",
        );
    }
    let says_something = !redirect.uri.is_empty()
        || !redirect.prefix_rewrite.is_empty()
        || !redirect.authority.is_empty()
        || !redirect.scheme.is_empty()
        || redirect.port.is_some()
        || redirect.derive_port.is_some();
    if !says_something {
        findings.warning(
            path,
            "the redirect goes nowhere; write uri, authority, scheme or port",
        );
    }
    let by_prefix =
        |m: &api::HttpMatchRequest| m.uri.as_ref().is_none_or(|uri| uri.prefix.is_some());
    if !redirect.prefix_rewrite.is_empty() && !route.r#match.iter().all(by_prefix) {
        let message = "prefixRewrite needs matches with uri: {prefix: …}";
        findings.warning(format!("{path}.prefixRewrite"), message);
    }
}

fn redirect(redirect: &api::HttpRedirect, path: &str, findings: &mut Findings) -> Redirect {
    // Envoy knows no other codes.
    if !matches!(redirect.redirect_code, 0 | 301 | 302 | 303 | 307 | 308) {
        let message = format!(
            "{} is not a redirect; write 301, 302, 303, 307 or 308",
            redirect.redirect_code
        );
        findings.error(format!("{path}.redirectCode"), message);
    }
    if !matches!(redirect.scheme.as_str(), "" | "http" | "https") {
        let message = format!("{:?} is not a scheme; write http or https", redirect.scheme);
        findings.warning(format!("{path}.scheme"), message);
    }
    let number = redirect
        .port
        .filter(|port| *port > 0)
        .map(|port| RedirectPort::Number(findings.port(format!("{path}.port"), port)));
    let derived = redirect.derive_port.map(|port| match port {
        api::RedirectPortSelection::FromProtocolDefault => RedirectPort::FromProtocolDefault,
        api::RedirectPortSelection::FromRequestPort => RedirectPort::FromRequestPort,
    });
    for (field, text) in [("uri", &redirect.uri), ("authority", &redirect.authority)] {
        findings.check(&format!("{path}.{field}"), plain(text));
    }
    Redirect {
        uri: redirect.uri.as_str().into(),
        prefix: redirect.prefix_rewrite.as_str().into(),
        authority: redirect.authority.as_str().into(),
        port: number.or(derived),
        scheme: redirect.scheme.as_str().into(),
        code: redirect.redirect_code,
    }
}

/// Text that becomes part of a header (Envoy: `HTTP_HEADER_VALUE`).
fn plain(text: &str) -> Result<(), String> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(format!("{text:?} holds a control character"));
    }
    Ok(())
}

fn respond(
    response: &api::HttpDirectResponse,
    path: &str,
    findings: &mut Findings,
) -> DirectResponse {
    if !(200..=599).contains(&response.status) {
        let message = format!(
            "{} is not an HTTP status; write one from 200 to 599",
            response.status
        );
        findings.error(format!("{path}.status"), message);
    }
    let body = response
        .body
        .as_ref()
        .and_then(|body| match (&body.string, &body.bytes) {
            (Some(text), _) => Some(ResponseBody::Text(text.as_str().into())),
            (None, Some(bytes)) => Some(ResponseBody::Bytes(bytes.0.clone())),
            (None, None) => None,
        });
    let size = match &body {
        Some(ResponseBody::Text(text)) => text.len(),
        Some(ResponseBody::Bytes(bytes)) => bytes.len(),
        None => 0,
    };
    if size > MAX_BODY {
        findings.error(
            format!("{path}.body"),
            format!("the body has {size} bytes; 1 MiB is the most"),
        );
    }
    DirectResponse {
        status: response.status,
        body,
    }
}

/// Istio 1.31: `validateHTTPRewrite`.
fn rewrite(rewrite: &api::HttpRewrite, path: &str, findings: &mut Findings) -> Rewrite {
    let regex = rewrite.uri_regex_rewrite.as_ref();
    if !rewrite.uri.is_empty() && regex.is_some() {
        findings.error(
            path,
            "uri and uriRegexRewrite exclude each other; keep only one of them",
        );
    }
    if rewrite.uri.is_empty() && regex.is_none() && rewrite.authority.is_empty() {
        findings.warning(
            path,
            "the rewrite says nothing; write uri, uriRegexRewrite or authority",
        );
    }
    if let Some(regex) = regex {
        let path = format!("{path}.uriRegexRewrite");
        findings.check(&format!("{path}.match"), checks::regex(&regex.r#match));
        if regex.rewrite.is_empty() {
            findings.error(format!("{path}.rewrite"), "the substitution is missing");
        }
    }
    for (field, text) in [("uri", &rewrite.uri), ("authority", &rewrite.authority)] {
        findings.check(&format!("{path}.{field}"), plain(text));
    }
    Rewrite {
        uri: rewrite.uri.as_str().into(),
        authority: rewrite.authority.as_str().into(),
        regex: regex.map(|r| (r.r#match.as_str().into(), r.rewrite.as_str().into())),
    }
}

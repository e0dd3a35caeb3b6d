//! Which route of a virtual host takes a request.

use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{Route, RouteMatch, VirtualHost};

use crate::call::Call;
use crate::config_of;
use crate::http::Request;
use crate::matching::{
    dynamic_metadata, header, query, regex_matches, shown_header, shown_metadata, shown_query,
    shown_string, string, taken,
};
use crate::outcome::{Miss, MissKind, Stage, Step};
use crate::path::split;
use crate::tls::Terminated;

/// Finds it: the first that matches. With it the number of bytes of the path that it matched.
pub(crate) fn choose<'a>(
    virtual_host: &'a VirtualHost,
    request: &Request,
    call: &Call,
    tls: Option<Terminated>,
) -> Result<(&'a Route, usize, Step), Miss> {
    if virtual_host.matcher.is_some() {
        return Err(Miss {
            at: Stage::Route,
            kind: MissKind::NotFollowed,
            why: format!(
                "{} chooses its routes with a matcher, which is not followed here",
                virtual_host.name
            ),
            candidates: Vec::new(),
            status: None,
        });
    }
    let mut misses = Vec::new();
    for route in &virtual_host.routes {
        let any = RouteMatch::default();
        let rule = route.r#match.as_ref().unwrap_or(&any);
        match fits(rule, request, call, tls) {
            Ok(matched) => return Ok((route, matched, step(route, rule, misses.len()))),
            Err(why) => misses.push(format!("{}: {why}", shown_name(route))),
        }
    }
    Err(Miss {
        at: Stage::Route,
        kind: MissKind::NoRoute,
        why: format!(
            "no route of virtual host {} takes {} {}",
            virtual_host.name, request.method, request.path
        ),
        candidates: misses,
        status: Some(404),
    })
}

fn shown_name(route: &Route) -> &str {
    if route.name.is_empty() {
        "(unnamed)"
    } else {
        &route.name
    }
}

fn step(route: &Route, rule: &RouteMatch, before: usize) -> Step {
    let mut why = shown_rule(rule).join(", ");
    if before > 0 {
        let routes = if before == 1 { "route" } else { "routes" };
        why += &format!("; {before} {routes} before it did not match");
    }
    Step {
        stage: Stage::Route,
        chosen: route.name.clone(),
        why,
        config: config_of(route.metadata.as_ref()),
    }
}

/// What a rule demands, for readers.
pub(crate) fn shown_rule(rule: &RouteMatch) -> Vec<String> {
    let mut parts = vec![shown_path(rule)];
    parts.extend(rule.headers.iter().map(shown_header));
    parts.extend(rule.query_parameters.iter().map(shown_query));
    parts.extend(rule.dynamic_metadata.iter().map(shown_metadata));
    if rule.grpc.is_some() {
        parts.push("gRPC".to_owned());
    }
    parts
}

fn shown_path(rule: &RouteMatch) -> String {
    match &rule.path_specifier {
        None => "any path".to_owned(),
        Some(PathSpecifier::Prefix(prefix)) => format!("path begins with {prefix}"),
        Some(PathSpecifier::Path(path)) => format!("path = {path}"),
        Some(PathSpecifier::SafeRegex(regex)) => format!("path matches {}", regex.regex),
        Some(PathSpecifier::ConnectMatcher(_)) => "method CONNECT".to_owned(),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => format!("path is {prefix} or below"),
        Some(PathSpecifier::PathMatchPolicy(policy)) => format!("path fulfils {}", policy.name),
    }
}

/// How many bytes of the path a rule matches, or what it misses.
fn fits(
    rule: &RouteMatch,
    request: &Request,
    call: &Call,
    tls: Option<Terminated>,
) -> Result<usize, String> {
    if !taken(rule.runtime_fraction.as_ref(), call.random) {
        return Err("the request's random number is beyond its fraction".to_owned());
    }
    let matched = path(rule, request).ok_or_else(|| format!("needs: {}", shown_path(rule)))?;
    let grpc = request.header("content-type").is_some_and(|value| {
        let rest = value.strip_prefix("application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+') || rest.starts_with(';'))
    });
    if rule.grpc.is_some() && !grpc {
        return Err("needs: gRPC".to_owned());
    }
    for matcher in &rule.headers {
        if !header(matcher, request.header(&matcher.name).as_deref()) {
            return Err(format!("needs: {}", shown_header(matcher)));
        }
    }
    for matcher in &rule.query_parameters {
        if !query(matcher, request.parameter(&matcher.name)) {
            return Err(format!("needs: {}", shown_query(matcher)));
        }
    }
    for matcher in &rule.cookies {
        let value = request.cookie(&matcher.name);
        let wanted = matcher.string_match.as_ref();
        let matched = match (&value, wanted) {
            (Some(value), Some(wanted)) => string(wanted, value),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if matched == matcher.invert_match {
            let condition = wanted.map_or_else(|| "is present".to_owned(), shown_string);
            return Err(format!("needs: cookie {} {condition}", matcher.name));
        }
    }
    if let Some(options) = &rule.tls_context {
        let certificate = tls.is_some_and(|tls| tls.certificate);
        let wanted = [&options.presented, &options.validated];
        if wanted
            .into_iter()
            .flatten()
            .any(|flag| flag.value != certificate)
        {
            return Err("needs: a client certificate, or none".to_owned());
        }
    }
    for matcher in &rule.dynamic_metadata {
        if !dynamic_metadata(matcher, &call.metadata) {
            return Err(format!("needs: {}", shown_metadata(matcher)));
        }
    }
    if !rule.filter_state.is_empty() {
        return Err("needs: filter state, which is not followed here".to_owned());
    }
    Ok(matched)
}

fn path(rule: &RouteMatch, request: &Request) -> Option<usize> {
    let only = split(&request.path).0;
    let exact_case = rule.case_sensitive.is_none_or(|flag| flag.value);
    let fold = |text: &str| match exact_case {
        true => text.to_owned(),
        false => text.to_ascii_lowercase(),
    };
    // Envoy: CONNECT is for the routes that ask for it.
    let connect = request.method == "CONNECT";
    match &rule.path_specifier {
        Some(PathSpecifier::ConnectMatcher(_)) => connect.then_some(0),
        _ if connect => None,
        // Envoy refuses a rule without a path.
        None => Some(0),
        Some(PathSpecifier::Prefix(prefix)) => fold(only)
            .starts_with(&fold(prefix))
            .then_some(prefix.len()),
        Some(PathSpecifier::Path(path)) => (fold(only) == fold(path)).then_some(path.len()),
        Some(PathSpecifier::SafeRegex(regex)) => {
            regex_matches(&regex.regex, only).then_some(only.len())
        }
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let folded = fold(only);
            let rest = folded.strip_prefix(&fold(prefix))?;
            (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
        }
        Some(PathSpecifier::PathMatchPolicy(_)) => None,
    }
}

//! Where a redirect sends the client.

use meltemi_proto::envoy::config::route::v3::RedirectAction;
use meltemi_proto::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};

use crate::host::split_port;
use crate::http::Request;
use crate::path::{replace_prefix, replace_regex, split};

/// Status and location of a redirect; `matched` bytes of the path were matched by the route.
pub(crate) fn redirect(
    action: &RedirectAction,
    request: &Request,
    matched: usize,
) -> (u16, String) {
    let scheme = match &action.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => "https",
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) if !scheme.is_empty() => scheme,
        _ => request.scheme,
    };
    let port = match action.port_redirect {
        0 => String::new(),
        port => format!(":{port}"),
    };
    let host = match action.host_redirect.as_str() {
        "" => kept_host(request, scheme, &port),
        host => host.to_owned(),
    };
    let path = path(action, request, matched);
    let status = match RedirectResponseCode::try_from(action.response_code) {
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        _ => 301,
    };
    (status, format!("{scheme}://{host}{port}{path}"))
}

/// The request's host. Envoy: its port goes when the redirect has one, and when it is the default of the scheme that changes.
fn kept_host(request: &Request, scheme: &str, port: &str) -> String {
    let (name, own) = split_port(&request.host);
    let default = matches!((request.scheme, own), ("https", ":443") | ("http", ":80"));
    if !port.is_empty() || (scheme != request.scheme && default) {
        name.to_owned()
    } else {
        request.host.clone()
    }
}

fn path(action: &RedirectAction, request: &Request, matched: usize) -> String {
    let (only, query) = split(&request.path);
    let query = if action.strip_query { "" } else { query };
    let kept = format!("{only}{query}");
    match &action.path_rewrite_specifier {
        // Envoy: a query of the redirect takes the place of the request's, and is never stripped.
        Some(PathRewriteSpecifier::PathRedirect(to)) if to.contains('?') => to.clone(),
        Some(PathRewriteSpecifier::PathRedirect(to)) if !to.is_empty() => format!("{to}{query}"),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) if !prefix.is_empty() => {
            replace_prefix(&kept, matched, prefix)
        }
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => replace_regex(&kept, rewrite),
        _ => kept,
    }
}

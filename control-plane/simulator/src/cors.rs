//! What the CORS filter answers to browsers that ask first, and adds to the answers of others.

use std::collections::HashMap;

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::route::v3::{Route, VirtualHost};
use meltemi_proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::google::protobuf::Any;
use prost::Message as _;

use crate::call::Call;
use crate::headers::{HeaderChange, HeaderChanges};
use crate::http::Request;
use crate::matching::{string, taken};

const FILTER: &str = "envoy.filters.http.cors";
const TYPE: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";

/// What the filter does with a request whose origin is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cors {
    /// It answers with 200 and these headers.
    Preflight(HeaderChanges),
    /// The answer gets these headers.
    Actual(HeaderChanges),
}

/// Envoy: the route's policy, else the virtual host's, if the chain has the filter.
pub(crate) fn of_request(
    manager: &HttpConnectionManager,
    virtual_host: &VirtualHost,
    route: &Route,
    request: &Request,
    call: &Call,
) -> Option<Cors> {
    let mut filters = manager.http_filters.iter();
    if !filters.any(|filter| filter.name == FILTER) {
        return None;
    }
    let levels = [
        &route.typed_per_filter_config,
        &virtual_host.typed_per_filter_config,
    ];
    let policy = levels.into_iter().find_map(decoded)?;
    // Envoy: a policy without a fraction is on.
    let enabled = policy.filter_enabled.as_ref();
    if enabled.is_some() && !taken(enabled, call.random) {
        return None;
    }
    let origin = request
        .header("origin")
        .filter(|origin| !origin.is_empty())?;
    let mut allowed = policy.allow_origin_string_match.iter();
    if !allowed.any(|matcher| string(matcher, &origin)) {
        return None;
    }
    let asks = request.header("access-control-request-method");
    let preflight = request.method == "OPTIONS" && asks.is_some_and(|asks| !asks.is_empty());
    let credentials = policy.allow_credentials.is_some_and(|flag| flag.value);
    let credentials = if credentials { "true" } else { "" };
    let mut headers = vec![("origin", origin.as_str()), ("credentials", credentials)];
    if preflight {
        headers.push(("methods", &policy.allow_methods));
        headers.push(("headers", &policy.allow_headers));
    }
    let headers = headers
        .into_iter()
        .map(|(name, value)| (format!("access-control-allow-{name}"), value));
    let mut headers: Vec<(String, &str)> = headers.collect();
    let (name, value) = if preflight {
        ("max-age", &policy.max_age)
    } else {
        ("expose-headers", &policy.expose_headers)
    };
    headers.push((format!("access-control-{name}"), value));
    let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
    let changes = headers.map(|(name, value)| HeaderChange::Set(name, value.to_owned()));
    let changes = HeaderChanges(changes.collect());
    Some(if preflight {
        Cors::Preflight(changes)
    } else {
        Cors::Actual(changes)
    })
}

fn decoded(configs: &HashMap<String, Any>) -> Option<CorsPolicy> {
    let any = configs.get(FILTER)?;
    (type_name(&any.type_url) == TYPE)
        .then(|| CorsPolicy::decode(any.value.as_slice()).ok())
        .flatten()
}

//! What the CORS filter answers to browsers that ask first, and adds to the answers of others.

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::route::v3::{Route, VirtualHost};
use meltemi_proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use prost::Message as _;

use crate::call::Call;
use crate::headers::{HeaderChange, HeaderChanges};
use crate::http::Request;
use crate::matching::{string, taken};

/// The filter's name in a chain.
pub(crate) const FILTER: &str = "envoy.filters.http.cors";
const TYPE: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";

/// What the filter does with a request that has an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cors {
    /// It answers with 200 and these headers instead of letting it pass.
    Preflight(HeaderChanges),
    /// The answer gets these headers.
    Actual(HeaderChanges),
}

/// Envoy: a preflight is an OPTIONS request with an origin and the method that is to follow. One of a foreign origin is
/// answered too, without the headers that allow anything, unless those are forwarded, which is the default.
pub(crate) fn of_request(
    virtual_host: &VirtualHost,
    route: &Route,
    request: &Request,
    call: &Call,
) -> Option<Cors> {
    let policies = policies(virtual_host, route);
    // Envoy: whether the filter is on is the first policy's to say; without a word it is.
    let enabled = policies.first()?.filter_enabled.as_ref();
    if !enabled.is_none_or(|enabled| taken(Some(enabled), call.random)) {
        return None;
    }
    let header = |name: &str| request.header(name).filter(|value| !value.is_empty());
    let origin = header("origin")?;
    let is_preflight =
        request.method == "OPTIONS" && header("access-control-request-method").is_some();
    // Every other field is that of the first policy that has it.
    let origins = policies
        .iter()
        .map(|policy| &policy.allow_origin_string_match);
    let origins = origins.into_iter().find(|origins| !origins.is_empty());
    let is_allowed = origins
        .into_iter()
        .flatten()
        .any(|matcher| string(matcher, "*") || string(matcher, &origin));
    if is_allowed {
        let changes = allowing(&policies, &origin, is_preflight);
        return Some(if is_preflight {
            Cors::Preflight(changes)
        } else {
            Cors::Actual(changes)
        });
    }
    let forwards = policies
        .iter()
        .find_map(|policy| policy.forward_not_matching_preflights);
    let forwards = forwards.is_none_or(|forwards| forwards.value);
    (is_preflight && !forwards).then(|| Cors::Preflight(HeaderChanges::default()))
}

/// The headers by which a browser knows what it may do.
fn allowing(policies: &[CorsPolicy], origin: &str, is_preflight: bool) -> HeaderChanges {
    let text = |field: fn(&CorsPolicy) -> &String| {
        let mut written = policies.iter().map(field);
        written.find(|text| !text.is_empty()).map(String::as_str)
    };
    let credentials = policies.iter().find_map(|policy| policy.allow_credentials);
    let credentials = credentials.is_some_and(|flag| flag.value);
    let mut headers = vec![
        ("allow-origin", Some(origin)),
        ("allow-credentials", credentials.then_some("true")),
    ];
    if is_preflight {
        headers.push(("allow-methods", text(|policy| &policy.allow_methods)));
        headers.push(("allow-headers", text(|policy| &policy.allow_headers)));
        headers.push(("max-age", text(|policy| &policy.max_age)));
    } else {
        headers.push(("expose-headers", text(|policy| &policy.expose_headers)));
    }
    let set = headers.into_iter().filter_map(|(name, value)| {
        let name = format!("access-control-{name}");
        Some(HeaderChange::Set(name, value?.to_owned()))
    });
    HeaderChanges(set.collect())
}

/// The policies of a route, then of its virtual host.
fn policies(virtual_host: &VirtualHost, route: &Route) -> Vec<CorsPolicy> {
    let levels = [
        &route.typed_per_filter_config,
        &virtual_host.typed_per_filter_config,
    ];
    let decoded = levels.into_iter().filter_map(|configs| {
        let any = configs.get(FILTER)?;
        (type_name(&any.type_url) == TYPE)
            .then(|| CorsPolicy::decode(any.value.as_slice()).ok())
            .flatten()
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use meltemi_proto::envoy::r#type::matcher::v3::StringMatcher;
    use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
    use meltemi_proto::google::protobuf::BoolValue;
    use meltemi_proto::{any, google};

    use super::*;
    use crate::http::{Arrival, arrive};

    fn policy(origins: &[&str], forwards: Option<bool>) -> CorsPolicy {
        let exact = |origin: &&str| StringMatcher {
            match_pattern: Some(MatchPattern::Exact((*origin).to_owned())),
            ..StringMatcher::default()
        };
        CorsPolicy {
            allow_origin_string_match: origins.iter().map(exact).collect(),
            forward_not_matching_preflights: forwards.map(|value| BoolValue { value }),
            ..CorsPolicy::default()
        }
    }

    fn configured(
        policy: Option<&CorsPolicy>,
    ) -> std::collections::HashMap<String, google::protobuf::Any> {
        let entry = |policy: &CorsPolicy| (FILTER.to_owned(), any::pack(policy));
        policy.into_iter().map(entry).collect()
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> (Request, Call) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let call = Call {
            protocol: crate::Protocol::Http1,
            method: method.to_owned(),
            path: "/".to_owned(),
            headers: headers.iter().map(owned).collect(),
            ..Call::to("10.0.0.1", 80)
        };
        match arrive(&Default::default(), &call, false) {
            Ok(Arrival::Request(request)) => (request, call),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn preflights_are_answered() {
        const ASKS: (&str, &str) = ("access-control-request-method", "PUT");
        const OURS: (&str, &str) = ("origin", "https://ours.test");
        let ours = ["https://ours.test"];
        for (what, route, host, method, headers, want) in [
            ("no policy", None, None, "OPTIONS", &[OURS, ASKS][..], false),
            (
                "the route's",
                Some(policy(&ours, None)),
                None,
                "OPTIONS",
                &[OURS, ASKS],
                true,
            ),
            (
                "the host's",
                None,
                Some(policy(&ours, None)),
                "OPTIONS",
                &[OURS, ASKS],
                true,
            ),
            (
                "anybody",
                Some(policy(&["*"], None)),
                None,
                "OPTIONS",
                &[OURS, ASKS],
                true,
            ),
            (
                "another method",
                Some(policy(&ours, None)),
                None,
                "GET",
                &[OURS, ASKS],
                false,
            ),
            (
                "no method to follow",
                Some(policy(&ours, None)),
                None,
                "OPTIONS",
                &[OURS],
                false,
            ),
            (
                "no origin",
                Some(policy(&ours, None)),
                None,
                "OPTIONS",
                &[ASKS],
                false,
            ),
            (
                "a foreign origin",
                Some(policy(&["https://x"], None)),
                None,
                "OPTIONS",
                &[OURS, ASKS],
                false,
            ),
            (
                "one that is forwarded",
                Some(policy(&["https://x"], Some(true))),
                None,
                "OPTIONS",
                &[OURS, ASKS],
                false,
            ),
            (
                "one that is not",
                Some(policy(&["https://x"], Some(false))),
                None,
                "OPTIONS",
                &[OURS, ASKS],
                true,
            ),
            (
                "the route's first",
                Some(policy(&["https://x"], None)),
                Some(policy(&ours, None)),
                "OPTIONS",
                &[OURS, ASKS],
                false,
            ),
            (
                "origins of the host",
                Some(policy(&[], None)),
                Some(policy(&ours, None)),
                "OPTIONS",
                &[OURS, ASKS],
                true,
            ),
        ] {
            let (request, call) = request(method, headers);
            let route = Route {
                typed_per_filter_config: configured(route.as_ref()),
                ..Route::default()
            };
            let host = VirtualHost {
                typed_per_filter_config: configured(host.as_ref()),
                ..VirtualHost::default()
            };
            let cors = of_request(&host, &route, &request, &call);
            let answered = matches!(cors, Some(Cors::Preflight(_)));
            assert_eq!(answered, want, "{what}");
        }
    }
}

//! One route of a VirtualService. Istio 1.31: `TranslateRoute`.

use meltemi_model::routing::{HttpAction, HttpRoute, VirtualService};
use meltemi_proto::any;
use meltemi_proto::google::protobuf::Any;

use super::RuleRoute;
use super::action::{forward, redirect, respond, status};
use super::headers::headers;
use super::matching::route_match;
use super::policy::{cors_policy, http_fault};
use super::wire::{config_metadata, rt};

const FAULT_FILTER: &str = "envoy.filters.http.fault";
const CORS_FILTER: &str = "envoy.filters.http.cors";
/// Says from which API a VirtualService was converted. Istio 1.31: `InternalRouteSemantics`.
const SEMANTICS: &str = "internal.istio.io/route-semantics";

/// Whose rules decide what a path prefix means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantics {
    /// A VirtualService: a prefix of characters.
    VirtualService,
    /// A Kubernetes Ingress: a prefix of path elements.
    Ingress,
    /// The Gateway API: the same, and more.
    Gateway,
}

impl Semantics {
    fn of(vs: &VirtualService) -> Self {
        match vs.meta.annotations.get(SEMANTICS).map(|value| &**value) {
            Some("ingress") => Semantics::Ingress,
            Some("gateway") => Semantics::Gateway,
            _ => Semantics::VirtualService,
        }
    }

    /// Whether `/a` must not match `/ab`.
    pub(super) fn path_elements(self) -> bool {
        self != Semantics::VirtualService
    }
}

/// The message of a route.
pub(super) fn route(input: &RuleRoute) -> rt::Route {
    let vs = &input.virtual_service;
    let Some(rule) = input.rule() else {
        return rt::Route::default();
    };
    let condition = input.matched();
    let semantics = Semantics::of(vs);
    let mut headers = headers(&rule.headers);
    let matched = route_match(condition, semantics);
    let action = match &rule.action {
        HttpAction::Redirect(to) => redirect(to, input.port, input.tls),
        HttpAction::Respond(response) => respond(response),
        HttpAction::Forward(destinations) => {
            forward(input, rule, destinations, semantics, &matched, &mut headers)
        }
        // Envoy refuses a route without an action, and with it the whole configuration.
        HttpAction::Nothing => status(404),
    };
    let operation = operation(&action, &matched, &vs.meta.key.name, input.port);
    rt::Route {
        name: name(rule, condition.map_or("", |c| c.name.as_str())),
        r#match: Some(matched),
        metadata: Some(config_metadata(format!(
            "/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}",
            vs.meta.key.namespace, vs.meta.key.name
        ))),
        decorator: Some(rt::Decorator {
            operation,
            ..Default::default()
        }),
        typed_per_filter_config: filters(rule).collect(),
        request_headers_to_add: headers.request_add,
        request_headers_to_remove: headers.request_remove,
        response_headers_to_add: headers.response_add,
        response_headers_to_remove: headers.response_remove,
        stat_prefix: condition.map(|c| c.stat_prefix.clone()).unwrap_or_default(),
        action: Some(action),
        ..Default::default()
    }
}

fn name(rule: &HttpRoute, condition: &str) -> String {
    if condition.is_empty() {
        rule.name.to_string()
    } else {
        format!("{}.{condition}", rule.name)
    }
}

/// Settings of HTTP filters for this route only, by filter.
fn filters(rule: &HttpRoute) -> impl Iterator<Item = (String, Any)> {
    let fault = rule
        .fault
        .as_ref()
        .and_then(http_fault)
        .map(|f| (FAULT_FILTER.to_owned(), any::pack(&f)));
    let cors = rule
        .cors
        .as_ref()
        .map(|c| (CORS_FILTER.to_owned(), any::pack(&cors_policy(c))));
    fault.into_iter().chain(cors)
}

/// What traces call the route: the host of its only destination, else the VirtualService; and the path.
/// Istio 1.31: `GetRouteOperation`.
fn operation(action: &rt::route::Action, matched: &rt::RouteMatch, vs: &str, port: u16) -> String {
    use rt::route_action::ClusterSpecifier;
    use rt::route_match::PathSpecifier;
    let path = match &matched.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(regex)) => regex.regex.clone(),
        _ => "/*".to_owned(),
    };
    let cluster = if let rt::route::Action::Route(rt::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        ..
    }) = action
    {
        cluster.as_str()
    } else {
        ""
    };
    match cluster.split('|').collect::<Vec<_>>()[..] {
        [_, port, _, host] => format!("{host}:{port}{path}"),
        _ => format!("{vs}:{port}{path}"),
    }
}

use std::time::Duration;

use meltemi_model::routing::{
    AbortStatus, CorsPolicy, Destination, DirectResponse, Fault, HeaderChange, HeaderOperations,
    HttpAction, HttpDestination, Mirror, PerMillion, Redirect, RedirectPort, ResponseBody, Rewrite,
    StringMatch,
};
use meltemi_model::{Hostname, Kind, testing};
use serde_json::{Value, json};

use super::*;

mod actions;
mod conditions;

fn virtual_service(http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        http,
        ..testing::virtual_service("default", "vs", "a.example.com")
    }
}

fn rule(action: HttpAction) -> HttpRoute {
    testing::http_route(action)
}

fn destination(host: &str) -> Destination {
    testing::destination(host, None)
}

fn to(host: &str, weight: u32) -> HttpDestination {
    HttpDestination {
        destination: destination(host),
        weight,
        headers: HeaderOperations::default(),
    }
}

fn forward(rule: impl FnOnce(&mut HttpRoute)) -> HttpRoute {
    let mut out = self::rule(HttpAction::Forward(vec![to("a", 0)]));
    rule(&mut out);
    out
}

fn resolved(host: &Hostname) -> ResolvedDestination {
    ResolvedDestination {
        cluster: format!("outbound|80||{host}").into(),
        hash: None,
    }
}

/// The route of the only rule, at port 80.
fn spec(http: HttpRoute) -> RuleRoute {
    let destinations = match &http.action {
        HttpAction::Forward(list) => list.iter().map(|d| resolved(&d.destination.host)).collect(),
        _ => Vec::new(),
    };
    RuleRoute {
        mirrors: http
            .copies()
            .iter()
            .map(|m| resolved(&m.destination.host).cluster)
            .collect(),
        condition: (!http.matches.is_empty()).then_some(0),
        virtual_service: Shared::new(virtual_service(vec![http])),
        rule: 0,
        port: 80,
        tls: false,
        destinations,
        default_retries: None,
    }
}

fn host(name: &str, routes: Vec<RouteSpec>) -> VirtualHostInput {
    VirtualHostInput {
        name: name.into(),
        domains: vec![name.into()],
        routes: vec![Shared::new(routes)],
        attempt_count: true,
        require_tls: false,
        from: Vec::new(),
    }
}

/// A message of `envoy.config.route.v3` as JSON.
fn render<M: meltemi_proto::Canonical>(kind: &str, message: &M) -> Value {
    let name = format!("envoy.config.route.v3.{kind}");
    meltemi_proto::pool::message_to_json(&name, &meltemi_proto::encode(message)).unwrap()
}

fn route_json(spec: RuleRoute) -> Value {
    render("Route", &route(&RouteSpec::Rule(spec)))
}

/// One part of the JSON of a route, without the retry policy and timeouts that all forwards have.
fn part(http: HttpRoute, name: &str) -> Value {
    let mut json = route_json(spec(http));
    if let Some(action) = json.get_mut("route").and_then(Value::as_object_mut) {
        action.retain(|key, _| {
            !["retry_policy", "timeout", "max_grpc_timeout", "cluster"].contains(&key.as_str())
        });
    }
    json.get(name).cloned().unwrap_or(Value::Null)
}

#[test]
fn a_service_without_a_virtual_service() {
    let input = DefaultRoute {
        cluster: "outbound|80||a".into(),
        operation: "a:80/*".into(),
        retries: None,
        hash: Some(HashKey::Header("x".into())),
    };
    let predicate = json!({
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        },
    });
    let want = json!({
        "name": "default",
        "match": {"prefix": "/"},
        "decorator": {"operation": "a:80/*"},
        "route": {
            "cluster": "outbound|80||a",
            "timeout": "0s",
            "max_grpc_timeout": "0s",
            "hash_policy": [{"header": {"header_name": "x"}}],
            "retry_policy": {
                "num_retries": 2,
                "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                "host_selection_retry_max_attempts": "5",
                "retry_host_predicate": [predicate],
            },
        },
    });
    assert_eq!(render("Route", &route(&RouteSpec::Default(input))), want);
}

#[test]
fn a_rule_names_its_virtual_service() {
    let mut http = forward(|r| r.name = "first".into());
    http.matches = vec![HttpMatch {
        name: "m".into(),
        stat_prefix: "s".into(),
        uri: Some(StringMatch::Exact("/p".into())),
        ..HttpMatch::default()
    }];
    let json = route_json(spec(http));
    let config = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/vs";
    assert_eq!(json["name"], "first.m");
    assert_eq!(json["stat_prefix"], "s");
    assert_eq!(
        json["metadata"],
        json!({"filter_metadata": {"istio": {"config": config}}})
    );
    assert_eq!(json["decorator"], json!({"operation": "a:80/p"}));
    assert_eq!(json["match"], json!({"case_sensitive": true, "path": "/p"}));
}

#[test]
fn catch_all_routes_are_last() {
    let catch_all = RouteSpec::Rule(spec(forward(|r| r.name = "all".into())));
    let narrow = RouteSpec::Rule(spec(forward(|r| {
        r.name = "narrow".into();
        r.matches = vec![HttpMatch {
            method: Some(StringMatch::Exact("GET".into())),
            ..HttpMatch::default()
        }];
    })));
    let host = host("h", vec![catch_all, narrow]);
    let names: Vec<String> = virtual_host(&host)
        .routes
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert_eq!(names, ["narrow", "all"]);
}

#[test]
fn fragments_equal_the_whole() {
    let rich = forward(|r| {
        r.fault = Some(Fault {
            delay: Some((PerMillion(1), Duration::from_secs(1))),
            abort: None,
        });
        r.cors = Some(CorsPolicy::default());
        r.matches = vec![HttpMatch {
            uri: Some(StringMatch::Regex("/a".into())),
            ..HttpMatch::default()
        }];
    });
    let input = RouteInput {
        name: "80".into(),
        virtual_hosts: vec![
            Shared::new(host("a:80", vec![RouteSpec::Rule(spec(rich))])),
            Shared::new(host("block_all", vec![RouteSpec::BlockAll])),
        ],
        limits: true,
    };
    let empty = RouteInput {
        name: "81".into(),
        virtual_hosts: Vec::new(),
        limits: false,
    };
    for input in [input, empty] {
        let built = input.build();
        assert_eq!(built.body, meltemi_proto::encode(&encode::message(&input)));
    }
}

#[test]
fn the_inputs_tell_where_a_resource_comes_from() {
    let mut service = host("a:80", vec![RouteSpec::Rule(spec(forward(|_| ())))]);
    let key = ObjectKey::new(Kind::Service, "default", "a");
    service.from = vec![key.clone()];
    let input = RouteInput {
        name: "80".into(),
        virtual_hosts: vec![Shared::new(service)],
        limits: true,
    };
    assert_eq!(
        input.build().from,
        [key, ObjectKey::new(Kind::VirtualService, "default", "vs")]
    );
}

#[test]
fn inbound_routes() {
    let config = inbound_route_config(
        "inbound|9080||",
        "a.default.svc.cluster.local",
        9080,
        false,
        "*",
    );
    let retries = json!({"num_retries": 2, "retry_on": "reset-before-request"});
    let want = json!({
        "name": "inbound|9080||",
        "validate_clusters": false,
        "virtual_hosts": [{
            "name": "inbound|http|9080",
            "domains": ["*"],
            "routes": [{
                "name": "default",
                "match": {"prefix": "/"},
                "decorator": {"operation": "a.default.svc.cluster.local:9080/*"},
                "route": {
                    "cluster": "inbound|9080||",
                    "timeout": "0s",
                    "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
                    "retry_policy": retries,
                },
            }],
        }],
    });
    assert_eq!(render("RouteConfiguration", &config), want);
    let grpc = inbound_route_config("inbound|9080||", "", 0, true, "*");
    assert_eq!(
        grpc.virtual_hosts[0].routes[0]
            .decorator
            .as_ref()
            .unwrap()
            .operation,
        ":0/*"
    );
    assert!(
        !render("RouteConfiguration", &grpc)
            .to_string()
            .contains("retry_policy")
    );
}

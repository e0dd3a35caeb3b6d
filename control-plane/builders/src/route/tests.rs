use std::time::Duration;

use meltemi_model::object::Meta;
use meltemi_model::routing::{
    AbortStatus, CorsPolicy, Destination, DirectResponse, Fault, HeaderChange, HeaderOperations,
    HttpAction, HttpDestination, Mirror, PerMillion, Redirect, RedirectPort, ResponseBody, Rewrite,
    StringMatch,
};
use meltemi_model::service::ExportTo;
use meltemi_model::{Hostname, Kind, Labels};
use serde_json::{Value, json};

use super::*;

fn meta(kind: Kind, name: &str) -> Meta {
    let key = ObjectKey::new(kind, "default", name);
    Meta {
        key,
        labels: Labels::default(),
        annotations: Labels::default(),
        created: 0,
    }
}

fn virtual_service(http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        meta: meta(Kind::VirtualService, "vs"),
        hosts: vec![Hostname::new("a.example.com")],
        gateways: vec!["mesh".into()],
        export_to: ExportTo::Default,
        http,
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

fn rule(action: HttpAction) -> HttpRoute {
    HttpRoute {
        name: "".into(),
        matches: Vec::new(),
        action,
        timeout: None,
        retries: None,
        fault: None,
        mirrors: Vec::new(),
        cors: None,
        headers: HeaderOperations::default(),
        rewrite: None,
    }
}

fn destination(host: &str) -> Destination {
    Destination {
        host: Hostname::new(host),
        subset: "".into(),
        port: None,
    }
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
            .mirrors
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
fn conditions() {
    let text = |s: &str| Some(StringMatch::Exact(s.into()));
    let regex = |s: &str| Some(StringMatch::Regex(s.into()));
    let with = |change: &dyn Fn(&mut HttpMatch)| {
        let mut out = HttpMatch::default();
        change(&mut out);
        out
    };
    let claim = |path: Value, extra: Value| {
        let value = json!({"or_match": {"value_matchers": [
            {"list_match": {"one_of": {"string_match": {"exact": "v"}}}}, {"string_match": {"exact": "v"}},
        ]}});
        let mut out =
            json!({"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value});
        out.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"prefix": "/", "dynamic_metadata": [out]})
    };
    for (condition, want) in [
        (with(&|_| ()), json!({"prefix": "/"})),
        (
            with(&|m| m.uri = Some(StringMatch::Prefix("/a".into()))),
            json!({"prefix": "/a"}),
        ),
        (
            with(&|m| m.uri = regex("/a.*")),
            json!({"safe_regex": {"regex": "/a.*"}}),
        ),
        (
            with(&|m| {
                m.headers = vec![
                    ("a".into(), None),
                    ("b".into(), regex("*")),
                    ("c".into(), text("v")),
                ]
            }),
            json!({"prefix": "/", "headers": [
                {"name": "a", "present_match": true}, {"name": "b", "present_match": true},
                {"name": "c", "string_match": {"exact": "v"}},
            ]}),
        ),
        (
            // Pseudo headers come after the sorted ones.
            with(&|m| {
                m.headers = vec![("z".into(), None)];
                m.without_headers = vec![("a".into(), None), ("b".into(), text("v"))];
                (m.method, m.authority, m.scheme) = (text("GET"), text("h"), text("https"));
            }),
            json!({"prefix": "/", "headers": [
                {"name": "a", "present_match": true, "invert_match": true},
                {"name": "b", "string_match": {"exact": "v"}, "invert_match": true,
                 "treat_missing_header_as_empty": true},
                {"name": "z", "present_match": true},
                {"name": ":method", "string_match": {"exact": "GET"}},
                {"name": ":authority", "string_match": {"exact": "h"}},
                {"name": ":scheme", "string_match": {"exact": "https"}},
            ]}),
        ),
        (
            with(&|m| m.query_params = vec![("p".into(), None), ("q".into(), text("v"))]),
            json!({"prefix": "/", "query_parameters": [
                {"name": "p", "present_match": true}, {"name": "q", "string_match": {"exact": "v"}},
            ]}),
        ),
        (
            with(&|m| m.headers = vec![("@request.auth.claims.a.b".into(), text("v"))]),
            claim(
                json!([{"key": "payload"}, {"key": "a"}, {"key": "b"}]),
                json!({}),
            ),
        ),
        (
            with(&|m| m.without_headers = vec![("@request.auth.claims[a.b][c]".into(), text("v"))]),
            claim(
                json!([{"key": "payload"}, {"key": "a.b"}, {"key": "c"}]),
                json!({"invert": true}),
            ),
        ),
    ] {
        let mut got = part(forward(|r| r.matches = vec![condition.clone()]), "match");
        assert_eq!(
            got.as_object_mut().unwrap().remove("case_sensitive"),
            Some(json!(true)),
            "{condition:?}"
        );
        assert_eq!(got, want, "{condition:?}");
    }
    let ignore = with(&|m| m.ignore_uri_case = true);
    assert_eq!(
        part(forward(|r| r.matches = vec![ignore]), "match")["case_sensitive"],
        json!(false)
    );
}

#[test]
fn forwards() {
    let weighted = |weights: &[u32]| {
        let list = weights
            .iter()
            .enumerate()
            .map(|(i, w)| to(&format!("h{i}"), *w))
            .collect();
        rule(HttpAction::Forward(list))
    };
    let rewrite = |uri: &str, authority: &str| {
        Some(Rewrite {
            uri: uri.into(),
            authority: authority.into(),
            regex: None,
        })
    };
    for (http, want) in [
        (forward(|_| ()), json!({})),
        (
            forward(|r| r.rewrite = rewrite("/x", "")),
            json!({"prefix_rewrite": "/x"}),
        ),
        (
            forward(|r| r.rewrite = rewrite("", "h")),
            json!({"host_rewrite_literal": "h"}),
        ),
        (
            forward(|r| {
                let regex = Some(("a(.)".into(), "\\1".into()));
                r.rewrite = Some(Rewrite {
                    uri: "".into(),
                    authority: "".into(),
                    regex,
                });
            }),
            json!({"regex_rewrite": {"pattern": {"regex": "a(.)"}, "substitution": "\\1"}}),
        ),
        (
            forward(|r| r.headers.request.set = vec![("host".into(), "h".into())]),
            json!({"host_rewrite_literal": "h"}),
        ),
        (
            weighted(&[1, 0, 3]),
            json!({"weighted_clusters": {"clusters": [
                {"name": "outbound|80||h0", "weight": 1}, {"name": "outbound|80||h2", "weight": 3},
            ]}}),
        ),
        (
            forward(|r| {
                let mirror = |share| Mirror {
                    destination: destination("m"),
                    share,
                };
                r.mirrors = vec![
                    mirror(None),
                    mirror(Some(PerMillion(0))),
                    mirror(Some(PerMillion(5000))),
                ];
            }),
            json!({"request_mirror_policies": [
                {"cluster": "outbound|80||m", "trace_sampled": false, "disable_shadow_host_suffix_append": true,
                 "runtime_fraction": {"default_value": {"numerator": 100}}},
                {"cluster": "outbound|80||m", "trace_sampled": false, "disable_shadow_host_suffix_append": true,
                 "runtime_fraction": {"default_value": {"numerator": 5000, "denominator": "MILLION"}}},
            ]}),
        ),
    ] {
        assert_eq!(part(http.clone(), "route"), want, "{http:?}");
    }
    let timed = route_json(spec(forward(|r| {
        r.timeout = Some(Duration::from_millis(1500))
    })));
    assert_eq!(timed["route"]["timeout"], "1.500s");
    assert_eq!(timed["route"]["max_grpc_timeout"], "1.500s");
}

#[test]
fn envoy_never_gets_a_route_that_it_refuses() {
    let zeros = rule(HttpAction::Forward(vec![to("a", 0), to("b", 0)]));
    assert_eq!(part(zeros, "direct_response"), json!({"status": 500}));
    assert_eq!(
        part(rule(HttpAction::Nothing), "direct_response"),
        json!({"status": 404})
    );
}

#[test]
fn redirects_and_responses() {
    let redirect = |change: &dyn Fn(&mut Redirect)| {
        let empty = || Str::from("");
        let (uri, prefix, authority, scheme) = (empty(), empty(), empty(), empty());
        let mut out = Redirect {
            uri,
            prefix,
            authority,
            port: None,
            scheme,
            code: 0,
        };
        change(&mut out);
        part(rule(HttpAction::Redirect(out)), "redirect")
    };
    let port = |n| Some(RedirectPort::Number(n));
    for (got, want) in [
        (
            redirect(&|r| r.uri = "/n".into()),
            json!({"path_redirect": "/n"}),
        ),
        (
            redirect(&|r| r.prefix = "/n".into()),
            json!({"prefix_rewrite": "/n"}),
        ),
        (
            redirect(&|r| r.authority = "h".into()),
            json!({"host_redirect": "h", "path_redirect": ""}),
        ),
        (
            redirect(&|r| (r.scheme, r.port) = ("https".into(), port(443))),
            json!({"scheme_redirect": "https", "path_redirect": ""}),
        ),
        (
            redirect(&|r| r.port = port(8443)),
            json!({"port_redirect": 8443, "path_redirect": ""}),
        ),
        (
            redirect(&|r| r.port = port(443)),
            json!({"port_redirect": 443, "path_redirect": ""}),
        ),
        (
            redirect(&|r| r.port = Some(RedirectPort::FromRequestPort)),
            json!({"path_redirect": ""}),
        ),
        (
            redirect(&|r| r.code = 308),
            json!({"path_redirect": "", "response_code": "PERMANENT_REDIRECT"}),
        ),
        (redirect(&|r| r.code = 300), Value::Null),
    ] {
        assert_eq!(got, want);
    }
    let body = Some(ResponseBody::Text("t".into()));
    let respond = rule(HttpAction::Respond(DirectResponse { status: 418, body }));
    assert_eq!(
        part(respond.clone(), "direct_response"),
        json!({"status": 418, "body": {"inline_string": "t"}})
    );
    // Only a route with one destination is called after it.
    assert_eq!(part(respond, "decorator"), json!({"operation": "vs:80/*"}));
}

#[test]
fn header_operations() {
    let change = HeaderChange {
        set: vec![(":path".into(), "x".into()), ("s".into(), "1".into())],
        add: vec![("a".into(), "2".into())],
        remove: vec!["host".into(), "r".into()],
    };
    let operations = HeaderOperations {
        request: change.clone(),
        response: change,
    };
    let added = json!([
        {"header": {"key": "s", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        {"header": {"key": "a", "value": "2"}},
    ]);
    let single = route_json(spec(forward(|r| {
        let mut destination = to("a", 0);
        destination.headers = operations.clone();
        r.action = HttpAction::Forward(vec![destination]);
    })));
    let mut two = spec(rule(HttpAction::Forward(vec![to("a", 1), to("b", 1)])));
    let mut http = two.virtual_service.http[0].clone();
    let HttpAction::Forward(list) = &mut http.action else {
        unreachable!()
    };
    list[0].headers = operations;
    two.virtual_service = Shared::new(virtual_service(vec![http]));
    let weighted = route_json(two)["route"]["weighted_clusters"]["clusters"][0].clone();
    for json in [single, weighted] {
        assert_eq!(json["request_headers_to_add"], added);
        assert_eq!(json["response_headers_to_add"], added);
        assert_eq!(json["request_headers_to_remove"], json!(["r"]));
        assert_eq!(json["response_headers_to_remove"], json!(["r"]));
    }
}

#[test]
fn faults_and_cors() {
    let fault = |delay, abort| {
        part(
            forward(|r| r.fault = Some(Fault { delay, abort })),
            "typed_per_filter_config",
        )
    };
    let delay = Some((PerMillion(1_000_000), Duration::from_secs(7)));
    assert_eq!(
        fault(delay, Some((PerMillion(0), AbortStatus::Grpc(14)))),
        json!({"envoy.filters.http.fault": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": "7s", "percentage": {"numerator": 1_000_000, "denominator": "MILLION"}},
            "abort": {"grpc_status": 14},
        }})
    );
    assert_eq!(fault(None, None), Value::Null);
    let cors = CorsPolicy {
        allow_origins: vec![StringMatch::Exact("o".into())],
        allow_methods: vec!["GET".into(), "PUT".into()],
        max_age: Some(Duration::from_secs(60)),
        allow_credentials: Some(false),
        forward_unmatched_preflights: Some(false),
        ..CorsPolicy::default()
    };
    assert_eq!(
        part(forward(|r| r.cors = Some(cors)), "typed_per_filter_config"),
        json!({"envoy.filters.http.cors": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"exact": "o"}],
            "allow_methods": "GET,PUT",
            "max_age": "60",
            "allow_credentials": false,
            "filter_enabled": {"default_value": {"numerator": 100}},
            "forward_not_matching_preflights": false,
        }})
    );
}

#[test]
fn retries() {
    let base = Retries {
        attempts: 3,
        per_try_timeout: None,
        retry_on: "".into(),
        remote_localities: None,
        ignore_previous_hosts: Some(false),
        backoff: None,
    };
    let on = |text: &str| Retries {
        retry_on: text.into(),
        ..base.clone()
    };
    let conditions = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
    for (retries, want) in [
        (
            Retries {
                attempts: 0,
                ..base.clone()
            },
            Value::Null,
        ),
        (base.clone(), json!({"retry_on": conditions})),
        (
            on("5xx, 503"),
            json!({"retry_on": "5xx,retriable-status-codes", "retriable_status_codes": [503]}),
        ),
        (
            on("retriable-status-codes,404,999"),
            json!({"retry_on": "retriable-status-codes,999", "retriable_status_codes": [404]}),
        ),
        (
            Retries {
                per_try_timeout: Some(Duration::from_secs(2)),
                backoff: Some(Duration::from_millis(100)),
                ..base.clone()
            },
            json!({"retry_on": conditions, "per_try_timeout": "2s", "retry_back_off": {"base_interval": "0.100s"}}),
        ),
    ] {
        let mut got = route_json(spec(forward(|r| r.retries = Some(retries.clone()))))["route"]["retry_policy"].take();
        if let Some(policy) = got.as_object_mut() {
            assert_eq!(policy.remove("num_retries"), Some(json!(3)), "{retries:?}");
            assert_eq!(
                policy.remove("host_selection_retry_max_attempts"),
                Some(json!("5")),
                "{retries:?}"
            );
        }
        assert_eq!(got, want, "{retries:?}");
    }
}

#[test]
fn a_hash_keeps_retries_at_their_host() {
    let mut hashed = spec(forward(|_| ()));
    hashed.destinations[0].hash = Some(HashKey::SourceIp);
    let action = route_json(hashed)["route"].take();
    assert_eq!(
        action["hash_policy"],
        json!([{"connection_properties": {"source_ip": true}}])
    );
    assert_eq!(action["retry_policy"].get("retry_host_predicate"), None);
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

use super::*;

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
